// A canvas that is not in the page: painted seldom, copied every frame.
import type { Pen } from "./draw";

export interface Offscreen {
  canvas: HTMLCanvasElement;
  pen: Pen;
}

export function offscreen(): Offscreen {
  const canvas = document.createElement("canvas");
  return { canvas, pen: canvas.getContext("2d")! };
}
