// The table of units with their effects: chips that count and choose verdicts, sorting, CSV. Shared by ranking and classes.
import { h, text } from "../dom";
import { count } from "../format";
import type { Table } from "../records";
import { SIGNS } from "../rules";
import type { Scope } from "../scope";
import { pairs } from "../units";
import { kindName, shortName, unitName } from "./graph";
import { change, csv, KEYS, ordered, pValue, range, type Key, type Order } from "./ranks";

const MORE = 200; // rows shown at once
const HEADS: Record<Key, [label: string, title: string]> = {
  unit: ["filter", "in the order of the network"],
  effect: ["effect", "mean change"],
  low: ["95 % interval", "of the mean change, for this filter alone; sorted by its lower end"],
  verdict: ["", "verdict"],
  corrected: ["p", "of the verdict, corrected for all filters that were asked about"],
  images: ["images", "on which the effect was measured"],
};

export function effectsTable(scope: Scope, test: string, effect: string, found: () => Table | null, unlisted: string[] = []): { head: HTMLElement; rows: HTMLElement[]; show(): void } {
  const { session } = scope;
  let order: Order = { key: "effect", by: "size" };
  let most = MORE;
  const hidden = new Set(unlisted);
  const chips = h("div", { class: "cw-verdicts", role: "group", "aria-label": "Verdicts that are listed" });
  const save = h("button", { type: "button", test: `${test}-csv`, title: "Every row, as a file", onclick: () => download() }, "CSV");
  const heads = KEYS.map((key) => {
    const button = h("button", { type: "button", class: "cw-sort", "data-sort": key, title: `${key === "effect" ? effect : HEADS[key][1]}; press to sort`, onclick: () => sort(key) });
    return { key, button, cell: h("th", { scope: "col" }, button) };
  });
  const body = h("tbody");
  const table = h("table", { class: "cw-ranks-table", test: `${test}-table` }, h("thead", {}, h("tr", {}, ...heads.map(({ cell }) => cell))), body);
  const more = h("button", { class: "cw-link", type: "button", test: `${test}-more`, onclick: () => { most += MORE; list(); } });

  function sort(key: Key): void {
    order = key === "effect" ? { key, by: order.key !== key ? "size" : order.by === "size" ? "down" : order.by === "down" ? "up" : "size" } : { key, by: order.key === key && order.by === "up" ? "down" : "up" };
    most = MORE;
    list();
  }

  function row(found: Table, k: number): HTMLElement {
    const { layers, outcome, verdicts } = found.info;
    const [name, number] = [layers[found.layer[k]], found.unit[k]];
    const kind = verdicts[found.verdict[k]];
    const needed = found.needed[k];
    const why = kind === "undecided" ? (Number.isFinite(needed) ? `; about ${count(needed)} images would settle it` : "; more images would not settle it") : "";
    const label = `${kindName(session, kind)}${why}`;
    return h("tr", { "data-unit": `${name} ${number}`, "aria-selected": session.get("selected")?.[name]?.includes(number) ? "true" : null, onclick: () => session.set("selected", { [name]: [number] }) },
      h("th", { scope: "row" }, h("button", { type: "button", class: "cw-rank-unit", title: `Select ${unitName(session, name, number)}` }, shortName(session, name, number, 10))),
      h("td", { class: "cw-number" }, change(outcome, found.effect[k])), h("td", { class: "cw-number" }, range(outcome, found.low[k], found.high[k])),
      h("td", { class: `cw-sign cw-${kind.replace(" ", "-")}`, title: label }, h("span", { "aria-hidden": "true" }, SIGNS[kind]), h("span", { class: "cw-hidden" }, label)),
      h("td", { class: "cw-number", title: `uncorrected ${pValue(found.p[k])}` }, pValue(found.corrected[k])), h("td", { class: "cw-number" }, count(found.images[k])));
  }

  function list(): void {
    const now = found();
    if (!now) return;
    const rows = ordered(now, order).filter((k) => !hidden.has(now.info.verdicts[now.verdict[k]]));
    for (const { key, button, cell } of heads) {
      const mine = order.key === key;
      text(button, `${key === "effect" && mine && order.by === "size" ? "|effect|" : HEADS[key][0] || "▲"}${mine ? (order.by === "up" ? " ↑" : " ↓") : ""}`);
      if (!HEADS[key][0]) button.setAttribute("aria-label", "verdict");
      cell.setAttribute("aria-sort", !mine ? "none" : order.by === "up" ? "ascending" : order.by === "down" ? "descending" : "other");
    }
    body.replaceChildren(...rows.slice(0, most).map((k) => row(now, k)));
    if (!rows.length) body.append(h("tr", {}, h("td", { colspan: KEYS.length, class: "cw-sub" }, "No filter has one of the verdicts that are ticked.")));
    more.hidden = rows.length <= most;
    text(more, `Show ${count(Math.min(MORE, rows.length - most))} more of ${count(rows.length)}`);
  }

  function show(): void {
    const now = found();
    if (!now) return;
    const { verdicts } = now.info;
    chips.replaceChildren(...verdicts.map((kind, k) => h("label", { class: `cw-check cw-${kind.replace(" ", "-")}` },
      h("input", { type: "checkbox", checked: !hidden.has(kind), "data-testid": `${test}-only-${kind}`, onchange: (event: Event) => { hidden[(event.target as HTMLInputElement).checked ? "delete" : "add"](kind); most = MORE; list(); } }),
      h("i", { class: "cw-sign", "aria-hidden": "true" }, SIGNS[kind]), ` ${kindName(session, kind)} `, h("b", {}, count(now.verdict.reduce((sum, each) => sum + Number(each === k), 0))))));
    list();
  }

  function download(): void {
    const now = found()!;
    const link = h("a", { href: URL.createObjectURL(new Blob([csv(now, ordered(now, order))], { type: "text/csv" })), download: `effects-${now.info.outcome}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  scope.on("selected", () => {
    const chosen = new Set(pairs(session.get("selected") ?? {}).map(([name, number]) => `${name} ${number}`));
    for (const each of body.children) {
      if (chosen.has((each as HTMLElement).dataset.unit ?? "")) each.setAttribute("aria-selected", "true");
      else each.removeAttribute("aria-selected");
    }
  });
  return { head: h("div", { class: "cw-section-head" }, chips, save), rows: [table, more], show };
}
