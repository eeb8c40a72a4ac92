// One unit's equation: its strongest parents with their coefficients, and what it predicts against what was observed.
import { h, s, text } from "../dom";
import { count, fixedSigned, number, percent } from "../format";
import type { Equation } from "../records";
import type { Scope } from "../scope";
import type { EquationInfo, Parent } from "../types";
import { pairs } from "../units";
import { niceSteps } from "./chart";
import { shortName, unitName } from "./graph";

const LISTED = 12;
const [WIDE, HIGH] = [330, 200];
const PLOT = { left: 42, right: 8, top: 8, bottom: 32 };

/** The strongest parents first, by one kind of coefficient. */
export function strongest(parents: Parent[], by: "standardised" | "coefficient", most = LISTED): Parent[] {
  return [...parents].sort((a, b) => Math.abs(b[by] ?? 0) - Math.abs(a[by] ?? 0)).slice(0, most);
}

function scatter(points: Float32Array): SVGSVGElement {
  const [low, high] = points.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity]);
  const span = Math.max(1e-9, high - low);
  const [from, to] = [low - 0.04 * span, high + 0.04 * span];
  const x = (value: number) => PLOT.left + ((value - from) / (to - from)) * (WIDE - PLOT.left - PLOT.right);
  const y = (value: number) => HIGH - PLOT.bottom - ((value - from) / (to - from)) * (HIGH - PLOT.top - PLOT.bottom);
  const chart = s("svg", { class: "cw-chart cw-scatter", viewBox: `0 0 ${WIDE} ${HIGH}`, width: "100%", role: "img", "aria-label": "Predicted against observed response, image by image", "data-testid": "cw-scatter" });
  for (const tick of niceSteps(from, to, 4)) {
    chart.append(
      s("line", { class: "cw-rule", x1: PLOT.left, x2: WIDE - PLOT.right, y1: y(tick), y2: y(tick) }),
      s("text", { x: PLOT.left - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick)),
      s("text", { x: x(tick), y: HIGH - PLOT.bottom + 14, "text-anchor": "middle" }, number(tick)));
  }
  let dots = "";
  for (let k = 0; k + 1 < points.length; k += 2) dots += `M${x(points[k]).toFixed(1)} ${y(points[k + 1]).toFixed(1)}h0`;
  chart.append(
    s("line", { class: "cw-baseline", x1: x(from), y1: y(from), x2: x(to), y2: y(to) }),
    s("path", { class: "cw-dots", d: dots }),
    s("text", { class: "cw-axis-name", x: (PLOT.left + WIDE - PLOT.right) / 2, y: HIGH - 3, "text-anchor": "middle" }, "observed response"),
    s("text", { class: "cw-axis-name", x: 10, y: HIGH / 2 - 10, "text-anchor": "middle", transform: `rotate(-90 10 ${HIGH / 2 - 10})` }, "predicted"));
  return chart;
}

export function oneEquation(scope: Scope): HTMLElement {
  const { session } = scope;
  const heading = h("h3", { test: "cw-equation-title" });
  const formula = h("p", { class: "cw-sub", test: "cw-equation-formula" });
  const facts = h("div", { class: "cw-facts cw-facts-4", test: "cw-equation-facts" });
  const parents = h("div", { class: "cw-coefficients", test: "cw-coefficients" });
  const more = h("p", { class: "cw-sub" });
  const notes = h("div", { class: "cw-notes", test: "cw-equation-notes" });
  const plot = h("div", { class: "cw-chart-box" });
  const kinds = ([["standardised", "standardised"], ["coefficient", "raw"]] as const).map(([name, label]) => {
    const button = h("button", { type: "button", class: "cw-subtab", test: `cw-by-${name}`, onclick: () => { by = name; if (shown) showParents(shown.info); } }, label);
    return { name, button };
  });
  const kindRow = h("div", { class: "cw-row" }, h("h4", {}, "Strongest parents"), h("div", { class: "cw-subtabs cw-small-tabs", role: "group", "aria-label": "Kind of coefficient" }, ...kinds.map(({ button }) => button)));
  const body = h("div", {}, formula, facts, kindRow, parents, more, h("h4", {}, "Predicted against observed, held-out images"), plot, notes);
  const empty = h("div", { class: "cw-placeholder", test: "cw-equation-empty" });
  let by: "standardised" | "coefficient" = "standardised";
  let shown: Equation | null = null;
  let run = 0;

  const fact = (name: string, value: string, title: string) => [h("span", { class: "cw-sub", title }, name), h("span", { class: "cw-number", title }, value)];

  function coefficient(each: Parent, top: number): HTMLElement {
    const value = each[by] ?? 0;
    const bar = h("i", { class: value < 0 ? "cw-minus" : "cw-plus" });
    bar.style.width = `${(50 * Math.abs(value)) / top}%`;
    bar.style[value < 0 ? "right" : "left"] = "50%";
    const name = unitName(session, each.layer, each.unit);
    return h("button", { type: "button", class: "cw-coefficient", title: `Select ${name}: standardised ${number(each.standardised)}, coefficient ${number(each.coefficient)}`, onclick: () => session.set("selected", { [each.layer]: [each.unit] }) },
      shortName(session, each.layer, each.unit, 13),
      h("span", { class: "cw-signed" }, bar), h("span", { class: "cw-number" }, by === "standardised" ? fixedSigned(value, 2) : number(value)));
  }

  function showParents(info: EquationInfo): void {
    const { equation } = info;
    if (!equation) return;
    for (const { name, button } of kinds) button.setAttribute("aria-pressed", String(name === by));
    const listed = strongest(equation.parents, by);
    const top = Math.max(1e-12, ...listed.map((each) => Math.abs(each[by] ?? 0)));
    parents.replaceChildren(...listed.map((each) => coefficient(each, top)));
    kindRow.hidden = parents.hidden = !equation.linear;
    text(more, !equation.linear ? `${equation.estimator} has no coefficients: what it predicts is below.` : equation.nParents > listed.length ? `and ${count(equation.nParents - listed.length)} weaker parents` : "");
  }

  function showOne({ info, points }: Equation): void {
    const { equation } = info;
    empty.hidden = equation !== null;
    body.hidden = equation === null;
    if (!equation) return empty.replaceChildren(h("b", {}, "No equation"), h("span", {}, `${unitName(session, info.layer, info.unit)}: ${info.reason ?? ""}.`));
    text(formula, equation.linear ? "response = constant + Σ coefficient × parent" : `response = ${equation.estimator} of the parents' responses`);
    facts.replaceChildren(
      ...fact("R²", number(equation.r2), "share of the response's variance that its parents explain, on the images the equation was fitted to"),
      ...fact("parents", count(equation.nParents), "numbers that the equation reads"),
      ...fact("R², held out", number(equation.heldoutR2), "the same on images that the equation has not seen"),
      ...fact("condition", equation.condition === null ? "–" : number(equation.condition, 2), "condition number of the parents' correlations: above a few hundred, single coefficients mean little"),
      ...fact("error", percent(equation.relativeMse), "mean squared error as a share of the response's variance"),
      ...fact("penalty", equation.penalty === null ? "–" : number(equation.penalty, 2), "share of each parent's variance that is added, which keeps coefficients small"));
    showParents(info);
    const why = equation.noPoints ?? (points.length ? null : "no image was held out");
    plot.replaceChildren(why === null ? scatter(points) : h("p", { class: "cw-sub" }, `Not shown: ${why}.`));
    notes.replaceChildren(...equation.notes.map((note) => h("div", {}, `! ${note}`)));
  }

  function nothing(title: string, words: string): void {
    body.hidden = true;
    empty.hidden = false;
    empty.replaceChildren(h("b", {}, title), h("span", {}, words));
  }

  async function select(): Promise<void> {
    const mine = ++run;
    const all = session.graph ? pairs(session.get("selected") ?? {}) : [];
    text(heading, all.length ? `${unitName(session, ...all[0])}${all.length > 1 ? `, the first of ${all.length} selected` : ""}` : "");
    shown = null;
    if (!session.equations) return;
    if (!all.length) return nothing("No unit is selected", "Click one in the graph, or one of the worst equations, to see what it is made of.");
    body.classList.add("cw-stale");
    try {
      const found = await session.equation(...all[0]);
      if (mine !== run) return;
      shown = found;
      showOne(found);
    } catch (error) {
      if (mine !== run) return;
      nothing("No equation", "It could not be read.");
      session.fail(error, "Equation");
    }
    if (mine === run) body.classList.remove("cw-stale");
  }

  /** Only while the panel is open: the inspector alone asks at every step through the graph. */
  scope.on(["selected", "equations", "panel"], () => {
    if (session.get("panel") === "equations") void select();
  });
  return h("div", {}, h("div", { class: "cw-section-head" }, heading), empty, body);
}
