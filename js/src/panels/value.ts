// The value that the chosen filters are given: from 1, as they are, down to 0, silent.
import { h, text, uid } from "../dom";
import { plural } from "../format";
import type { Scope } from "../scope";
import { countUnits, pairs } from "../units";
import { unitName } from "./graph";

const STEPS = 100;

export function valueSlider(scope: Scope): HTMLElement {
  const { session } = scope;
  const id = uid("scale");
  const move = (save: boolean) => session.scaleTo(Number(slider.value) / STEPS, save);
  const slider = h("input", { id, test: "cw-scale", type: "range", min: 0, max: STEPS, step: 1, oninput: () => move(false), onchange: () => move(true) });
  const shown = h("output", { class: "cw-number", for: id, test: "cw-scale-value" });
  const whom = h("span", { class: "cw-sub", test: "cw-scale-of" });

  function name(): string {
    const units = session.zeroed ? session.get("ablated") ?? {} : session.selectedFilters;
    const n = countUnits(units);
    if (!n) return "Select a filter in the graph, then drag its value down.";
    const what = n === 1 ? unitName(session, ...pairs(units)[0]) : plural(n, "filter");
    if (!session.zeroed) return `${what}: drag the value down and see what is lost.`;
    const scale = session.get("scale");
    return `${what}, ${scale === 0 ? "silent" : scale === 1 ? "unchanged" : "turned down"}`;
  }

  scope.on(["scale", "ablated", "selected", "graph"], () => {
    const value = session.zeroed ? session.get("scale") ?? 0 : 1;
    slider.value = String(Math.round(value * STEPS));
    slider.disabled = !session.zeroed && !countUnits(session.selectedFilters);
    slider.setAttribute("aria-valuetext", `times ${value.toFixed(2)}`);
    text(shown, `× ${value.toFixed(2)}`);
    text(whom, name());
  });
  return h("div", { class: "cw-value" },
    h("div", { class: "cw-field" }, h("label", { for: id }, "Value"), h("span", { class: "cw-sub", "aria-hidden": "true" }, "0"), slider, h("span", { class: "cw-sub", "aria-hidden": "true" }, "1"), shown), whom);
}
