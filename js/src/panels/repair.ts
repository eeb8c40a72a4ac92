// Repair: accuracy of a class and of all others while a share of the units that hurt it is blocked.
import { h, text, uid } from "../dom";
import { count, percent, plural, points } from "../format";
import type { Scope } from "../scope";
import type { RepairRow } from "../types";

export function repair(scope: Scope): HTMLElement {
  const { session } = scope;
  const id = uid("repair");
  const slider = h("input", { id, type: "range", min: 0, max: 100, step: 10, value: 50, test: "cw-repair-share", oninput: () => show() });
  const share = h("output", { for: id, test: "cw-repair-value" });
  const measure = h("button", { type: "button", test: "cw-repair-run", onclick: () => void session.repair() }, "Measure");
  const body = h("tbody", { "aria-live": "polite" });
  const table = h("table", { class: "cw-table cw-repair", test: "cw-repair" }, h("thead", {}, h("tr", {}, h("th"), ...["before", "after", "change"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, "images"))), body);
  const says = h("p", { class: "cw-sub", test: "cw-repair-says" });

  function line(name: string, { before, after, change, low, high, n }: RepairRow): HTMLElement {
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, percent(before)), h("td", {}, percent(after)),
      h("td", { class: low > 0 ? "cw-better" : high < 0 ? "cw-worse" : null }, `${points(change)} [${points(low)}, ${points(high)}]`), h("td", {}, count(n)));
  }

  function show(): void {
    const info = session.classGraph?.info;
    const harmful = session.classGraph ? session.classGraph.verdict.reduce((sum, kind) => sum + Number(info!.verdicts[kind] === "detrimental"), 0) : 0;
    const rows = info?.repair;
    const at = Math.round(Number(slider.value) / 10);
    slider.disabled = table.hidden = !rows;
    measure.disabled = session.running || session.unreachable || !session.kernel?.canCollect || !info?.done || !info.own || (!harmful && session.other === null);
    measure.hidden = Boolean(rows);
    text(share, rows ? `${slider.value} %: ${plural(rows.own[at].blocked, "unit")}` : "");
    slider.setAttribute("aria-valuetext", share.textContent ?? "");
    if (rows) body.replaceChildren(line(info.name, rows.own[at]), ...(rows.others.length ? [line("all others", rows.others[at])] : []));
    text(says, rows ? "Accuracy on images that had no part in finding them, with 95 % intervals in points." : info && !info.own ? "No image of the class is left to judge it: use fewer." : info?.done && !harmful && session.other === null ? "No unit hurts this class." : "How accurate is it with the units that hurt it blocked, on images not used to find them?");
  }

  scope.on(["class", "job", "state"], show);
  return h("section", { class: "cw-class-repair", "aria-label": "Repair" }, h("div", { class: "cw-field" }, h("label", { for: id }, "Repair: block"), slider, share, measure), table, says);
}
