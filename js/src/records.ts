// Replies of the kernel with their arrays, as the panels use them.
import type { Reply } from "./protocol";
import type { EquationInfo, EquationsInfo, ImagesInfo, MapInfo, UnitInfo } from "./types";

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
