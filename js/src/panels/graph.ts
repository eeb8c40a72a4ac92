// The graph's panel: rule and edge controls, the canvas, its tooltip and legend.
import { gradient, sequence } from "../colour";
import { h, options, text, uid } from "../dom";
import { abbreviate, count, number } from "../format";
import { Gestures } from "../graph/gestures";
import type { Hit } from "../graph/layout";
import { GraphView } from "../graph/view";
import { EFFECT, RULES, ruleLabel, SIGNS } from "../rules";
import type { Scope } from "../scope";
import type { Session } from "../state";
import { effectLine } from "./ranks";

/** The slider is logarithmic: few edges need fine steps. */
export const EDGES_MAX = 20_000;
export const edgesOf = (slider: number): number => (slider <= 0 ? 0 : Math.round(10 ** (1 + (slider / 100) * Math.log10(EDGES_MAX / 10))));
export const sliderOf = (edges: number): number => (edges < 10 ? 0 : (100 * (Math.log10(edges) - 1)) / Math.log10(EDGES_MAX / 10));

export function rankOf(values: Float32Array, unit: number): number {
  let rank = 1;
  for (const value of values) if (value > values[unit]) rank++;
  return rank;
}

export function unitName(session: Session, layer: string, unit: number): string {
  const name = session.layer(layer)?.isOutput ? session.kernel?.classes[unit] : undefined;
  return name === undefined ? `${layer} · ${unit}` : `${name}`;
}

/** A verdict in words, with the classes that are compared by name. */
export function kindName(session: Session, kind: string): string {
  const name = (k: number | null) => session.kernel?.classes[k ?? 0] ?? String(k);
  return kind === "only a" ? `only ${name(session.target)}` : kind === "only b" ? `only ${name(session.other)}` : kind;
}

/** The same for a list, with the layer cut to fit and the unit's number whole. */
export function shortName(session: Session, layer: string, unit: number, length: number): HTMLElement {
  if (session.layer(layer)?.isOutput) return h("span", { class: "cw-relative-name" }, h("span", {}, unitName(session, layer, unit)));
  return h("span", { class: "cw-relative-name" }, h("span", {}, abbreviate(layer, length - String(unit).length)), h("b", {}, ` · ${unit}`));
}

function importanceLine(session: Session, layer: string, unit: number): string {
  const values = session.importance(layer);
  if (session.layer(layer)?.isOutput) return `class ${unit} of ${session.layer(layer)!.units}`;
  if (!values || !Number.isFinite(values[unit])) return `no ${ruleLabel(session.shownRule)} importance`;
  return `${ruleLabel(session.shownRule)} ${number(values[unit])} · rank ${count(rankOf(values, unit))} of ${count(values.length)}`;
}

/** "conv1 · 3, 5; conv2 · 7": names of units, each layer said once. */
function unitNames(session: Session, units: [layer: string, unit: number][]): string {
  const parts: string[] = [];
  units.forEach(([layer, unit], k) => {
    if (session.layer(layer)?.isOutput || units[k - 1]?.[0] !== layer) parts.push(`${k ? (session.layer(layer)?.isOutput ? ", " : "; ") : ""}${abbreviate(unitName(session, layer, unit), 30)}`);
    else parts.push(`, ${unit}`);
  });
  return parts.join("");
}

function relatives(session: Session, view: GraphView, layer: string, unit: number): [string, string][] {
  const edges = view.ownEdges(layer, unit);
  const [parents, children]: [string, number][][] = [[], []];
  for (let k = edges.length - 1; k >= 0; k--) {
    const { source, target } = view.scene.wirings[edges.wiring[k]];
    if (target === layer) parents.push([source, edges.col[k]]);
    else children.push([target, edges.row[k]]);
  }
  return ([["from", parents], ["to", children]] as const).filter(([, list]) => list.length).map(([word, list]) => [word, unitNames(session, list.slice(0, 4))]);
}

function tooltip(session: Session, view: GraphView): { element: HTMLElement; show(hit: Hit | null, x: number, y: number): void; refresh(): void } {
  const element = h("div", { class: "cw-tooltip", test: "cw-tooltip", role: "tooltip" });
  let key = "";
  let last: [Hit, number, number] | null = null;
  const tip = {
    element,
    refresh: () => last && tip.show(...last),
    show(hit: Hit | null, x: number, y: number) {
      last = hit && [hit, x, y];
      element.classList.toggle("cw-on", hit !== null);
      if (!hit) return;
      const { layer } = view.scene.plan.columns[hit.column];
      const zeroed = session.isAblated(layer.name, hit.unit);
      const scale = session.get("scale") ?? 0;
      const now = `${layer.name} ${hit.unit} ${zeroed} ${scale} ${session.shownRule} ${effectLine(session.judged, layer.name, hit.unit)}`;
      if (now !== key) {
        key = now;
        element.replaceChildren(
          h("b", {}, unitName(session, layer.name, hit.unit)), h("span", { class: "cw-zero-mark" }, zeroed ? (scale ? ` / times ${number(scale, 2)}` : " ✕ zeroed") : ""),
          h("div", {}, importanceLine(session, layer.name, hit.unit)), h("div", {}, effectLine(session.judged, layer.name, hit.unit)),
          ...relatives(session, view, layer.name, hit.unit).map(([word, names]) => h("div", {}, h("span", { class: "cw-sub" }, `${word} `), names)),
        );
      }
      const left = Math.min(view.width - element.offsetWidth - 4, x + 14);
      const top = y + 16 + element.offsetHeight > view.height ? y - element.offsetHeight - 12 : y + 16;
      element.style.transform = `translate(${Math.max(4, Math.round(left))}px, ${Math.max(4, Math.round(top))}px)`;
    },
  };
  return tip;
}

function legend(scope: Scope): HTMLElement {
  const { session } = scope;
  const ramp = h("span", { class: "cw-ramp" });
  const source = h("span", { test: "cw-edge-source", title: "Relative to the strongest edge between the same two layers" });
  const until = h("span", { class: "cw-until" });
  const cross = h("i", { class: "cw-cross" });
  const crossed = h("span");
  const importance = h("span", { title: "Colour and size: importance relative to the most important filter of the same layer" }, "low ", h("i", { class: "cw-dot cw-small" }), ramp, h("i", { class: "cw-dot" }), " top of its layer");
  const box = h("input", { type: "checkbox", checked: true, "data-testid": "cw-verdicts-on", onchange: () => session.showVerdicts(box.checked) });
  const kinds = h("span", { class: "cw-legend-verdicts" });
  const verdicts = h("label", { class: "cw-check cw-legend-verdicts", title: "Draw the filters that were judged by their verdicts, not by their importance", test: "cw-legend-verdicts" }, box, "verdicts: ", kinds);
  scope.on(["ranking", "class", "panel"], () => {
    const found = session.judged;
    verdicts.hidden = !found;
    kinds.replaceChildren(...(found?.info.verdicts ?? []).map((kind) => h("span", { class: `cw-${kind.replace(" ", "-")}` }, h("i", { class: "cw-sign" }, SIGNS[kind]), ` ${kindName(session, kind)} `)));
    box.checked = session.verdictsOn;
    verdicts.classList.toggle("cw-off", !session.verdictsOn);
    importance.hidden = Boolean(session.verdictsOn && found && session.graph?.layers.every(({ name, isOutput }) => isOutput || found.first.has(name)));
  });
  scope.on("scale", () => {
    text(cross, session.get("scale") ? "/" : "✕");
    text(crossed, session.get("scale") ? " turned down" : " zeroed");
  });
  scope.onTheme(() => (ramp.style.background = gradient(sequence(scope.dark))));
  scope.on("edges", () => text(source, scope.session.edgeSource === "weight" ? "edges: weight norm" : scope.session.edgeSource ? "edges: |standardised coefficient|" : ""));
  scope.on(["state", "rule"], () => text(until, scope.session.shownRule === scope.session.get("rule") ? "" : "coloured by L1 norm until you press Collect"));
  return h(
    "div", { class: "cw-legend", test: "cw-legend" },
    verdicts, importance,
    h("span", {}, cross, crossed),
    h("span", {}, h("i", { class: "cw-ringed" }), " selected"),
    h("span", {}, h("i", { class: "cw-line-in" }), " from parents ", h("i", { class: "cw-line-out" }), " to children"),
    source, until,
  );
}

function controls(scope: Scope, view: GraphView, gestures: Gestures): HTMLElement {
  const { session } = scope;
  const [ruleId, edgesId] = [uid("rule"), uid("edges")];
  const rule = h("select", { id: ruleId, test: "cw-rule", onchange: () => session.set("rule", rule.value) });
  const send = (save: boolean) => session.set("n_edges", edgesOf(Number(slider.value)), save);
  const slider = h("input", { id: edgesId, test: "cw-edges", type: "range", min: 0, max: 100, step: 1, oninput: () => send(false), onchange: () => send(true) });
  const shown = h("output", { class: "cw-number", for: edgesId });
  scope.on(["rule", "ranking"], () => {
    options(rule, (session.ranking || session.get("rule") === "effect" ? [...RULES, EFFECT] : RULES).map(([name, label]) => [name, label]), session.get("rule"));
    rule.title = [...RULES, EFFECT].find(([name]) => name === session.get("rule"))?.[2] ?? "";
  });
  scope.on("n_edges", () => {
    text(shown, count(session.get("n_edges") ?? 0));
    slider.value = String(sliderOf(session.get("n_edges") ?? 0));
  });
  const button = (label: string, title: string, test: string, action: () => void) => h("button", { class: "cw-icon", type: "button", title, "aria-label": title, test, onclick: action }, label);
  return h(
    "div", { class: "cw-toolbar" },
    h("label", { for: ruleId }, "Importance"), rule,
    h("span", { class: "cw-together" }, h("label", { for: edgesId, title: "How many edges are drawn: the strongest between each two layers, in equal shares" }, h("span", { class: "cw-more" }, "Strongest "), "edges"), slider, shown),
    h("span", { class: "cw-zoom" }, button("−", "Zoom out", "cw-zoom-out", () => gestures.zoom(1 / 1.4)),
    button("+", "Zoom in", "cw-zoom-in", () => gestures.zoom(1.4)),
    button("⤢", "Fit the whole graph; once more: columns of readable width", "cw-fit", () => view.fit())),
  );
}

export const HELP = "drag pans · wheel zooms · click selects · shift-click adds · shift-drag selects a box · double-click or Z zeroes · arrows move · Esc clears";

export function graph(scope: Scope): { element: HTMLElement; view: GraphView } {
  const { session } = scope;
  const view = new GraphView(session);
  const tip = tooltip(session, view);
  const gestures = new Gestures(view, session, (hit, x, y) => tip.show(hit, x, y));
  const hint = h("div", { class: "cw-hint", test: "cw-graph-hint" });
  const stage = h("div", { class: "cw-stage" }, view.canvas, hint, tip.element);
  scope.on(["graph", "layers", "edges", "n_edges"], () => view.rebuild());
  scope.on(["importance", "rule", "ranking", "class", "panel"], () => view.repaint());
  scope.on("selected", () => view.revealSelected());
  scope.on(["selected", "ablated", "scale", "state", "ranking", "class"], () => {
    view.draw();
    tip.refresh();
  });
  scope.on(["state", "graph", "layers"], () => {
    const { kernel, graph } = session;
    const words = !kernel || !graph ? "Reading the network …" : !session.layers.length ? "No layer is chosen: tick some on the left." : "";
    text(hint, words);
    view.canvas.dataset.layers = String(session.layers.length);
  });
  const observer = new ResizeObserver(() => view.resize(stage.clientWidth, stage.clientHeight));
  observer.observe(stage);
  scope.dispose(() => {
    observer.disconnect();
    view.destroy();
  });
  const element = h(
    "section", { class: "cw-graph", "aria-label": "Graph" },
    controls(scope, view, gestures), stage, legend(scope),
  );
  return { element, view };
}
