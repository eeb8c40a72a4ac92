// Accuracy over percentage pruned: one line a rule, told apart by colour, dash and marker; the band is the spread of random draws.
import { h, s } from "../dom";
import { percent } from "../format";
import { ruleLabel } from "../rules";
import type { CurveInfo, CurveRule } from "../types";

const [WIDTH, HEIGHT] = [340, 236];
const PLOT = { left: 40, right: 10, top: 10, bottom: 34 };
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "5 2", "1 2"];

/** Markers as paths around the origin, one a rule. */
const MARKERS = ["M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0", "M-3.2-3.2h6.4v6.4h-6.4z", "M0-4.4L4.2 3.2H-4.2z", "M0-4.6L4.2 0L0 4.6L-4.2 0z", "M0 4.4L4.2-3.2H-4.2z", "M-3.4-3.4L3.4 3.4M3.4-3.4L-3.4 3.4"];

export function niceSteps(low: number, high: number, about: number): number[] {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= raw - 1e-12)!;
  const ticks: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

interface Scales {
  x(value: number): number;
  y(value: number): number;
  low: number;
  high: number;
}

function scales(curve: CurveInfo): Scales {
  const all = curve.rules.flatMap((rule) => [...rule.low, ...rule.mean]).filter(Number.isFinite);
  if (curve.baseline !== null) all.push(curve.baseline);
  const [min, max] = [Math.min(1, ...all), Math.max(0, ...all)];
  const pad = Math.max(0.02, (max - min) * 0.08);
  const [low, high] = [Math.max(0, min - pad), Math.min(1, max + pad)];
  const [from, to] = [Math.min(...curve.percents), Math.max(...curve.percents)];
  return {
    x: (value) => PLOT.left + ((value - from) / Math.max(1e-9, to - from)) * (WIDTH - PLOT.left - PLOT.right),
    y: (value) => HEIGHT - PLOT.bottom - ((value - low) / Math.max(1e-9, high - low)) * (HEIGHT - PLOT.top - PLOT.bottom),
    low, high,
  };
}

function axes(chart: SVGSVGElement, curve: CurveInfo, { x, y, low, high }: Scales): void {
  for (const tick of niceSteps(low, high, 5)) {
    chart.append(
      s("line", { class: "cw-rule", x1: PLOT.left, x2: WIDTH - PLOT.right, y1: y(tick), y2: y(tick) }),
      s("text", { x: PLOT.left - 6, y: y(tick) + 4, "text-anchor": "end" }, `${Number((tick * 100).toFixed(1))}`),
    );
  }
  for (const tick of niceSteps(Math.min(...curve.percents), Math.max(...curve.percents), 6)) {
    chart.append(s("text", { x: x(tick), y: HEIGHT - PLOT.bottom + 15, "text-anchor": "middle" }, `${tick}`));
  }
  chart.append(
    s("text", { class: "cw-axis-name", x: (PLOT.left + WIDTH - PLOT.right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "% of filters pruned in each layer"),
    s("text", { class: "cw-axis-name", x: 10, y: HEIGHT / 2 - 10, "text-anchor": "middle", transform: `rotate(-90 10 ${HEIGHT / 2 - 10})` }, "accuracy, %"),
  );
  if (curve.baseline === null) return;
  chart.append(s("line", { class: "cw-baseline", x1: PLOT.left, x2: WIDTH - PLOT.right, y1: y(curve.baseline), y2: y(curve.baseline) }));
}

function band(rule: CurveRule, curve: CurveInfo, { x, y }: Scales): string {
  const up = curve.percents.map((at, k) => `${x(at)} ${y(rule.high[k])}`);
  const down = curve.percents.map((at, k) => `${x(at)} ${y(rule.low[k])}`).reverse();
  return `M${up.join("L")}L${down.join("L")}Z`;
}

function lines(chart: SVGSVGElement, curve: CurveInfo, scale: Scales): void {
  curve.rules.forEach((rule, k) => {
    if (rule.repeats > 1) chart.append(s("path", { class: `cw-band cw-ink-${k % 6}`, d: band(rule, curve, scale) }));
  });
  curve.rules.forEach((rule, k) => {
    const points = curve.percents.map((at, i) => [scale.x(at), scale.y(rule.mean[i])] as const).filter(([, y]) => Number.isFinite(y));
    chart.append(s("path", { class: `cw-curve cw-ink-${k % 6}`, d: `M${points.map((p) => p.join(" ")).join("L")}`, "stroke-dasharray": DASHES[k % 6] || null }));
    const every = Math.ceil(points.length / 11);
    points.forEach(([px, py], i) => i % every === 0 && chart.append(s("path", { class: `cw-marker cw-ink-${k % 6}`, d: MARKERS[k % 6], transform: `translate(${px} ${py})` })));
  });
}

function legend(curve: CurveInfo): { element: HTMLElement; show(at: number | null): void } {
  const values = curve.rules.map(() => h("span", { class: "cw-number" }));
  const where = h("span", { class: "cw-sub" });
  const element = h("div", { class: "cw-chart-legend" }, where, h("span"),
    ...curve.rules.flatMap((rule, k) => [
      h("span", { class: "cw-key" }, s("svg", { width: 34, height: 12, viewBox: "-17 -6 34 12" },
        s("path", { class: `cw-curve cw-ink-${k % 6}`, d: "M-17 0H17", "stroke-dasharray": DASHES[k % 6] || null }), s("path", { class: `cw-marker cw-ink-${k % 6}`, d: MARKERS[k % 6] })),
      ` ${ruleLabel(rule.name)}${rule.repeats > 1 ? ` (${rule.repeats} draws, band 5–95 %)` : ""}`),
      values[k],
    ]));
  const show = (at: number | null) => {
    const k = at ?? curve.percents.length - 1;
    where.textContent = `at ${curve.percents[k]} % pruned`;
    curve.rules.forEach((rule, i) => (values[i].textContent = percent(rule.mean[k])));
  };
  show(null);
  return { element, show };
}

export function curveChart(curve: CurveInfo): HTMLElement {
  const chart = s("svg", { class: "cw-chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: "100%", role: "img", "aria-label": "Accuracy over percentage of filters pruned", "data-testid": "cw-prune-chart" });
  const scale = scales(curve);
  axes(chart, curve, scale);
  lines(chart, curve, scale);
  const cursor = s("line", { class: "cw-cursor", y1: PLOT.top, y2: HEIGHT - PLOT.bottom, x1: -9, x2: -9 });
  chart.append(cursor);
  const keys = legend(curve);
  chart.addEventListener("pointermove", (event) => {
    const frame = chart.getBoundingClientRect();
    const px = ((event.clientX - frame.left) / frame.width) * WIDTH;
    const distance = (k: number) => Math.abs(scale.x(curve.percents[k]) - px);
    const nearest = curve.percents.reduce((best, _, k) => (distance(k) < distance(best) ? k : best), 0);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, String(scale.x(curve.percents[nearest])));
    keys.show(nearest);
  });
  chart.addEventListener("pointerleave", () => {
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, "-9");
    keys.show(null);
  });
  return h("div", { class: "cw-chart-box" }, chart, keys.element);
}
