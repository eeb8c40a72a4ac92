// Where the graph is wider than the view: a strip below it with every layer, and the part that is seen.
import type { Camera, Margins } from "./camera";
import type { Ink, Pen } from "./draw";
import type { Layout } from "./layout";

export const STRIP = 30; // px, with the room around it
const [SIDE, BAR] = [10, 16];

interface View {
  width: number;
  height: number;
}

/** Whether a part of the graph lies to the left or right of the view. */
export function overflows(plan: Layout, camera: Camera, view: View): boolean {
  return plan.columns.length > 1 && plan.width * camera.scale > view.width && view.height > 3 * STRIP;
}

const perWorld = (plan: Layout, view: View): number => (view.width - 2 * SIDE) / plan.width;

/** The camera that has the world's `x` in the middle of the view, as far as no empty room is shown for it. */
export function centred(plan: Layout, camera: Camera, view: View, margins: Margins, x: number): Camera {
  const least = view.width - margins.right - plan.width * camera.scale;
  return { ...camera, x: Math.min(margins.left, Math.max(least, view.width / 2 - x * camera.scale)) };
}

/** The place in the world that the strip shows at `x`. */
export const placeAt = (plan: Layout, view: View, x: number): number => (x - SIDE) / perWorld(plan, view);

export function paintOverview(pen: Pen, plan: Layout, camera: Camera, view: View, ink: Ink, colourOf: (layer: string) => string | null): void {
  const k = perWorld(plan, view);
  const middle = view.height - STRIP / 2;
  pen.fillStyle = ink.back;
  pen.fillRect(0, view.height - STRIP, view.width, STRIP);
  const most = Math.max(1, ...plan.columns.map(({ layer }) => layer.units));
  const wide = Math.max(1.5, Math.min(9, plan.pitch * k * 0.5));
  for (const { layer, x } of plan.columns) {
    const marked = colourOf(layer.name);
    const high = BAR * (0.3 + 0.7 * Math.sqrt(layer.units / most));
    pen.globalAlpha = marked ? 1 : 0.5;
    pen.fillStyle = marked ?? ink.muted;
    pen.fillRect(SIDE + x * k - wide / 2, middle - high / 2, wide, high);
  }
  const [left, right] = [-camera.x / camera.scale, (view.width - camera.x) / camera.scale].map((x) => SIDE + Math.min(plan.width, Math.max(0, x)) * k);
  pen.globalAlpha = 0.12;
  pen.fillStyle = ink.ring;
  pen.fillRect(left, view.height - STRIP + 2, right - left, STRIP - 4);
  pen.globalAlpha = 1;
  pen.lineWidth = 1.5;
  pen.strokeStyle = ink.ring;
  pen.strokeRect(left, view.height - STRIP + 2, right - left, STRIP - 4);
}
