// Replies of the kernel with their arrays, as the panels use them.
import type { Reply } from "./protocol";
import type { EquationInfo, EquationsInfo, ImagesInfo, MapInfo, RankingInfo, UnitInfo } from "./types";

export interface Unit {
  info: UnitInfo;
  weights: Float32Array | null;
}
/** R² of every unit of the layers that have equations, one after the other; NaN for dead units. */
export interface Equations {
  info: EquationsInfo;
  r2: Float32Array;
  heldout: Float32Array;
}
export interface Equation {
  info: EquationInfo;
  /** Observed and predicted response, image by image. */
  points: Float32Array;
}
export interface Images {
  info: ImagesInfo;
  shape: number[];
  data: Uint8Array;
}
export interface Heatmap {
  map: MapInfo;
  shape: number[];
  data: Float32Array;
}
/** Every ranked filter with its effect; column by column, as it came. */
export interface Ranking {
  info: RankingInfo;
  layer: Float32Array;
  unit: Float32Array;
  effect: Float32Array;
  low: Float32Array;
  high: Float32Array;
  p: Float32Array;
  corrected: Float32Array;
  images: Float32Array;
  needed: Float32Array;
  verdict: Uint8Array;
  /** Row of the first unit of each layer that was ranked; units stand in order. */
  first: Map<string, number>;
}
export interface Message {
  kind: "error" | "note";
  text: string;
}

/** An absent map may come with or without a buffer of its own: arrays are found by name. */
export function heatmapsOf({ result, arrays }: Reply<{ maps: MapInfo[] }>): Heatmap[] {
  return (result.maps ?? []).map((map) => {
    const array = arrays.find(({ name }) => name === map.name);
    return { map, shape: array?.shape ?? [0, 0], data: (array?.data as Float32Array) ?? new Float32Array() };
  });
}

export function rankingOf({ result, arrays }: Reply<{ ranking: RankingInfo | null }>): Ranking | null {
  const info = result.ranking;
  if (!info) return null;
  const found = { info, first: new Map(), ...Object.fromEntries(arrays.map(({ name, data }) => [name, data])) } as Ranking;
  found.layer.forEach((layer, row) => found.first.has(info.layers[layer]) || found.first.set(info.layers[layer], row));
  return found;
}

/** The row of a unit, -1 where it was not ranked. */
export function rowOf({ first, unit }: Ranking, layer: string, number: number): number {
  const row = (first.get(layer) ?? NaN) + number;
  return unit[row] === number ? row : -1;
}
