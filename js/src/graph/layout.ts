// Where every unit sits: one column a layer, its units in a grid that fills the column. World units; pure arithmetic.
import type { LayerInfo } from "../types";

export interface Column {
  layer: LayerInfo;
  /** Centre of the column. */
  x: number;
  /** Left and top edge of the grid of cells. */
  left: number;
  top: number;
  /** Side of a cell. */
  cell: number;
  across: number;
  down: number;
}
export interface Layout {
  columns: Column[];
  width: number;
  height: number;
  /** Distance between the centres of neighbouring columns; the first centre is at `first`. */
  pitch: number;
  first: number;
  /** Height of the lanes above and below the columns, where connections that skip layers run. */
  lane: number;
  index: Map<string, number>;
}
export interface Hit {
  column: number;
  unit: number;
}
export interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

export const HEIGHT = 1000;
const MIN_PITCH = 14;
const MAX_PITCH = 560;
const FILL = 0.52; // share of the pitch that a grid may take; the rest is for edges
const MAX_CELL = 54;

/** Grid of `units` square cells, the largest that fits into width x height. */
export function grid(units: number, width: number, height: number, maxCell = MAX_CELL): { across: number; down: number; cell: number } {
  let best = { across: 1, down: units, cell: 0 };
  for (let across = 1; across <= units; across++) {
    const down = Math.ceil(units / across);
    const cell = Math.min(maxCell, width / across, height / down);
    if (cell > best.cell) best = { across, down, cell };
    else if (width / across < best.cell) break;
  }
  return best;
}

export function layout(layers: LayerInfo[], aspect: number, lane = 0, least = MIN_PITCH): Layout {
  const n = layers.length;
  const even = (HEIGHT * aspect) / Math.max(1, n);
  const limit = Math.min(MAX_PITCH, Math.max(least, even)) * FILL;
  const room = HEIGHT - 2 * lane;
  const sizes = layers.map((layer) => {
    const named = layer.isOutput && layer.units <= 40;
    return named ? { across: 1, down: layer.units, cell: Math.min(1.4 * MAX_CELL, room / layer.units) } : grid(layer.units, limit, room);
  });
  const halves = sizes.map(({ across, cell }) => (across * cell) / 2);
  const [first, last] = [halves[0] ?? 0, halves[n - 1] ?? 0];
  const pitch = Math.min(MAX_PITCH, Math.max(least, (HEIGHT * aspect - first - last) / Math.max(1, n - 1)));
  const columns = layers.map((layer, k): Column => {
    const size = sizes[k];
    const x = first + k * pitch;
    return { layer, x, ...size, left: x - halves[k], top: (HEIGHT - size.down * size.cell) / 2 };
  });
  return { columns, first, width: first + Math.max(0, n - 1) * pitch + last, height: HEIGHT, pitch, lane, index: new Map(layers.map((layer, k) => [layer.name, k])) };
}

export function place(column: Column, unit: number): [x: number, y: number] {
  const across = Math.floor(unit / column.down);
  const down = unit - across * column.down;
  return [column.left + (across + 0.5) * column.cell, column.top + (down + 0.5) * column.cell];
}

/** The unit under a world point, straight from the grid. */
export function pick(plan: Layout, x: number, y: number): Hit | null {
  const k = Math.floor((x - plan.first) / plan.pitch + 0.5);
  const column = plan.columns[k];
  if (!column) return null;
  const across = Math.floor((x - column.left) / column.cell);
  const down = Math.floor((y - column.top) / column.cell);
  if (across < 0 || across >= column.across || down < 0 || down >= column.down) return null;
  const unit = across * column.down + down;
  return unit < column.layer.units ? { column: k, unit } : null;
}

export function pickBox(plan: Layout, box: Box): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  const [x0, x1] = [Math.min(box.x0, box.x1), Math.max(box.x0, box.x1)];
  const [y0, y1] = [Math.min(box.y0, box.y1), Math.max(box.y0, box.y1)];
  for (const column of plan.columns) {
    if (column.left > x1 || column.left + column.across * column.cell < x0) continue;
    const inside: number[] = [];
    for (let unit = 0; unit < column.layer.units; unit++) {
      const [x, y] = place(column, unit);
      if (x >= x0 && x <= x1 && y >= y0 && y <= y1) inside.push(unit);
    }
    if (inside.length) found[column.layer.name] = inside;
  }
  return found;
}

/** The unit of another column nearest in height: how the arrow keys cross from layer to layer. */
export function nearestUnit(column: Column, y: number): number {
  const down = Math.min(column.down - 1, Math.max(0, Math.floor((y - column.top) / column.cell)));
  return Math.min(down, column.layer.units - 1);
}
