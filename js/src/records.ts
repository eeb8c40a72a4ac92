// Replies of the kernel with their arrays, as the panels use them.
import type { Array2, Reply } from "./protocol";
import type { EdgeList } from "./graph/edges";
import type { ClassInfo, ClassUnitInfo, EquationInfo, EquationsInfo, ImagesInfo, MapInfo, RankingInfo, TableInfo, UnitInfo } from "./types";

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
export interface Pictures {
  shape: number[];
  data: Uint8Array;
}
export interface Images extends Pictures {
  info: ImagesInfo;
}
export interface ClassUnit {
  info: ClassUnitInfo;
  images: Pictures;
  maps: { shape: number[]; data: Float32Array };
}
export interface Heatmap {
  map: MapInfo;
  shape: number[];
  data: Float32Array;
}
/** Every unit that was asked about with its effect; column by column, as it came. */
export interface Table {
  info: TableInfo;
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
  /** Row of the first unit of each layer that is there; units stand in order. */
  first: Map<string, number>;
}
export interface Ranking extends Table {
  info: RankingInfo;
}
/** Paths lead to critical units and to the class; `kind` is their source's place among the verdicts. */
export interface ClassTable extends Table {
  info: ClassInfo;
  paths: EdgeList & { kind: Uint8Array };
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

export const rankingOf = ({ result, arrays }: Reply<{ ranking: RankingInfo | null }>): Ranking | null => result.ranking && tableOf(result.ranking, columnsOf(arrays));

export function classOf({ result, arrays }: Reply<{ graph: ClassInfo | null }>): ClassTable | null {
  if (!result.graph) return null;
  const { wiring, row, col, strength, kind, ...columns } = columnsOf(arrays);
  const paths = { wiring: Uint16Array.from(wiring), row: Uint32Array.from(row), col: Uint32Array.from(col), value: strength, kind, length: kind.length };
  return { ...tableOf(result.graph, columns), paths } as ClassTable;
}

const columnsOf = (arrays: Array2[]): Record<string, any> => Object.fromEntries(arrays.map(({ name, data }) => [name, data]));

function tableOf<I extends TableInfo>(info: I, columns: Record<string, any>): Table & { info: I } {
  const found = { info, first: new Map(), ...columns } as Table & { info: I };
  found.layer.forEach((layer, row) => found.first.has(info.layers[layer]) || found.first.set(info.layers[layer], row));
  return found;
}

/** The row of a unit, -1 where it is not there. */
export function rowOf({ first, unit }: Table, layer: string, number: number): number {
  const row = (first.get(layer) ?? NaN) + number;
  return unit[row] === number ? row : -1;
}
