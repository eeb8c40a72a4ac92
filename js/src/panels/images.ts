// Thumbnails of the strip's images, shared by two panels.
import { h } from "../dom";
import type { Pictures } from "../records";

/** Draws image k (uint8, height x width x 3) at its own size; CSS scales it without smoothing when it is small. */
export function paintImage(canvas: HTMLCanvasElement, images: Pictures, k: number): void {
  const [, height, width, channels] = images.shape;
  canvas.width = width;
  canvas.height = height;
  canvas.classList.toggle("cw-pixels", Math.max(width, height) < 100);
  const pen = canvas.getContext("2d")!;
  const picture = pen.createImageData(width, height);
  const start = k * height * width * channels;
  for (let at = 0; at < height * width; at++) {
    for (let c = 0; c < 3; c++) picture.data[4 * at + c] = images.data[start + at * channels + (channels === 3 ? c : 0)];
    picture.data[4 * at + 3] = 255;
  }
  pen.putImageData(picture, 0, 0);
}

export function thumbnail(images: Pictures, k: number): HTMLCanvasElement {
  const canvas = h("canvas", { class: "cw-thumb", "aria-hidden": "true" });
  paintImage(canvas, images, k);
  return canvas;
}
