// Agreement with the network and accuracy over depth: how far a prediction carries that knows only the first layers.
import { h, s } from "../dom";
import { abbreviate, percent } from "../format";
import type { DepthInfo } from "../types";

const [WIDE, HIGH] = [330, 190];
const PLOT = { left: 38, right: 10, top: 10, bottom: 52 };
const LINES = [["agreement", "agree with the network", "", "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0"], ["accuracy", "agree with the labels", "7 3", "M-3.2-3.2h6.4v6.4h-6.4z"]] as const;

export function depthChart(depth: DepthInfo): HTMLElement {
  const { layers } = depth;
  const chart = s("svg", { class: "cw-chart", viewBox: `0 0 ${WIDE} ${HIGH}`, width: "100%", role: "img", "aria-label": "Agreement of the equations with the network, by the last layer that is observed", "data-testid": "cw-depth" });
  const x = (k: number) => PLOT.left + (layers.length < 2 ? 0.5 : k / (layers.length - 1)) * (WIDE - PLOT.left - PLOT.right);
  const y = (value: number) => HIGH - PLOT.bottom - value * (HIGH - PLOT.top - PLOT.bottom);
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    chart.append(s("line", { class: "cw-rule", x1: PLOT.left, x2: WIDE - PLOT.right, y1: y(tick), y2: y(tick) }), s("text", { x: PLOT.left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick * 100)));
  }
  const every = Math.ceil(layers.length / 9);
  layers.forEach((layer, k) => k % every === 0 && chart.append(s("text", { x: 0, y: 0, "text-anchor": "end", transform: `translate(${x(k) + 4} ${HIGH - PLOT.bottom + 12}) rotate(-32)` }, abbreviate(layer, 9), s("title", {}, layer))));
  chart.append(s("text", { class: "cw-axis-name", x: 10, y: (HIGH - PLOT.bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${(HIGH - PLOT.bottom) / 2})` }, "% of images"));
  if (depth.network !== null) chart.append(s("line", { class: "cw-baseline", x1: PLOT.left, x2: WIDE - PLOT.right, y1: y(depth.network), y2: y(depth.network) }, s("title", {}, `the network's own accuracy, ${percent(depth.network)}`)));
  LINES.forEach(([name, , dash, marker], k) => {
    const points = depth[name].map((value, at) => [x(at), value] as const).filter((point): point is readonly [number, number] => point[1] !== null);
    if (!points.length) return;
    chart.append(s("path", { class: `cw-curve cw-ink-${k}`, d: `M${points.map(([px, value]) => `${px} ${y(value)}`).join("L")}`, "stroke-dasharray": dash || null }));
    points.forEach(([px, value]) => points.length <= 24 && chart.append(s("path", { class: `cw-marker cw-ink-${k}`, d: marker, transform: `translate(${px} ${y(value)})` }, s("title", {}, percent(value)))));
  });
  const keys = LINES.filter(([name]) => depth[name].some((value) => value !== null)).map(([name, label, dash, marker], k) => [
    h("span", { class: "cw-key" }, s("svg", { width: 34, height: 12, viewBox: "-17 -6 34 12" }, s("path", { class: `cw-curve cw-ink-${k}`, d: "M-17 0H17", "stroke-dasharray": dash || null }), s("path", { class: `cw-marker cw-ink-${k}`, d: marker })), ` ${label}`),
    h("span", { class: "cw-number" }, `${percent(depth[name][0])} → ${percent(depth[name][layers.length - 1])}`),
  ]);
  return h("div", { class: "cw-chart-box" }, chart, h("div", { class: "cw-chart-legend" }, ...keys.flat(), h("span", { class: "cw-sub" }, "the network itself"), h("span", { class: "cw-number cw-sub" }, percent(depth.network))));
}
