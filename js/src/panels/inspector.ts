// The selected filter, or filters: weights, response, equation, importance, relatives.
import { h, text } from "../dom";
import { count, fixedSigned, number, percent, plural } from "../format";
import { EFFECT, RULES, ruleLabel } from "../rules";
import type { Scope } from "../scope";
import type { Unit } from "../records";
import type { Relative } from "../types";
import { countUnits, pairs } from "../units";
import { shortName, unitName } from "./graph";
import { effectLine } from "./ranks";
import { weightsPicture } from "./weights";

const LISTED = 100;
const strength = ({ standardised, coefficient, weight }: Relative): number | null => standardised ?? coefficient ?? weight ?? null;

export function inspector(scope: Scope): HTMLElement {
  const { session } = scope;
  const heading = h("h3", { test: "cw-inspector-title" });
  const zero = h("button", { type: "button", class: "cw-zero", test: "cw-zero", onclick: () => session.toggle(session.get("selected") ?? {}) });
  const picture = weightsPicture();
  const facts = h("div", { class: "cw-facts", test: "cw-facts" });
  const ranks = h("div", { class: "cw-ranks", test: "cw-ranks" });
  const parents = h("div", { class: "cw-relatives", test: "cw-parents" });
  const children = h("div", { class: "cw-relatives", test: "cw-children" });
  const notes = h("div", { class: "cw-notes", test: "cw-notes" });
  const one = h(
    "div", { class: "cw-one" },
    h("div", { class: "cw-beside" }, picture.element, facts),
    h("h4", {}, "Importance by rule"), ranks,
    h("div", { class: "cw-halves" }, h("div", {}, h("h4", {}, "Strongest parents"), parents), h("div", {}, h("h4", {}, "Strongest children"), children)),
    notes,
  );
  const many = h("div", { class: "cw-many", test: "cw-selected-list" });
  const empty = h("div", { class: "cw-placeholder", test: "cw-inspector-empty" },
    h("b", {}, "No filter is selected"), h("span", {}, "Click a filter in the graph to see its weights, its equation and its strongest parents and children."));
  let shown: Unit | null = null;
  let run = 0;

  function fact(name: string, value: string, title = ""): HTMLElement[] {
    return [h("span", { class: "cw-sub", title }, name), h("span", { class: "cw-number" }, value)];
  }

  function relative(each: Relative, top: number): HTMLElement {
    const { layer, unit, standardised, coefficient } = each;
    const value = strength(each);
    const bar = h("i", { class: value !== null && value < 0 ? "cw-minus" : "cw-plus" });
    bar.style.width = `${Math.round((100 * Math.abs(value ?? 0)) / top)}%`;
    const title = `${layer} · ${unit}: ${standardised === null ? `weight norm ${number(value)}` : `standardised ${number(standardised)}, coefficient ${number(coefficient)}`}`;
    return h("button", { type: "button", class: "cw-relative", title, onclick: () => session.set("selected", { [layer]: [unit] }) },
      shortName(session, layer, unit, 14), h("span", { class: "cw-number" }, standardised === null ? number(value, 2) : fixedSigned(value, 2)), h("span", { class: "cw-relative-bar" }, bar));
  }

  function relatives(element: HTMLElement, list: Relative[], none: string): void {
    const top = Math.max(1e-12, ...list.map((each) => Math.abs(strength(each) ?? 0)));
    element.replaceChildren(...list.map((each) => relative(each, top)));
    if (!list.length) element.append(h("span", { class: "cw-sub" }, none));
  }

  function showOne({ info, weights }: Unit): void {
    const collected = info.response !== null;
    picture.show(weights, info.weights?.shape ?? [], scope.dark);
    facts.replaceChildren(
      ...fact("response", info.response ? `${number(info.response.mean)} ± ${number(info.response.sd)}` : "–", "mean ± standard deviation over the collected images"),
      ...fact("R²", number(info.r2), "share of the response's variance that its parents explain"),
      ...fact("R², held out", number(info.heldoutR2), "the same on images that the equation has not seen"),
    );
    const effect = effectLine(session.ranking, info.layer, info.unit);
    if (effect) facts.append(h("span", { class: "cw-wide", test: "cw-effect-line", title: "Effect of silencing it alone, with its 95 % interval and verdict" }, effect));
    if (!collected) facts.append(h("span", { class: "cw-sub cw-wide" }, "Press Collect for the response and the equation."));
    const entries = [...RULES, EFFECT].filter(([rule]) => info.importance[rule]).map(([rule]) => [rule, info.importance[rule]] as const);
    ranks.replaceChildren(...entries.map(([rule, { value, rank, of }]) => {
      const bar = h("i");
      bar.style.width = `${rank === null || of < 2 ? 0 : Math.round((100 * (of - rank)) / (of - 1))}%`;
      return h("div", { class: rule === session.get("rule") ? "cw-rank cw-current" : "cw-rank" },
        h("span", {}, ruleLabel(rule)), h("span", { class: "cw-number" }, percent(value, 2)),
        h("span", { class: "cw-rank-bar", title: "higher rank to the right" }, bar), h("span", { class: "cw-number" }, rank === null ? "–" : `${count(rank)} of ${count(of)}`));
    }));
    if (!entries.length) ranks.append(h("span", { class: "cw-sub" }, session.layer(info.layer)?.isOutput ? "A class has no importance: it is what the filters act on." : "Press Collect to learn the importances."));
    relatives(parents, info.parents, "none: it reads the image");
    relatives(children, info.children, session.layer(info.layer)?.isOutput ? "none: a class" : "none");
    notes.replaceChildren(...info.notes.map((note) => h("div", {}, note)));
  }

  /** "3 filters, 1 class" */
  function several(units: [layer: string, unit: number][]): string {
    const classes = units.filter(([layer]) => session.layer(layer)?.isOutput).length;
    return [[units.length - classes, "filter", "filters"] as const, [classes, "class", "classes"] as const].filter(([n]) => n).map(([n, one, more]) => plural(n, one, more)).join(", ");
  }

  function showMany(): void {
    const all = pairs(session.get("selected") ?? {});
    const chip = (layer: string, unit: number) => h(
      "button", { type: "button", class: session.isAblated(layer, unit) ? "cw-chip cw-chip-name cw-struck" : "cw-chip cw-chip-name", title: `Select ${unitName(session, layer, unit)}`, onclick: () => session.set("selected", { [layer]: [unit] }) },
      session.layer(layer)?.isOutput ? unitName(session, layer, unit) : String(unit));
    const shown = all.slice(0, LISTED);
    many.replaceChildren(...[...new Set(shown.map(([layer]) => layer))].map((layer) => h(
      "div", {}, h("h4", {}, `${layer} · ${several(all.filter(([name]) => name === layer))}`), h("div", { class: "cw-chips" }, ...shown.filter(([name]) => name === layer).map(([, unit]) => chip(layer, unit))))));
    if (all.length > LISTED) many.append(h("span", { class: "cw-sub" }, `and ${count(all.length - LISTED)} more`));
  }

  function buttons(): void {
    const selected = session.get("selected") ?? {};
    const filters = pairs(selected).filter(([layer]) => !session.layer(layer)?.isOutput);
    const restore = filters.length > 0 && filters.every(([layer, unit]) => session.isAblated(layer, unit));
    const several = countUnits(selected) > 1;
    zero.disabled = filters.length === 0;
    zero.classList.toggle("cw-restore", restore);
    text(zero, restore ? (several ? "Restore all" : "Restore") : several ? "Zero out all" : "Zero out");
  }

  async function select(): Promise<void> {
    const mine = ++run;
    const all = session.graph ? pairs(session.get("selected") ?? {}) : [];
    empty.hidden = all.length > 0;
    one.hidden = all.length !== 1;
    many.hidden = all.length < 2;
    text(heading, all.length === 1 ? unitName(session, ...all[0]) : all.length ? `${several(all)} selected` : "Inspector");
    buttons();
    if (all.length > 1) showMany();
    if (all.length !== 1) return;
    one.classList.add("cw-stale");
    try {
      const unit = await session.unit(...all[0]);
      if (mine !== run) return;
      shown = unit;
      showOne(unit);
    } catch (error) {
      if (mine !== run) return;
      one.hidden = true; // else the numbers of another filter would stand under this one's name
      session.fail(error, "Filter");
    }
    if (mine === run) one.classList.remove("cw-stale");
  }

  scope.on(["selected", "revision", "importance"], () => void select());
  scope.on(["ablated", "graph"], () => {
    buttons();
    showMany();
  });
  scope.on(["rule", "ranking"], () => shown && showOne(shown));
  scope.onTheme(() => shown && showOne(shown));
  return h("div", { class: "cw-inspector" }, h("div", { class: "cw-section-head" }, heading, zero), empty, one, many);
}
