// A filter's weights as small pictures, one an input channel, on one diverging scale.
import { diverging, gradient } from "../colour";
import { h, text } from "../dom";
import { number, plural } from "../format";

const SIDE = 132;

/** How many channels a row, so that a grid of `n` kernels of kh x kw fills a square best. */
export function across(n: number, kh: number, kw: number): number {
  let best = 1;
  let size = 0;
  for (let columns = 1; columns <= n; columns++) {
    const cell = Math.min(SIDE / (columns * (kw + 0.6)), SIDE / (Math.ceil(n / columns) * (kh + 0.6)));
    if (cell > size + 1e-9) [best, size] = [columns, cell];
  }
  return best;
}

export function weightsPicture(): { element: HTMLElement; show(values: Float32Array | null, shape: number[], dark: boolean): void } {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const canvas = h("canvas", { class: "cw-weights", test: "cw-weights", width: SIDE * ratio, height: SIDE * ratio, role: "img" });
  const pen = canvas.getContext("2d")!;
  const low = h("span");
  const high = h("span");
  const ramp = h("span", { class: "cw-ramp cw-grow" });
  const caption = h("div", { class: "cw-sub cw-caption" });
  const element = h("div", { class: "cw-weights-box" }, canvas, h("div", { class: "cw-scale" }, low, ramp, high), caption);

  function show(values: Float32Array | null, shape: number[], dark: boolean): void {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    element.classList.toggle("cw-empty", !values);
    if (!values || !values.length) return text(caption, "no weights");
    const [channels, kh, kw] = [shape[0], shape[1] ?? 1, shape[2] ?? 1];
    const shown = Math.min(channels, Math.floor(values.length / (kh * kw)));
    const columns = across(shown, kh, kw);
    const rows = Math.ceil(shown / columns);
    const gap = kh * kw === 1 ? 0.08 : 0.6;
    const cell = Math.min(SIDE / (columns * (kw + gap)), SIDE / (rows * (kh + gap))) * ratio;
    const top = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
    const map = diverging(dark);
    const [left, above] = [(canvas.width - cell * (columns * (kw + gap) - gap)) / 2, (canvas.height - cell * (rows * (kh + gap) - gap)) / 2];
    for (let k = 0; k < shown * kh * kw; k++) {
      const channel = Math.floor(k / (kh * kw));
      const x = left + ((channel % columns) * (kw + gap) + (k % kw)) * cell;
      const y = above + (Math.floor(channel / columns) * (kh + gap) + (Math.floor(k / kw) % kh)) * cell;
      const [r, g, b] = map(values[k] / top);
      pen.fillStyle = `rgb(${r},${g},${b})`;
      pen.fillRect(Math.floor(x), Math.floor(y), Math.ceil(x + cell) - Math.floor(x), Math.ceil(y + cell) - Math.floor(y));
    }
    text(low, number(-top, 2));
    text(high, number(top, 2));
    ramp.style.background = gradient(map, -1, 1);
    text(caption, `${shown < channels ? `${shown} of ` : ""}${plural(channels, "input")}${kh * kw > 1 ? `, ${kh} × ${kw}` : ""}`);
    canvas.setAttribute("aria-label", `Weights of ${plural(channels, "input channel")}, ${kh} by ${kw}`);
  }
  return { element, show };
}
