// The running list of what is zeroed, below every panel, with the effect in one line.
import { h, text } from "../dom";
import { count, percent, plural, points } from "../format";
import type { Scope } from "../scope";
import type { Session } from "../state";
import { pairs } from "../units";

const SHOWN = 60;

function summary(session: Session): string {
  const { effect, zeroed } = session;
  if (!zeroed) return "Nothing is zeroed";
  const scale = session.get("scale") ?? 0;
  const what = scale ? `${count(zeroed)} × ${scale.toFixed(2)}` : `${count(zeroed)} zeroed`;
  if (!effect) return session.effectWaiting ? `${what} · measuring …` : what;
  const { accuracy, accuracyHalf: interval } = effect.change;
  if (accuracy === null) return `${what} · ${plural(effect.flipped, "prediction")} changed`;
  const part = (effect.of ?? effect.n) > effect.n ? ` on ${count(effect.n)} of ${count(effect.of)} images` : "";
  return `${what} · accuracy ${percent(effect.after.accuracy)} (${points(accuracy)}${interval === null ? "" : ` ± ${(interval * 100).toFixed(1)}`})${part}`;
}

export function zeroed(scope: Scope): HTMLElement {
  const { session } = scope;
  const line = h("span", { class: "cw-zeroed-line", test: "cw-zeroed-summary", "aria-live": "polite" });
  const clear = h("button", { class: "cw-link", type: "button", test: "cw-clear", onclick: () => session.set("ablated", {}) }, "Clear all");
  const chips = h("div", { class: "cw-chips", test: "cw-zeroed" });

  function chip(layer: string, unit: number): HTMLElement {
    const name = `${layer} · ${unit}`;
    return h(
      "span", { class: "cw-chip" },
      h("button", { class: "cw-chip-name", type: "button", title: `Select ${name}`, onclick: () => session.set("selected", { [layer]: [unit] }) }, name),
      h("button", { class: "cw-chip-x", type: "button", title: `Restore ${name}`, "aria-label": `Restore ${name}`, onclick: () => session.setAblated(layer, [unit], false) }, "×"),
    );
  }

  function update(): void {
    text(line, (line.title = summary(session)));
    line.classList.toggle("cw-stale", session.effectWaiting);
    clear.disabled = session.zeroed === 0;
  }

  function list(): void {
    const all = pairs(session.get("ablated") ?? {});
    chips.replaceChildren(...all.slice(0, SHOWN).map(([layer, unit]) => chip(layer, unit)));
    if (all.length > SHOWN) chips.append(h("span", { class: "cw-sub" }, `and ${all.length - SHOWN} more`));
    if (!all.length) chips.append(h("span", { class: "cw-sub" }, "Double-click a filter, or press Z on a selected one, to set it to zero."));
  }

  scope.on("ablated", list);
  scope.on(["ablated", "scale", "effect"], update);
  return h("section", { class: "cw-zeroed", "aria-label": "Zeroed filters" }, h("div", { class: "cw-section-head" }, line, clear), chips);
}
