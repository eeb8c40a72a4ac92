// Building DOM by hand. Text enters as text nodes only, never as markup: names may contain anything.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, unknown>;

function fill<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "value" || name === "checked" || name === "disabled") (element as any)[name] = value;
    else element.setAttribute(name === "test" ? "data-testid" : name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

export function s<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** Sets an element's text only where it differs, so that screen readers are not told the same thing twice. */
export function text(element: Element, value: string): void {
  if (element.textContent !== value) element.textContent = value;
}

export function option(value: string, label: string): HTMLOptionElement {
  return h("option", { value }, label);
}

/** Replaces a select's options only if they changed: an open menu stays open. */
export function options(select: HTMLSelectElement, entries: [value: string, label: string][], chosen: string): void {
  const key = JSON.stringify(entries);
  if (select.dataset.key !== key) {
    select.dataset.key = key;
    select.replaceChildren(...entries.map(([value, label]) => option(value, label)));
  }
  select.value = chosen;
}

/** A canvas of a fixed size in CSS pixels, sharp on dense screens. */
export function canvas(width: number, height: number, attributes: Attributes = {}): [HTMLCanvasElement, CanvasRenderingContext2D] {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const element = h("canvas", { width: Math.round(width * ratio), height: Math.round(height * ratio), ...attributes });
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  const context = element.getContext("2d")!;
  context.scale(ratio, ratio);
  return [element, context];
}

let labels = 0;
/** An id for aria and label references, unique in the page. */
export const uid = (prefix: string) => `cw-${prefix}-${++labels}`;
