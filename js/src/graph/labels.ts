// Names on the canvas, in screen pixels so that they stay legible at every zoom.
import { abbreviate, count, shorten } from "../format";
import { toScreen, type Camera } from "./camera";
import type { Ink, Pen } from "./draw";
import { place, type Layout } from "./layout";

const FONT = "11px system-ui, -apple-system, 'Segoe UI', sans-serif";
const BOLD = FONT.replace("11px", "600 11px");
const ANGLE = -0.6;
const CLASS_WIDTH = 124; // px
const fitting = new Map<string, string>();

/** A class name, shortened to what fits beside the graph. */
function className(pen: Pen, name: string): string {
  const known = fitting.get(name);
  if (known !== undefined) return known;
  pen.font = BOLD;
  let length = Math.min(40, name.length);
  while (length > 3 && pen.measureText(shorten(name, length)).width > CLASS_WIDTH) length--;
  fitting.set(name, shorten(name, length));
  return fitting.get(name)!;
}

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
  return plan.columns.every((column) => pen.measureText(abbreviate(column.layer.name, 22)).width < pitch - 8);
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
  const chosen = current === null ? undefined : plan.index.get(current);
  const covers = (k: number) => !flat && chosen !== undefined && k !== chosen && Math.abs(k - chosen) * pitch < 20;
  plan.columns.forEach((column, k) => {
    if (covers(k)) return;
    const [x, top] = toScreen(camera, column.x, Math.min(column.top, flat ? Infinity : 0));
    if (x < (flat ? 0 : -40) || x > width || (k % every && column.layer.name !== current)) return;
    const y = Math.max(least, top - 8);
    const colour = column.layer.name === current ? ink.ring : ink.text;
    pen.save();
    pen.translate(x, y);
    const name = abbreviate(column.layer.name, 22);
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
      halo(pen, abbreviate(column.layer.name, 14), 2, 0, ink, colour);
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
    const name = className(pen, classes[unit] ?? String(unit));
    pen.font = marked.has(unit) ? BOLD : FONT;
    halo(pen, name, x + Math.min(cell * 0.5, 14) + 6, y, ink, ink.text);
  }
  pen.textBaseline = "alphabetic";
}

/** Room that names need to the right of the last column: those of classes, and its own where names are slanted. */
export function namesRight(pen: Pen, plan: Layout, classes: string[], flat: boolean): number {
  const column = plan.columns[plan.columns.length - 1];
  if (!column) return 0;
  const named = column.layer.isOutput && column.across === 1;
  const names = named ? Array.from({ length: column.layer.units }, (_, unit) => className(pen, classes[unit] ?? String(unit))) : [];
  pen.font = BOLD;
  const own = flat ? 0 : pen.measureText(abbreviate(column.layer.name, 14)).width * Math.cos(ANGLE) - 6;
  return Math.max(0, own, ...names.map((name) => pen.measureText(name).width + 6));
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
