// One image and what the network sees in it: importance-weighted map, the selected filter's map, the intervention's difference.
import { diverging, gradient, heat } from "../colour";
import { h, options, text, uid } from "../dom";
import { number, percent } from "../format";
import type { Scope } from "../scope";
import type { Heatmap } from "../records";
import type { MapInfo } from "../types";
import { pairs } from "../units";
import { paintImage, thumbnail } from "./images";

const DELAY = 80;
const KINDS = ["importance", "activation", "difference"] as const;
type Kind = (typeof KINDS)[number];

interface Figure {
  kind: Kind;
  element: HTMLElement;
  base: HTMLCanvasElement;
  over: HTMLCanvasElement;
  caption: HTMLElement;
  low: HTMLElement;
  high: HTMLElement;
  ramp: HTMLElement;
  missing: HTMLElement;
}

function figure(kind: Kind): Figure {
  const parts = {
    kind, base: h("canvas"), over: h("canvas", { class: "cw-over", test: `cw-heat-${kind}` }), caption: h("figcaption"), low: h("span"), high: h("span"),
    ramp: h("span", { class: "cw-ramp cw-grow" }), missing: h("div", { class: "cw-missing" }),
  };
  const element = h("figure", { class: "cw-figure" }, h("div", { class: "cw-frame" }, parts.base, parts.over, parts.missing), parts.caption, h("div", { class: "cw-scale" }, parts.low, parts.ramp, parts.high));
  return { ...parts, element };
}

/** Strong values cover the image, weak ones let it through. */
export function paintMap(canvas: HTMLCanvasElement, { map, shape, data }: Heatmap, opacity: number, dark: boolean): void {
  const [height, width] = shape;
  canvas.width = width;
  canvas.height = height;
  canvas.classList.toggle("cw-pixels", Math.max(width, height) < 100);
  const pen = canvas.getContext("2d")!;
  const picture = pen.createImageData(width, height);
  const colour = map.signed ? diverging(dark) : heat;
  data.forEach((value, k) => {
    picture.data.set(colour(value), 4 * k);
    picture.data[4 * k + 3] = Math.round(255 * opacity * Math.min(1, 0.12 + 1.1 * Math.abs(value)));
  });
  pen.putImageData(picture, 0, 0);
}

/** Signed maps are scaled by their larger end: the other end stops where its value is. */
function rampOf({ low, high, signed }: MapInfo, dark: boolean): string {
  const reach = Math.max(1e-12, Math.abs(low), Math.abs(high));
  return signed ? gradient(diverging(dark), low / reach, high / reach) : gradient(heat);
}

export function heatmaps(scope: Scope): HTMLElement {
  const { session } = scope;
  const strip = h("div", { class: "cw-strip-row", test: "cw-strip", role: "listbox", "aria-label": "Images", tabindex: 0, onkeydown: (event: KeyboardEvent) => key(event) });
  const layerId = uid("heat");
  const layer = h("select", { id: layerId, test: "cw-heat-layer", onchange: () => session.set("heat_layer", layer.value) });
  const opacityId = uid("opacity");
  const opacity = h("input", { id: opacityId, type: "range", min: 0, max: 100, value: 75, test: "cw-opacity", oninput: () => paint() });
  const original = h("canvas", { test: "cw-heat-image" });
  const says = h("figcaption");
  const figures = KINDS.map(figure);
  const first = h("figure", { class: "cw-figure" }, h("div", { class: "cw-frame" }, original), says, h("div", { class: "cw-scale cw-blank" }, "."));
  const grid = h("div", { class: "cw-figures" }, first, ...figures.map(({ element }) => element));
  const empty = h("div", { class: "cw-placeholder", test: "cw-heat-empty" }, h("b", {}, "No images"), h("span", {}, "Give the widget images to see heatmaps: CausalWidget(explainer, images=loader)."));
  let maps: Heatmap[] = [];
  let run = 0;
  let timer: ReturnType<typeof setTimeout> | null = null;

  const className = (k: number | null | undefined) => (k === null || k === undefined ? "no label" : (session.kernel?.classes[k] ?? String(k)));

  function key(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !session.images) return;
    event.preventDefault();
    event.stopPropagation();
    session.set("image", Math.min(session.images.shape[0] - 1, Math.max(0, session.get("image") + step)));
  }

  function thumb(k: number): HTMLElement {
    const { labels, predictions } = session.images!.info;
    const wrong = labels[k] !== null && labels[k] !== predictions[k];
    const title = `label: ${className(labels[k])}, prediction: ${className(predictions[k])}${wrong ? " (wrong)" : ""}`;
    return h("button", { type: "button", role: "option", class: wrong ? "cw-pick cw-wrong" : "cw-pick", title, "aria-label": title, tabindex: -1, "data-image": k, onclick: () => session.set("image", k) },
      thumbnail(session.images!, k), h("span", { class: "cw-pick-name" }, wrong ? `✗ ${className(predictions[k])}` : className(predictions[k])));
  }

  function mark(): void {
    for (const element of strip.children) element.setAttribute("aria-selected", String(Number((element as HTMLElement).dataset.image) === session.get("image")));
    (strip.children[session.get("image")] as HTMLElement | undefined)?.setAttribute("tabindex", "-1");
  }

  function showImage(): void {
    const k = session.get("image");
    if (!session.images || k >= session.images.shape[0]) return;
    for (const canvas of [original, ...figures.map(({ base }) => base)]) paintImage(canvas, session.images, k);
    const { labels, predictions } = session.images.info;
    const right = labels[k] === null ? "" : labels[k] === predictions[k] ? " ✓" : ` ✗ (${className(labels[k])})`;
    text(says, `predicted ${className(predictions[k])}${right}`);
  }

  function why(kind: Kind): string {
    const selected = pairs(session.get("selected") ?? {}).filter(([name]) => !session.layer(name)?.isOutput);
    if (kind === "activation" && !selected.length) return "select a filter";
    if (kind === "difference" && !session.zeroed) return "nothing is zeroed";
    if (kind === "importance" && !session.kernel?.collected) return "press Collect";
    if (kind === "difference") return "no change in this layer";
    return kind === "activation" && session.layer(selected[0][0])?.kind === "linear" ? "one number, no map" : "nothing to show";
  }

  function captionOf(kind: Kind): string {
    const [selected] = pairs(session.get("selected") ?? {}).filter(([name]) => !session.layer(name)?.isOutput);
    if (kind === "importance") return "weighted by importance";
    if (kind === "activation") return selected ? `filter ${selected[0]} · ${selected[1]}` : "selected filter";
    return "intervention's difference";
  }

  function paint(): void {
    for (const each of figures) {
      const found = maps.find(({ map }) => map.name === each.kind);
      // What is zeroed behind the layer changes nothing in it: a map of zeros would look like a fault.
      const unchanged = each.kind === "difference" && found?.map.low === 0 && found.map.high === 0;
      const present = Boolean(found?.map.present && found.data.length && !unchanged);
      text(each.caption, captionOf(each.kind));
      each.caption.title = captionOf(each.kind);
      each.element.classList.toggle("cw-absent", !present);
      text(each.missing, present ? "" : why(each.kind));
      text(each.low, present ? number(found!.map.low, 2) : "");
      text(each.high, present ? number(found!.map.high, 2) : "");
      each.ramp.style.background = present ? rampOf(found!.map, scope.dark) : "";
      if (present) paintMap(each.over, found!, Number(opacity.value) / 100, scope.dark);
      else each.over.width = 0;
    }
    opacity.title = percent(Number(opacity.value) / 100, 0);
  }

  /** Only while the panel is open, and after the choices have settled. */
  function ask(): void {
    if (timer) clearTimeout(timer);
    if (session.get("panel") !== "heatmaps" || !session.images || !session.graph) return;
    const mine = ++run;
    grid.classList.add("cw-stale");
    timer = setTimeout(async () => {
      try {
        const found = await session.heatmaps();
        if (mine !== run) return;
        maps = found;
        paint();
      } catch (error) {
        if (mine === run) session.fail(error, "Heatmap");
      }
      if (mine === run) grid.classList.remove("cw-stale");
    }, DELAY);
  }

  function images(): void {
    const none = !session.images;
    empty.hidden = !none || (session.kernel === null || session.kernel.nStrip > 0);
    grid.hidden = strip.hidden = !empty.hidden;
    if (none) strip.replaceChildren(...Array.from({ length: 6 }, () => h("span", { class: "cw-pick cw-skeleton" })));
    else strip.replaceChildren(...Array.from({ length: session.images!.shape[0] }, (_, k) => thumb(k)));
    mark();
    showImage();
    paint();
  }

  scope.on(["images", "state"], images);
  scope.on("image", () => {
    mark();
    showImage();
  });
  scope.on(["graph", "heat_layer"], () => options(layer, (session.graph?.layers ?? []).filter((each) => each.kind === "conv").map(({ name }) => [name, name]), session.get("heat_layer") ?? ""));
  scope.on(["image", "heat_layer", "selected", "ablated", "site", "scale", "rule", "panel", "images", "revision"], ask);
  scope.onTheme(paint);
  scope.dispose(() => {
    run++;
    if (timer) clearTimeout(timer);
  });
  return h("div", { class: "cw-heatmaps" }, empty, strip,
    h("div", { class: "cw-field cw-heat-field" }, h("label", { for: layerId }, "Layer"), layer, h("label", { for: opacityId }, "Opacity"), opacity), grid);
}
