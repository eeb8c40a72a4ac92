// Colour maps whose lightness is monotone, so that they also read in grey, and one diverging map safe for colour-blind eyes.

export type Rgb = [number, number, number];

const LIGHT_SEQUENCE: Rgb[] = [[232, 222, 176], [198, 183, 112], [150, 143, 114], [106, 110, 116], [62, 78, 110], [10, 44, 96], [2, 20, 58]];
const DARK_SEQUENCE: Rgb[] = [[38, 56, 96], [66, 80, 112], [100, 104, 118], [134, 128, 122], [172, 156, 112], [214, 190, 92], [254, 228, 92]];
const LIGHT_DIVERGING: Rgb[] = [[17, 74, 138], [86, 145, 197], [178, 208, 229], [247, 247, 245], [246, 205, 168], [219, 128, 62], [146, 62, 8]];
const DARK_DIVERGING: Rgb[] = [[124, 188, 248], [66, 126, 186], [38, 68, 100], [30, 33, 39], [104, 62, 30], [190, 108, 46], [255, 176, 104]];
// Over a photograph: dark to bright, the way heat is usually drawn, still monotone.
const HEAT: Rgb[] = [[16, 12, 52], [78, 18, 108], [142, 36, 102], [206, 66, 76], [244, 124, 40], [252, 194, 56], [252, 250, 172]];

export type Map = (t: number) => Rgb;

function interpolate(stops: Rgb[]): Map {
  return (t) => {
    const x = Math.min(1, Math.max(0, Number.isFinite(t) ? t : 0)) * (stops.length - 1);
    const k = Math.min(stops.length - 2, Math.floor(x));
    const [a, b] = [stops[k], stops[k + 1]];
    return [0, 1, 2].map((c) => Math.round(a[c] + (b[c] - a[c]) * (x - k))) as Rgb;
  };
}

/** Importance 0..1: the strong end stands out from the background in both themes. */
export const sequence = (dark: boolean): Map => interpolate(dark ? DARK_SEQUENCE : LIGHT_SEQUENCE);
/** Signed values -1..1: blue is negative, orange is positive, the background's grey is zero. */
export const diverging = (dark: boolean): Map => {
  const map = interpolate(dark ? DARK_DIVERGING : LIGHT_DIVERGING);
  return (t) => map((t + 1) / 2);
};
export const heat: Map = interpolate(HEAT);

export const css = ([r, g, b]: Rgb, alpha = 1): string => (alpha === 1 ? `rgb(${r},${g},${b})` : `rgba(${r},${g},${b},${alpha})`);

/** Relative luminance as WCAG 2 defines it. */
export function luminance([r, g, b]: Rgb): number {
  const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}

export function contrast(a: Rgb, b: Rgb): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

/** "#rgb", "#rrggbb" or "rgb(...)" to numbers; null for anything else (also for a fully transparent colour). */
export function parse(text: string): Rgb | null {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(text.trim());
  if (hex) {
    const digits = hex[1].length === 3 ? [...hex[1]].map((d) => d + d).join("") : hex[1];
    return [0, 2, 4].map((k) => parseInt(digits.slice(k, k + 2), 16)) as Rgb;
  }
  const parts = /^rgba?\(([^)]+)\)$/.exec(text.trim())?.[1].split(/[\s,/]+/).map(Number);
  if (!parts || parts.length < 3 || parts[3] === 0) return null;
  return [parts[0], parts[1], parts[2]];
}

/** A strip of `steps` colours as a CSS gradient, for legends. */
export function gradient(map: Map, from = 0, to = 1, steps = 9): string {
  const colours = Array.from({ length: steps }, (_, k) => css(map(from + ((to - from) * k) / (steps - 1))));
  return `linear-gradient(to right, ${colours.join(", ")})`;
}
