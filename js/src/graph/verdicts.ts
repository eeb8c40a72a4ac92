// Verdicts on the graph, told apart by shape: a triangle up is critical, one down detrimental, a dot neutral, a ring undecided.
// Of two classes: a diamond stands for what they share, triangles to the sides for what one of them has alone.
import { css, type Rgb } from "../colour";
import { rowOf, type Table } from "../records";
import { toScreen, type Camera } from "./camera";
import type { Ink, Pen } from "./draw";
import { place, type Column } from "./layout";

/** The verdicts on a layer's units, by unit; null where it was not ranked. */
export function verdictsOf(found: Table | null, layer: string): ((unit: number) => string | null) | null {
  if (!found?.first.has(layer)) return null;
  return (unit) => {
    const row = rowOf(found, layer, unit);
    return row < 0 ? null : found.info.verdicts[found.verdict[row]];
  };
}

const TURN = 2 * Math.PI;
const SHAPES: Record<string, (pen: Pen, x: number, y: number, r: number) => void> = {
  critical: (pen, x, y, r) => corners(pen, [x, y - r], [x + r, y + 0.75 * r], [x - r, y + 0.75 * r]),
  detrimental: (pen, x, y, r) => corners(pen, [x, y + r], [x + r, y - 0.75 * r], [x - r, y - 0.75 * r]),
  neutral: (pen, x, y, r) => pen.arc(x, y, r * 0.42, 0, TURN),
  undecided: (pen, x, y, r) => pen.arc(x, y, r * 0.72, 0, TURN),
  "not asked": (pen, x, y, r) => pen.arc(x, y, r * 0.25, 0, TURN),
  neither: (pen, x, y, r) => pen.arc(x, y, r * 0.25, 0, TURN),
  shared: (pen, x, y, r) => corners(pen, [x, y - r], [x + r, y], [x, y + r], [x - r, y]),
  "only a": (pen, x, y, r) => corners(pen, [x - r, y], [x + 0.75 * r, y - r], [x + 0.75 * r, y + r]),
  "only b": (pen, x, y, r) => corners(pen, [x + r, y], [x - 0.75 * r, y - r], [x - 0.75 * r, y + r]),
};
const RADII: Record<string, number> = { neutral: 0.42, undecided: 0.72, "not asked": 0.25, neither: 0.25 };

/** The kinds that a class's graph is made of; others are background beside them. */
export const isBold = (kind: string): boolean => !(kind in RADII);

/** The colour of a unit, and of its paths. */
export const inkFor = (ink: Ink, kind: string): Rgb => (kind === "critical" || kind === "only a" ? ink.outgoing : kind === "shared" ? ink.edge : ink.incoming);

function corners(pen: Pen, [x, y]: number[], ...others: number[][]): void {
  pen.moveTo(x, y);
  for (const [x, y] of others) pen.lineTo(x, y);
  pen.closePath();
}

export function paintVerdicts(pen: Pen, column: Column, camera: Camera, ink: Ink, verdict: (unit: number) => string | null): void {
  const cell = column.cell * camera.scale;
  const r = Math.min(13, Math.max(1.6, cell * 0.42));
  const units = Array.from({ length: column.layer.units }, (_, unit) => unit);
  const rest = pen.globalAlpha;
  for (const [kind, shape] of Object.entries(SHAPES)) {
    pen.globalAlpha = isBold(kind) ? 1 : rest;
    pen.beginPath();
    for (const unit of units.filter((each) => (verdict(each) ?? "undecided") === kind)) {
      const [x, y] = toScreen(camera, ...place(column, unit));
      pen.moveTo(x + r * (RADII[kind] ?? 0), y);
      shape(pen, x, y, r);
    }
    pen.fillStyle = isBold(kind) ? css(inkFor(ink, kind)) : kind === "undecided" ? ink.back : ink.muted;
    pen.fill();
    pen.lineWidth = Math.min(1.5, Math.max(0.7, cell / 10));
    pen.strokeStyle = kind === "undecided" ? ink.muted : ink.back;
    pen.stroke();
  }
  pen.globalAlpha = rest;
}
