// Strongest edges out of byte matrices, by counting: no sort over millions of values.
import type { WiringInfo } from "../types";

export interface EdgeList {
  wiring: Uint16Array;
  /** Target unit (row) and source unit (column) of each edge. */
  row: Uint32Array;
  col: Uint32Array;
  value: Uint8Array;
  length: number;
}
const PARTS = ["wiring", "row", "col", "value"] as const;

export interface Matrix {
  wiring: number;
  data: Uint8Array;
  cols: number;
}

export function emptyEdges(n: number): EdgeList {
  return { wiring: new Uint16Array(n), row: new Uint32Array(n), col: new Uint32Array(n), value: new Uint8Array(n), length: 0 };
}

/** How often each byte value occurs. Counted once a matrix; the threshold for any k follows in 255 steps. */
export function histogram(data: Uint8Array): Uint32Array {
  const counts = new Uint32Array(256);
  for (let k = 0; k < data.length; k++) counts[data[k]]++;
  return counts;
}

/** The k strongest edges of all matrices, weakest first (so that the strong ones are drawn last). Ties at the threshold go to the first found. */
export function strongest(matrices: Matrix[], k: number, counts: Uint32Array[] = matrices.map(({ data }) => histogram(data))): EdgeList {
  const total = new Uint32Array(256);
  for (const count of counts) for (let value = 1; value < 256; value++) total[value] += count[value];
  let threshold = 256;
  let above = 0;
  while (threshold > 1 && above < k) above += total[--threshold];
  const length = Math.min(k, above);
  const start = new Uint32Array(257); // where each value's run begins, ascending
  for (let value = threshold, at = 0; value < 256; value++) {
    start[value] = at;
    at += value === threshold ? length - (above - total[threshold]) : total[value];
    start[value + 1] = at;
  }
  const edges = emptyEdges(length);
  if (!length) return edges;
  const next = start.slice();
  for (const { wiring, data, cols } of matrices) {
    for (let at = 0; at < data.length; at++) {
      const value = data[at];
      if (value < threshold || next[value] >= start[value + 1]) continue;
      const slot = next[value]++;
      edges.wiring[slot] = wiring;
      edges.row[slot] = Math.floor(at / cols);
      edges.col[slot] = at % cols;
      edges.value[slot] = value;
    }
  }
  edges.length = length;
  return edges;
}

/** How many edges each matrix may show of `k`: equal shares, and what one cannot use goes to the others. */
export function quotas(sizes: number[], k: number): number[] {
  const found = sizes.map(() => 0);
  const order = sizes.map((_, at) => at).sort((a, b) => sizes[a] - sizes[b]);
  let left = k;
  order.forEach((at, done) => {
    found[at] = Math.min(sizes[at], Math.floor(left / (order.length - done)));
    left -= found[at];
  });
  return found;
}

/**
 * The strongest edges of every matrix, `k` in all, weakest first; each value relative to the largest of its own matrix.
 * Between wide layers every coefficient is small: compared over the whole graph, only the narrow first layers would have edges.
 */
export function strongestOfEach(matrices: Matrix[], k: number, counts: Uint32Array[] = matrices.map(({ data }) => histogram(data))): EdgeList {
  const share = quotas(counts.map((count) => count.reduce((sum, n) => sum + n, 0) - count[0]), k);
  const lists = matrices.map((matrix, m) => {
    const list = strongest([matrix], share[m], [counts[m]]);
    const top = list.length ? list.value[list.length - 1] : 1;
    list.value.forEach((value, at) => (list.value[at] = Math.max(1, Math.round((255 * value) / top))));
    return list;
  });
  const next = new Uint32Array(257); // where each value's run begins, ascending
  for (const { value } of lists) for (let at = 0; at < value.length; at++) next[value[at] + 1]++;
  for (let value = 0; value < 256; value++) next[value + 1] += next[value];
  const edges = emptyEdges(next[256]);
  for (const list of lists) for (let at = 0; at < list.length; at++) {
    const slot = next[list.value[at]]++;
    for (const part of PARTS) edges[part][slot] = list[part][at];
  }
  edges.length = edges.value.length;
  return edges;
}

/** The strongest `k` edges that touch one unit: its row where it is the target, its column where it is the source. */
export function touching(matrices: Matrix[], wirings: WiringInfo[], layer: string, unit: number, k: number): EdgeList {
  const found: [value: number, wiring: number, row: number, col: number][] = [];
  for (const { wiring, data, cols } of matrices) {
    const { source, target, rows } = wirings[wiring];
    if (target === layer) for (let col = 0; col < cols; col++) found.push([data[unit * cols + col], wiring, unit, col]);
    if (source === layer) for (let row = 0; row < rows; row++) found.push([data[row * cols + unit], wiring, row, unit]);
  }
  const best = found.filter(([value]) => value > 0).sort((a, b) => b[0] - a[0]).slice(0, k).reverse();
  const edges = emptyEdges(best.length);
  best.forEach(([value, wiring, row, col], slot) => {
    edges.wiring[slot] = wiring;
    edges.row[slot] = row;
    edges.col[slot] = col;
    edges.value[slot] = value;
  });
  edges.length = best.length;
  return edges;
}

export function subset(edges: EdgeList, keep: (k: number) => boolean): EdgeList {
  const kept = emptyEdges(edges.length);
  for (let k = 0; k < edges.length; k++) {
    if (!keep(k)) continue;
    for (const part of PARTS) kept[part][kept.length] = edges[part][k];
    kept.length++;
  }
  return kept;
}

/** Mean strength 0..1 of a matrix's edges that exist, from its histogram: the weight of a ribbon. */
export function meanStrength(counts: Uint32Array): number {
  let sum = 0;
  let n = 0;
  for (let value = 1; value < 256; value++) {
    sum += value * counts[value];
    n += counts[value];
  }
  return n ? sum / n / 255 : 0;
}
