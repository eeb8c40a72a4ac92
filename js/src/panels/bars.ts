// Change by class: a bar with its 95 % interval for what was measured, an open diamond for what was predicted.
import { s } from "../dom";
import { fixedSigned, number, points, shorten } from "../format";
import type { ClassChange } from "../types";

const [ROW, NAMES, VALUES, WIDE] = [19, 78, 84, 330];
const MOST = 12;
const DIAMOND = "M0-5.2L5.2 0L0 5.2L-5.2 0z";

interface Row {
  name: string;
  measured: number | null;
  interval: number;
  predicted: number | null;
}
export interface ClassBars {
  element: SVGSVGElement;
  ofAccuracy: boolean;
  leftOut: boolean;
}

const size = ({ measured, predicted }: Row) => Math.max(Math.abs(measured ?? 0), Math.abs(predicted ?? 0));

/** The classes in order; the largest changes first when there are many. */
function rowsOf(measured: ClassChange[], predicted: ClassChange[], ofAccuracy: boolean): Row[] {
  const value = (each: ClassChange | undefined) => (each ? (ofAccuracy ? each.change : each.logit) : null);
  const names = (measured.length ? measured : predicted).map(({ name }) => name);
  return names
    .map((name, k) => ({ name, measured: value(measured[k]), interval: (ofAccuracy ? measured[k]?.half : measured[k]?.logitHalf) ?? 0, predicted: value(predicted[k]) }))
    .filter((row) => row.measured !== null || row.predicted !== null);
}

export function classBars(measured: ClassChange[], predicted: ClassChange[], stale: boolean): ClassBars {
  const ofAccuracy = [...measured, ...predicted].some((each) => each.change !== null);
  const all = rowsOf(measured, predicted, ofAccuracy);
  const rows = all.length > MOST ? [...all].sort((a, b) => size(b) - size(a)).slice(0, MOST) : all;
  const reach = Math.max(1e-9, ...rows.map((row) => Math.max(Math.abs(row.measured ?? 0) + row.interval, Math.abs(row.predicted ?? 0))));
  const plot = WIDE - NAMES - VALUES;
  const x = (value: number) => NAMES + plot / 2 + (value / reach) * (plot / 2 - 6);
  const height = rows.length * ROW + 4;
  const element = s("svg", { class: "cw-bars", viewBox: `0 0 ${WIDE} ${height}`, width: "100%", role: "img", "aria-label": "Change by class, measured and predicted" });
  element.append(s("line", { class: "cw-axis", x1: x(0), x2: x(0), y1: 0, y2: height }));
  const write = (value: number, interval: number) => (ofAccuracy ? `${points(value)} ± ${(interval * 100).toFixed(1)}` : `${fixedSigned(value, 2)} ± ${number(interval, 2)}`);
  rows.forEach(({ name, measured: value, interval, predicted: guess }, k) => {
    const y = k * ROW + ROW / 2 + 2;
    element.append(s("text", { x: NAMES - 8, y: y + 4, "text-anchor": "end" }, shorten(name, 11), s("title", {}, name)));
    if (value !== null) element.append(s("g", { class: stale ? "cw-stale" : null },
      s("rect", { class: value < 0 ? "cw-minus" : "cw-plus", x: Math.min(x(0), x(value)), y: y - 5, width: Math.max(0.5, Math.abs(x(value) - x(0))), height: 10 }),
      s("path", { class: "cw-whisker", d: `M${x(value - interval)} ${y}H${x(value + interval)}M${x(value - interval)} ${y - 3}v6M${x(value + interval)} ${y - 3}v6` }),
      s("text", { class: "cw-number", x: WIDE, y: y + 4, "text-anchor": "end" }, write(value, interval))));
    if (guess !== null) element.append(s("path", { class: "cw-guess", d: DIAMOND, transform: `translate(${x(guess)} ${y})` }, s("title", {}, `predicted ${ofAccuracy ? points(guess) : fixedSigned(guess, 2)}`)));
  });
  return { element, ofAccuracy, leftOut: rows.length < all.length };
}
