// Verdicts on the graph, told apart by shape: a triangle up is critical, one down detrimental, a dot neutral, a ring undecided.
import { css } from "../colour";
import { rowOf, type Ranking } from "../records";
import { toScreen, type Camera } from "./camera";
import type { Ink, Pen } from "./draw";
import { place, type Column } from "./layout";

/** The verdicts on a layer's units, by unit; null where it was not ranked. */
export function verdictsOf(found: Ranking | null, layer: string): ((unit: number) => string | null) | null {
  if (!found?.first.has(layer)) return null;
  return (unit) => {
    const row = rowOf(found, layer, unit);
    return row < 0 ? null : found.info.verdicts[found.verdict[row]];
  };
}

const TURN = 2 * Math.PI;
const SHAPES: Record<string, (pen: Pen, x: number, y: number, r: number) => void> = {
  critical: (pen, x, y, r) => triangle(pen, x, y, r),
  detrimental: (pen, x, y, r) => triangle(pen, x, y, -r),
  neutral: (pen, x, y, r) => pen.arc(x, y, r * 0.42, 0, TURN),
  undecided: (pen, x, y, r) => pen.arc(x, y, r * 0.72, 0, TURN),
};

function triangle(pen: Pen, x: number, y: number, r: number): void {
  pen.moveTo(x, y - r);
  pen.lineTo(x + Math.abs(r), y + 0.75 * r);
  pen.lineTo(x - Math.abs(r), y + 0.75 * r);
  pen.closePath();
}

export function paintVerdicts(pen: Pen, column: Column, camera: Camera, ink: Ink, verdict: (unit: number) => string | null): void {
  const cell = column.cell * camera.scale;
  const r = Math.min(13, Math.max(1.6, cell * 0.42));
  const units = Array.from({ length: column.layer.units }, (_, unit) => unit);
  for (const [kind, shape] of Object.entries(SHAPES)) {
    pen.beginPath();
    for (const unit of units.filter((each) => (verdict(each) ?? "undecided") === kind)) {
      const [x, y] = toScreen(camera, ...place(column, unit));
      pen.moveTo(x + r * (kind === "undecided" ? 0.72 : 0.42), y);
      shape(pen, x, y, r);
    }
    pen.fillStyle = kind === "critical" ? css(ink.outgoing) : kind === "detrimental" ? css(ink.incoming) : kind === "neutral" ? ink.muted : ink.back;
    pen.fill();
    pen.lineWidth = Math.min(1.5, Math.max(0.7, cell / 10));
    pen.strokeStyle = kind === "undecided" ? ink.muted : ink.back;
    pen.stroke();
  }
}
