// What the current do() does to the predictions: before, after, change with its 95 % interval, by class and by image.
import { h, options, s, text, uid } from "../dom";
import { count, duration, figures, fixedSigned, half, number, percent, plural, points, shorten } from "../format";
import { SITES } from "../rules";
import type { Scope } from "../scope";
import type { ClassChange, EffectInfo, Guess } from "../types";
import { thumbnail } from "./images";

const [ROW, NAMES, VALUES, WIDE] = [19, 78, 84, 330];

function measure(name: string, test: string): { element: HTMLElement; show(before: string, after: string, change: string, tone: number): void } {
  const cells = ["before", "after", "change"].map((part) => h("span", { class: `cw-${part}`, test: `cw-${test}-${part}` }, "–"));
  const element = h("div", { class: "cw-measure" }, h("span", { class: "cw-sub" }, name), cells[0], h("span", { class: "cw-arrow" }, "→"), cells[1], cells[2]);
  return {
    element,
    show(before, after, change, tone) {
      [before, after, change].forEach((value, k) => text(cells[k], value));
      cells[2].classList.toggle("cw-worse", tone < 0);
      cells[2].classList.toggle("cw-better", tone > 0);
    },
  };
}

/** The sign of a change, 0 where its 95 % interval does not tell it from none. */
function clear(change: number | null, se: number | null): number {
  return change === null || Math.abs(change) <= (half(se) ?? 0) ? 0 : Math.sign(change);
}

/** Horizontal bars of change a class, each with its 95 % interval; the largest changes first when there are many. */
function bars(classes: ClassChange[], ofAccuracy: boolean): SVGSVGElement {
  const rows = classes.map((each) => ({ name: each.name, value: ofAccuracy ? each.change : each.logit, interval: half(ofAccuracy ? each.se : each.logitSe) ?? 0 }));
  const reach = Math.max(1e-9, ...rows.map(({ value, interval }) => Math.abs(value ?? 0) + interval));
  const plot = WIDE - NAMES - VALUES;
  const x = (value: number) => NAMES + plot / 2 + (value / reach) * (plot / 2 - 4);
  const chart = s("svg", { class: "cw-bars", viewBox: `0 0 ${WIDE} ${rows.length * ROW + 4}`, width: "100%", role: "img", "aria-label": "Change by class" });
  chart.append(s("line", { class: "cw-axis", x1: x(0), x2: x(0), y1: 0, y2: rows.length * ROW + 4 }));
  rows.forEach(({ name, value, interval }, k) => {
    const y = k * ROW + ROW / 2 + 2;
    chart.append(s("text", { x: NAMES - 8, y: y + 4, "text-anchor": "end" }, shorten(name, 11), s("title", {}, name)));
    if (value === null) return;
    chart.append(
      s("rect", { class: value < 0 ? "cw-minus" : "cw-plus", x: Math.min(x(0), x(value)), y: y - 5, width: Math.max(0.5, Math.abs(x(value) - x(0))), height: 10 }),
      s("path", { class: "cw-whisker", d: `M${x(value - interval)} ${y}H${x(value + interval)}M${x(value - interval)} ${y - 3}v6M${x(value + interval)} ${y - 3}v6` }),
      s("text", { class: "cw-number", x: WIDE, y: y + 4, "text-anchor": "end" }, ofAccuracy ? `${points(value)} ± ${(interval * 100).toFixed(1)}` : `${fixedSigned(value, 2)} ± ${number(interval, 2)}`),
    );
  });
  return chart;
}

export function interventions(scope: Scope): HTMLElement {
  const { session } = scope;
  const siteId = uid("site");
  const site = h("select", { id: siteId, test: "cw-site", onchange: () => session.set("site", site.value) });
  const explain = h("p", { class: "cw-sub cw-explain" });
  const accuracy = measure("accuracy", "accuracy");
  const loss = measure("loss", "loss");
  const flipped = h("div", { class: "cw-flipped", test: "cw-flipped" });
  const caption = h("h4", {});
  const classes = h("div", { class: "cw-classes", test: "cw-classes" });
  const strip = h("div", { class: "cw-cards", test: "cw-effect-strip" });
  const numbers = h("div", { class: "cw-effect" }, h("div", { class: "cw-measures" }, accuracy.element, loss.element, flipped), caption, classes, h("h4", {}, "Predictions, before and after"), strip);
  const empty = h("div", { class: "cw-placeholder", test: "cw-effect-empty" }, h("b", {}, "Nothing is zeroed"), h("span", {}, "Zero a filter to see what it does to the predictions: double-click it in the graph, or press Zero out in the Inspector."));

  function guess({ cls, p }: Guess): string {
    return `${shorten(session.kernel?.classes[cls] ?? String(cls), 10)} ${percent(p, 0)}`;
  }

  function card(k: number, { before, after }: { before: Guess; after: Guess }): HTMLElement {
    const changed = before.cls !== after.cls;
    return h("div", { class: changed ? "cw-card cw-changed" : "cw-card", title: changed ? "the prediction changes" : "the prediction stays" },
      session.images && k < session.images.shape[0] ? thumbnail(session.images, k) : h("span", { class: "cw-thumb" }),
      h("div", {}, h("div", { class: "cw-sub" }, guess(before)), h("div", {}, changed ? "→ " : "", guess(after))));
  }

  function show(effect: EffectInfo): void {
    const { before, after, change } = effect;
    const within = (se: number | null, scale: number, digits: number) => (half(se) === null ? "" : ` ± ${(half(se)! * scale).toFixed(digits)}`);
    accuracy.show(percent(before.accuracy), percent(after.accuracy), `${points(change.accuracy)}${within(change.accuracySe, 100, 1)}`, clear(change.accuracy, change.accuracySe));
    loss.show(figures(before.loss), figures(after.loss), `${fixedSigned(change.loss)}${within(change.lossSe, 1, 3)}`, -clear(change.loss, change.lossSe));
    accuracy.element.hidden = loss.element.hidden = before.accuracy === null;
    text(flipped, `${count(effect.flipped)} of ${plural(effect.n, "prediction")} changed${effect.seconds ? ` · took ${duration(effect.seconds)}` : ""}`);
    const ofAccuracy = effect.classes.some((each) => each.change !== null);
    const measured = effect.classes.filter((each) => (ofAccuracy ? each.change : each.logit) !== null);
    const sorted = measured.length > 12 ? [...measured].sort((a, b) => Math.abs((ofAccuracy ? b.change : b.logit) ?? 0) - Math.abs((ofAccuracy ? a.change : a.logit) ?? 0)).slice(0, 12) : measured;
    text(caption, `${ofAccuracy ? "Points of accuracy by class" : "Mean logit change by class"}${sorted.length < measured.length ? ", 12 largest" : ""}, ± 95 %`);
    classes.replaceChildren(bars(sorted, ofAccuracy));
    strip.replaceChildren(...effect.strip.map((each, k) => card(k, each)));
  }

  scope.on(["effect", "images"], () => {
    const { effect, effectWaiting } = session;
    const nothing = session.zeroed === 0;
    empty.hidden = !nothing;
    numbers.hidden = nothing;
    numbers.classList.toggle("cw-stale", effectWaiting);
    numbers.setAttribute("aria-busy", String(effectWaiting));
    if (effect) show(effect);
    else if (!nothing) text(flipped, effectWaiting ? "Measuring …" : "No result");
  });
  scope.on(["site", "graph"], () => {
    const there = new Set((session.graph?.layers ?? []).flatMap((layer) => layer.sites));
    options(site, SITES.filter(([name]) => !there.size || there.has(name)).map(([name, label]) => [name, label]), session.get("site"));
    text(explain, SITES.find(([name]) => name === session.get("site"))?.[2] ?? "");
  });
  return h("div", { class: "cw-interventions" }, h("div", { class: "cw-field" }, h("label", { for: siteId }, "Set to zero at the"), site), explain, empty, numbers);
}
