// R² of every unit, a row of dots a layer: above on the images that the equations were fitted to, below on others; then the worst.
import { canvas, h, text } from "../dom";
import { abbreviate, count, fixed, number } from "../format";
import type { Equations } from "../records";
import type { Scope } from "../scope";
import type { Part } from "./equations";
import { shortName, unitName } from "./graph";

const [WIDTH, HEIGHT, LISTED] = [168, 24, 8];
const LOW = -0.12; // R² below zero is worse than the mean; it is gathered at the left end

export interface Place {
  layer: string;
  unit: number;
  r2: number;
}

/** The middle of what is known, NaN where nothing is. */
export function median(values: ArrayLike<number>): number {
  const known = Array.from(values).filter(Number.isFinite).sort((a, b) => a - b);
  const at = known.length >> 1;
  return known.length % 2 ? known[at] : (known[at - 1] + known[at]) / 2;
}

/** The units whose equations hold least on held-out images (on the fitted ones where none were held out). */
export function worst({ info, r2, heldout }: Equations, layer: string | null, most = LISTED): Place[] {
  const judged = heldout.some(Number.isFinite) ? heldout : r2;
  const found: Place[] = [];
  let at = 0;
  for (const each of info.layers) {
    for (let unit = 0; unit < each.units; unit++, at++) if (Number.isFinite(judged[at]) && (layer === null || layer === each.layer)) found.push({ layer: each.layer, unit, r2: judged[at] });
  }
  return found.sort((a, b) => a.r2 - b.r2).slice(0, most);
}

const place = (r2: number): number => 3 + ((Math.max(LOW, r2) - LOW) / (1 - LOW)) * (WIDTH - 6);

function paint(pen: CanvasRenderingContext2D, rows: Float32Array[], colours: { mark: string; line: string }): void {
  pen.clearRect(0, 0, WIDTH, HEIGHT);
  pen.fillStyle = pen.strokeStyle = colours.line;
  for (const tick of [0, 0.5, 1]) pen.fillRect(Math.round(place(tick)), 0, 1, HEIGHT);
  rows.forEach((values, k) => {
    const y = k === 0 ? HEIGHT * 0.28 : HEIGHT * 0.72;
    pen.fillStyle = pen.strokeStyle = colours.mark;
    pen.globalAlpha = Math.max(0.16, Math.min(0.75, 12 / values.length));
    values.forEach((value, unit) => {
      if (!Number.isFinite(value)) return;
      pen.beginPath();
      pen.arc(place(value), y + (((unit * 7) % 5) - 2) * 0.8, k === 0 ? 2.4 : 2.2, 0, 2 * Math.PI);
      if (k === 0) pen.fill();
      else pen.stroke();
    });
    const middle = median(values);
    pen.globalAlpha = 1;
    if (Number.isFinite(middle)) pen.fillRect(place(middle) - 1, y - 6, 2, 12);
  });
}

export function byLayer(scope: Scope, show: (part: Part) => void): HTMLElement {
  const { session } = scope;
  const list = h("div", { class: "cw-r2", test: "cw-r2", role: "group", "aria-label": "R² by layer; a layer's button lists its worst equations" });
  const caption = h("h4", {});
  const items = h("div", { class: "cw-worst", test: "cw-worst" });
  const notes = h("div", { class: "cw-notes", test: "cw-layer-notes" });
  let chosen: string | null = null;
  let paints: (() => void)[] = [];

  function row(known: Equations, k: number, from: number): HTMLElement {
    const { layer, units, dead, parents, notes } = known.info.layers[k];
    const values = [known.r2, known.heldout].map((all) => all.subarray(from, from + units));
    const middle = values.map(median);
    const [strip, pen] = canvas(WIDTH, HEIGHT, { "aria-hidden": "true" });
    paints.push(() => paint(pen, values, { mark: scope.dark ? "#9fc6f0" : "#17609f", line: scope.dark ? "rgba(170,188,214,.28)" : "#d9dee5" }));
    const title = [`${layer}: ${count(units)} equations with ${count(parents)} parents each at most`, `median R² ${number(middle[0])}, held out ${number(middle[1])}`, dead ? `${dead} without variance` : "", ...notes].filter(Boolean).join("; ");
    return h("button", { type: "button", class: "cw-r2-row", title, "aria-label": title, "aria-pressed": String(chosen === layer), onclick: () => choose(layer) },
      h("span", { class: "cw-layer-name" }, abbreviate(layer, 11)), strip, h("span", { class: "cw-number" }, fixed(middle[1])), h("span", { class: "cw-warn", "aria-hidden": "true" }, notes.length || dead ? "!" : ""));
  }

  function choose(layer: string): void {
    chosen = chosen === layer ? null : layer;
    list.querySelectorAll("button").forEach((button, k) => button.setAttribute("aria-pressed", String(session.equations?.info.layers[k].layer === chosen)));
    listWorst();
  }

  function listWorst(): void {
    const known = session.equations;
    if (!known) return;
    const found = worst(known, chosen);
    notes.replaceChildren(...(known.info.layers.find(({ layer }) => layer === chosen)?.notes ?? []).map((note) => h("div", {}, `! ${note}`)));
    text(caption, `${chosen === null ? "Worst equations" : `Worst equations of ${abbreviate(chosen, 24)}`}: R², held out`);
    items.replaceChildren(...found.map(({ layer, unit, r2 }) => h(
      "button", { type: "button", class: "cw-relative", title: `Select ${unitName(session, layer, unit)} and show its equation`, onclick: () => { session.set("selected", { [layer]: [unit] }); show("one"); } },
      shortName(session, layer, unit, 14), h("span", { class: "cw-number" }, fixed(r2)))));
  }

  function rebuild(): void {
    const known = session.equations;
    paints = [];
    if (!known) return;
    if (!known.info.layers.some(({ layer }) => layer === chosen)) chosen = null;
    let from = 0;
    list.replaceChildren(...known.info.layers.map((each, k) => {
      const element = row(known, k, from);
      from += each.units;
      return element;
    }));
    paints.forEach((each) => each());
    listWorst();
  }

  scope.on(["equations", "graph"], rebuild);
  scope.onTheme(() => paints.forEach((each) => each()));
  const axis = h("div", { class: "cw-r2-axis cw-sub", "aria-hidden": "true" }, ...[0, 0.5, 1].map((tick) => {
    const label = h("span", {}, String(tick));
    label.style.left = `${place(tick)}px`;
    return label;
  }));
  return h("div", {},
    h("p", { class: "cw-sub cw-r2-key" }, "Each dot is a unit: R², the share of its variance that its parents explain. ● fitted, ○ held-out images, ┃ median"),
    h("div", { class: "cw-r2-head" }, h("span"), axis, h("span", { class: "cw-sub" }, "median")),
    list, caption, items, notes);
}
