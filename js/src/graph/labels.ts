// Names on the canvas, in screen pixels so that they stay legible at every zoom.
import { count, shorten } from "../format";
import { toScreen, type Camera } from "./camera";
import type { Ink, Pen } from "./draw";
import { place, type Layout } from "./layout";

const FONT = "11px system-ui, -apple-system, 'Segoe UI', sans-serif";
const BOLD = FONT.replace("11px", "600 11px");
const ANGLE = -0.6;

function halo(pen: Pen, text: string, x: number, y: number, ink: Ink, colour: string): void {
  pen.lineWidth = 3.5;
  pen.lineJoin = "round";
  pen.strokeStyle = ink.back;
  pen.strokeText(text, x, y);
  pen.fillStyle = colour;
  pen.fillText(text, x, y);
}

/** Whether every layer's name fits above its column when columns are `pitch` pixels apart. */
export function namesFit(pen: Pen, plan: Layout, pitch: number): boolean {
  pen.font = BOLD;
  return plan.columns.every((column) => pen.measureText(shorten(column.layer.name, 22)).width < pitch - 8);
}

export function layerNames(pen: Pen, plan: Layout, camera: Camera, ink: Ink, flat: boolean, width: number, current: string | null): void {
  const pitch = plan.pitch * camera.scale;
  const every = Math.max(1, Math.ceil((flat ? 0 : 22) / pitch));
  const least = flat ? 32 : 66;
  const covered = plan.columns.some((column) => column.top * camera.scale + camera.y < least);
  if (covered) {
    pen.globalAlpha = 0.86;
    pen.fillStyle = ink.back;
    pen.fillRect(0, 0, width, least + 7);
    pen.globalAlpha = 1;
  }
  plan.columns.forEach((column, k) => {
    const [x, top] = toScreen(camera, column.x, Math.min(column.top, flat ? Infinity : 0));
    if (x < (flat ? 0 : -40) || x > width || (k % every && column.layer.name !== current)) return;
    const y = Math.max(least, top - 8);
    const colour = column.layer.name === current ? ink.ring : ink.text;
    pen.save();
    pen.translate(x, y);
    const name = shorten(column.layer.name, 22);
    if (flat) {
      pen.textAlign = "center";
      pen.font = BOLD;
      halo(pen, name, 0, -14, ink, colour);
      pen.font = FONT;
      halo(pen, column.layer.isOutput ? `${count(column.layer.units)} classes` : count(column.layer.units), 0, 0, ink, ink.muted);
    } else {
      pen.rotate(ANGLE);
      pen.textAlign = "left";
      pen.font = BOLD;
      halo(pen, shorten(name, 14), 2, 0, ink, colour);
    }
    pen.restore();
  });
}

export function classNames(pen: Pen, plan: Layout, camera: Camera, ink: Ink, classes: string[], marked: Set<number>): void {
  const column = plan.columns[plan.columns.length - 1];
  if (!column?.layer.isOutput) return;
  const cell = column.cell * camera.scale;
  if (column.across > 1 || (cell < 9 && !marked.size)) return;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  for (let unit = 0; unit < column.layer.units; unit++) {
    if (cell < 9 && !marked.has(unit)) continue;
    const [x, y] = toScreen(camera, ...place(column, unit));
    pen.font = marked.has(unit) ? BOLD : FONT;
    halo(pen, shorten(classes[unit] ?? String(unit), 16), x + Math.min(cell * 0.5, 14) + 6, y, ink, ink.text);
  }
  pen.textBaseline = "alphabetic";
}

export function classNamesWidth(pen: Pen, plan: Layout, classes: string[]): number {
  const column = plan.columns[plan.columns.length - 1];
  if (!column?.layer.isOutput || column.across > 1) return 0;
  pen.font = FONT;
  return Math.max(0, ...classes.map((name) => pen.measureText(shorten(name, 16)).width));
}

/** Unit numbers inside the nodes once they are large enough to hold them. */
export function unitNumbers(pen: Pen, plan: Layout, camera: Camera, width: number, height: number, colour: (column: number, unit: number) => string): void {
  plan.columns.forEach((column, k) => {
    const cell = column.cell * camera.scale;
    if (cell < 26 || column.layer.isOutput) return;
    pen.font = `${Math.min(13, Math.round(cell * 0.34))}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let unit = 0; unit < column.layer.units; unit++) {
      const [x, y] = toScreen(camera, ...place(column, unit));
      if (x < 0 || y < 0 || x > width || y > height) continue;
      pen.fillStyle = colour(k, unit);
      pen.fillText(String(unit), x, y);
    }
    pen.textBaseline = "alphabetic";
  });
}
