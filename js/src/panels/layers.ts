// The layers in forward order: which are in the graph, and how importance spreads over each one's units.
import { css, sequence } from "../colour";
import { canvas, h, text } from "../dom";
import { abbreviate, count } from "../format";
import type { Scope } from "../scope";
import type { LayerInfo } from "../types";

const [WIDTH, HEIGHT, BINS] = [50, 18, 18];
const NAME = 15; // letters

/** A histogram of importance relative to the layer's largest, low on the left. */
export function spread(values: Float32Array, bins = BINS): number[] {
  const max = values.reduce((a, b) => Math.max(a, b), 0);
  const counts: number[] = new Array(bins).fill(0);
  if (max > 0) for (const value of values) if (Number.isFinite(value)) counts[Math.min(bins - 1, Math.floor((value / max) * bins))]++;
  return counts;
}

function paintStrip(pen: CanvasRenderingContext2D, values: Float32Array | null, dark: boolean): void {
  pen.clearRect(0, 0, WIDTH, HEIGHT);
  const counts = values ? spread(values) : [];
  const top = Math.max(1, ...counts);
  const map = sequence(dark);
  pen.fillStyle = dark ? "rgba(255,255,255,.16)" : "rgba(20,30,45,.13)";
  pen.fillRect(0, HEIGHT - 1, WIDTH, 1);
  counts.forEach((n, k) => {
    if (!n) return;
    const height = Math.max(1.5, Math.sqrt(n / top) * (HEIGHT - 2));
    pen.fillStyle = css(map(0.12 + (0.88 * (k + 0.5)) / BINS));
    pen.fillRect((k * WIDTH) / BINS, HEIGHT - 1 - height, WIDTH / BINS - 0.5, height);
  });
}

interface Row {
  layer: LayerInfo;
  box: HTMLInputElement;
  paint(): void;
  element: HTMLElement;
}

export function layers(scope: Scope): HTMLElement {
  const { session } = scope;
  const summary = h("span", { class: "cw-sub" });
  const list = h("div", { class: "cw-layer-list", test: "cw-layers", role: "group", "aria-label": "Layers in the graph" });
  let rows: Row[] = [];

  function choose(names: Set<string>): void {
    session.set("layers", (session.graph?.layers ?? []).filter(({ name }) => names.has(name)).map(({ name }) => name));
  }

  function toggle(name: string, on: boolean): void {
    const names = new Set(session.get("layers"));
    if (on) names.add(name);
    else names.delete(name);
    choose(names);
  }

  function row(layer: LayerInfo): Row {
    const box = h("input", { type: "checkbox", "data-layer": layer.name, onchange: () => toggle(layer.name, box.checked) });
    const [strip, pen] = canvas(WIDTH, HEIGHT, { class: "cw-strip", "aria-hidden": "true" });
    const element = h(
      "label", { class: "cw-layer", title: `${layer.name}: ${layer.isOutput ? "classes" : layer.kind}, output ${layer.shape.join(" × ")}` },
      box, h("span", { class: "cw-layer-name" }, abbreviate(layer.name, NAME)), h("span", { class: "cw-layer-units" }, count(layer.units)), strip,
    );
    return { layer, box, element, paint: () => paintStrip(pen, layer.isOutput ? null : session.importance(layer.name), scope.dark) };
  }

  function rebuild(): void {
    if (!session.graph) {
      list.replaceChildren(...Array.from({ length: 6 }, () => h("div", { class: "cw-layer cw-skeleton" })));
      return;
    }
    rows = session.graph.layers.map(row);
    list.replaceChildren(...rows.map(({ element }) => element));
    check();
    paint();
  }

  function check(): void {
    const names = new Set(session.get("layers"));
    for (const { box, layer, element } of rows) {
      box.checked = names.has(layer.name);
      element.classList.toggle("cw-off", !box.checked);
    }
    text(summary, rows.length ? `${rows.filter(({ box }) => box.checked).length} of ${rows.length}` : "");
  }

  const paint = () => rows.forEach((each) => each.paint());
  scope.on("graph", rebuild);
  scope.on("layers", check);
  scope.on(["importance", "rule"], paint);
  scope.onTheme(paint);
  const all = () => choose(new Set((session.graph?.layers ?? []).map(({ name }) => name)));
  return h(
    "section", { class: "cw-layers", "aria-label": "Layers" },
    h("div", { class: "cw-section-head" },
      h("h3", {}, "Layers"), summary,
      h("button", { class: "cw-link", type: "button", test: "cw-layers-all", onclick: all }, "all"),
      h("button", { class: "cw-link", type: "button", test: "cw-layers-none", onclick: () => choose(new Set()) }, "none"),
    ),
    list,
  );
}
