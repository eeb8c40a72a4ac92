// The selected unit in a class's graph: its effect, the images of the class that excite it most, and where in them.
import { h, text } from "../dom";
import { number } from "../format";
import type { ClassUnit } from "../records";
import type { Scope } from "../scope";
import { pairs } from "../units";
import { unitName } from "./graph";
import { paintMap } from "./heatmaps";
import { paintImage } from "./images";
import { effectLine, pOf } from "./ranks";

export function classUnit(scope: Scope): HTMLElement {
  const { session } = scope;
  const heading = h("h4");
  const effect = h("div", { test: "cw-class-effect" });
  const big = h("div", { class: "cw-frame", test: "cw-class-map" });
  const small = h("div", { class: "cw-strongest", role: "group", "aria-label": "Images", test: "cw-class-strongest" });
  const says = h("div", { class: "cw-sub cw-explain", test: "cw-class-says" });
  let shown: ClassUnit | null = null;
  let chosen = 1;
  let run = 0;
  let key = "";

  function pictures(k: number): HTMLCanvasElement[] {
    const [base, over] = [h("canvas"), h("canvas", { class: "cw-over" })];
    paintImage(base, shown!.images, k);
    const [n, height, width] = shown!.maps.shape;
    if (n) paintMap(over, { map: { ...shown!.info, name: "activation", present: true, signed: true }, shape: [height, width], data: shown!.maps.data.subarray(k * height * width, (k + 1) * height * width) as Float32Array }, 0.75, scope.dark);
    return [base, over];
  }

  const name = (k: number) => (k ? `strongest ${k}, response ${number(shown!.info.responses[k - 1])}` : "chosen in Heatmaps");

  function paint(): void {
    if (!shown) return;
    const { info } = shown;
    big.replaceChildren(...pictures(chosen));
    const focused = small.contains(document.activeElement);
    small.replaceChildren(...Array.from({ length: shown.images.shape[0] }, (_, k) => h("button", { type: "button", class: "cw-frame", title: name(k), "aria-label": name(k), "aria-pressed": String(k === chosen), onclick: () => { chosen = k; paint(); } }, ...pictures(k))));
    if (focused) (small.children[chosen] as HTMLElement).focus();
    text(says, info.reason || `${name(chosen)}. What ${info.parents === "critical" ? "its critical parents" : "its parents"} bring it there, from ${number(info.low, 2)} to ${number(info.high, 2)}.`);
  }

  async function select(): Promise<void> {
    const found = session.classGraph;
    const [first] = pairs(session.selectedFilters);
    const asked = first && found?.info.done && session.get("panel") === "classes" ? [found.info.target, ...first, session.get("image")] as const : null;
    text(heading, first ? unitName(session, ...first) : "Select a unit to see its effect and its maps");
    text(effect, first ? `${effectLine(found, ...first) || "no class was asked about it"}${pOf(found, ...first)}` : "");
    if (JSON.stringify(asked) === key) return;
    key = JSON.stringify(asked);
    const mine = ++run;
    big.parentElement!.classList.toggle("cw-stale", asked !== null);
    if (!asked) {
      shown = null; // it was of another unit or class
      for (const each of [big, small, says]) each.replaceChildren();
      return;
    }
    try {
      const unit = await session.classUnit(...asked);
      if (mine !== run) return;
      shown = unit;
      paint();
    } catch (error) {
      if (mine === run) session.fail(error, "Maps");
    }
    if (mine === run) big.parentElement!.classList.remove("cw-stale");
  }

  const element = h("section", { class: "cw-class-unit", "aria-label": "Selected unit" }, heading, effect, h("div", { class: "cw-beside" }, big, small), says);
  scope.on(["selected", "class", "panel", "image"], () => void select());
  scope.onTheme(paint);
  scope.dispose(() => run++);
  return element;
}
