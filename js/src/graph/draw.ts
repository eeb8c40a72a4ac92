// Painting the scene. `paintEdges` and `paintUnits` are slow and go to off-screen layers; the overlay is painted every frame.
import { css, type Map, type Rgb } from "../colour";
import type { Camera } from "./camera";
import { toScreen } from "./camera";
import type { EdgeList } from "./edges";
import { place, type Column } from "./layout";
import type { Ribbon, Scene } from "./scene";

export interface Ink {
  text: string;
  muted: string;
  back: string;
  edge: Rgb;
  incoming: Rgb;
  outgoing: Rgb;
  ring: string;
  zero: string;
  empty: Rgb;
  outline: string;
  map: Map;
}
export type Pen = CanvasRenderingContext2D;
export type Shares = (column: Column) => { values: Float32Array; max: number } | null;
/** Paints a column in its own way, if it has one. */
export type Instead = (pen: Pen, column: Column, camera: Camera) => boolean;

const BUCKETS = 16;
const LEVELS = 24;
const EDGES_FROM = 0.35; // zoom relative to "fit" below which only ribbons are drawn

/** The path of one connection, from (x0, y0) to (x1, y1), through its lane if it skips layers. */
function trail(pen: Pen, ribbon: Ribbon, camera: Camera, pitch: number, x0: number, y0: number, x1: number, y1: number): void {
  pen.moveTo(x0, y0);
  if (ribbon.lane === null) {
    const bend = (x1 - x0) * 0.42;
    pen.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1);
    return;
  }
  const y = ribbon.lane * camera.scale + camera.y;
  const run = pitch * camera.scale * 0.5;
  pen.bezierCurveTo(x0 + run * 0.8, y0, x0 + run * 0.35, y, x0 + run, y);
  pen.lineTo(x1 - run, y);
  pen.bezierCurveTo(x1 - run * 0.35, y, x1 - run * 0.8, y1, x1, y1);
}

function paintRibbons(pen: Pen, scene: Scene, camera: Camera, ink: Ink, weight: number): void {
  const { columns, pitch } = scene.plan;
  for (const ribbon of scene.ribbons) {
    if (!ribbon) continue;
    const [a, b] = [columns[ribbon.from], columns[ribbon.to]];
    const alpha = (0.25 + 0.75 * ribbon.strength) * weight;
    const [x0, top0] = toScreen(camera, a.left + a.across * a.cell, a.top);
    const [x1, top1] = toScreen(camera, b.left, b.top);
    if (ribbon.lane !== null) {
      pen.strokeStyle = css(ink.edge, alpha);
      pen.lineWidth = Math.max(1.5, 9 * camera.scale);
      pen.beginPath();
      const inset = (column: Column) => (column.top + (ribbon.lane! < 500 ? 0 : column.down * column.cell)) * camera.scale + camera.y;
      trail(pen, ribbon, camera, pitch, a.x * camera.scale + camera.x, inset(a), b.x * camera.scale + camera.x, inset(b));
      pen.stroke();
      continue;
    }
    const [low0, low1] = [top0 + a.down * a.cell * camera.scale, top1 + b.down * b.cell * camera.scale];
    const bend = (x1 - x0) * 0.42;
    pen.fillStyle = css(ink.edge, alpha * 0.55);
    pen.beginPath();
    pen.moveTo(x0, top0);
    pen.bezierCurveTo(x0 + bend, top0, x1 - bend, top1, x1, top1);
    pen.lineTo(x1, low1);
    pen.bezierCurveTo(x1 - bend, low1, x0 + bend, low0, x0, low0);
    pen.fill();
  }
}

type Style = (strength: number) => { colour: Rgb; alpha: number; width: number };

/** A line per edge, stroked in buckets of equal strength (one path each), weakest first. */
export function paintEdgeList(pen: Pen, scene: Scene, edges: EdgeList, camera: Camera, style: Style, which: (ribbon: Ribbon) => boolean = () => true): void {
  const { columns, pitch } = scene.plan;
  let bucket = -1;
  const stroke = () => bucket >= 0 && pen.stroke();
  for (let k = 0; k < edges.length; k++) {
    const ribbon = scene.ribbons[edges.wiring[k]];
    if (!ribbon || !which(ribbon)) continue;
    const now = Math.floor((edges.value[k] / 256) * BUCKETS);
    if (now !== bucket) {
      stroke();
      bucket = now;
      const { colour, alpha, width } = style((now + 0.5) / BUCKETS);
      pen.strokeStyle = css(colour, Math.round(alpha * 1000) / 1000);
      pen.lineWidth = width;
      pen.beginPath();
    }
    const [a, b] = [columns[ribbon.from], columns[ribbon.to]];
    const [ax, ay] = place(a, edges.col[k]);
    const [bx, by] = place(b, edges.row[k]);
    const s = camera.scale;
    trail(pen, ribbon, camera, pitch, (ax + a.cell * 0.3) * s + camera.x, ay * s + camera.y, (bx - b.cell * 0.3) * s + camera.x, by * s + camera.y);
  }
  stroke();
}

export function paintEdges(pen: Pen, scene: Scene, camera: Camera, ink: Ink, zoom: number): void {
  const near = Math.min(1, Math.max(0, (zoom - EDGES_FROM) / 0.3));
  paintRibbons(pen, scene, camera, ink, scene.edges.length ? 0.1 + 0.3 * (1 - near) : 0.22);
  if (near === 0) return;
  // Many lines on top of each other must not become a solid block.
  const crowd = Math.min(1, Math.sqrt(500 / Math.max(1, scene.edges.length)));
  const style = (weight: number): Style => (strength) => ({
    colour: ink.edge,
    alpha: near * weight * (0.05 + (0.2 + 0.6 * crowd) * strength ** 1.5),
    width: (0.5 + 1.7 * strength) * Math.min(2.2, Math.max(0.7, Math.sqrt(zoom))),
  });
  // All edges of a lane run along one line, where they add up.
  paintEdgeList(pen, scene, scene.edges, camera, style(0.16), ({ lane }) => lane !== null);
  paintEdgeList(pen, scene, scene.edges, camera, style(1), ({ lane }) => lane === null);
}

/** The paths of a class's graph, by kind: solid from units that it stands on, dashed from others. */
export function paintPaths(pen: Pen, scene: Scene, camera: Camera, paths: EdgeList, colour: Rgb, dashed: boolean): void {
  const crowd = Math.min(1, Math.sqrt(300 / Math.max(1, paths.length)));
  pen.setLineDash(dashed ? [5, 4] : []);
  paintEdgeList(pen, scene, paths, camera, (strength) => ({ colour, alpha: crowd * (0.24 + 0.6 * strength), width: 0.7 + 1.9 * strength }));
  pen.setLineDash([]);
}

function dot(pen: Pen, x: number, y: number, size: number, round: boolean): void {
  if (round) {
    pen.moveTo(x + size / 2, y);
    pen.arc(x, y, size / 2, 0, 2 * Math.PI);
  } else pen.rect(x - size / 2, y - size / 2, size, size);
}

/** Classes and filters without an importance are hollow: nothing is said about them. */
function paintHollow(pen: Pen, column: Column, camera: Camera, ink: Ink): void {
  const size = column.cell * camera.scale * (column.layer.isOutput ? 0.6 : 0.62);
  pen.beginPath();
  for (let unit = 0; unit < column.layer.units; unit++) {
    const [x, y] = toScreen(camera, ...place(column, unit));
    dot(pen, x, y, Math.min(size, 22), size > 7 && !column.layer.isOutput);
  }
  pen.fillStyle = css(ink.empty);
  pen.fill();
  if (size > 4) {
    pen.strokeStyle = ink.outline;
    pen.lineWidth = 1;
    pen.stroke();
  }
}

export function paintUnits(pen: Pen, scene: Scene, camera: Camera, ink: Ink, shares: Shares, width: number, instead: Instead): void {
  for (const column of scene.plan.columns) {
    const left = column.left * camera.scale + camera.x;
    if (left > width || left + column.across * column.cell * camera.scale < 0) continue;
    if (instead(pen, column, camera)) continue;
    const share = shares(column);
    if (!share) {
      paintHollow(pen, column, camera, ink);
      continue;
    }
    const cell = column.cell * camera.scale;
    const levels: number[][] = Array.from({ length: LEVELS + 1 }, () => []);
    share.values.forEach((value, unit) => levels[Math.round(Math.min(1, Math.max(0, value / share.max || 0)) * LEVELS)].push(unit));
    levels.forEach((units, level) => {
      if (!units.length) return;
      const t = level / LEVELS;
      const size = cell * (cell < 4 ? 0.92 : 0.46 + 0.46 * Math.sqrt(t));
      pen.beginPath();
      for (const unit of units) {
        const [x, y] = toScreen(camera, ...place(column, unit));
        dot(pen, x, y, size, cell > 8);
      }
      pen.fillStyle = css(ink.map(t));
      pen.fill();
      if (cell > 8) {
        pen.strokeStyle = ink.outline;
        pen.lineWidth = 0.75;
        pen.stroke();
      }
    });
  }
}

/** A cross over a bare background, half of it where a filter is only turned down: readable in grey, at any size. */
export function paintZeroed(pen: Pen, scene: Scene, camera: Camera, ink: Ink, ablated: Record<string, number[]>, scale: number): void {
  for (const [layer, units] of Object.entries(ablated)) {
    const column = scene.plan.columns[scene.plan.index.get(layer) ?? -1];
    if (!column) continue;
    const cell = column.cell * camera.scale;
    const arm = Math.max(2.2, cell * 0.36);
    for (const round of [0, 1]) {
      pen.beginPath();
      for (const unit of units) {
        if (unit >= column.layer.units) continue;
        const [x, y] = toScreen(camera, ...place(column, unit));
        if (round === 0) {
          dot(pen, x, y, Math.max(5, cell * 0.96), cell > 8);
          continue;
        }
        pen.moveTo(x + arm, y - arm);
        pen.lineTo(x - arm, y + arm);
        if (scale > 0) continue;
        pen.moveTo(x - arm, y - arm);
        pen.lineTo(x + arm, y + arm);
      }
      if (round === 0) {
        pen.fillStyle = ink.back;
        pen.fill();
      }
      pen.strokeStyle = ink.zero;
      pen.lineWidth = round === 0 ? Math.min(1.4, cell / 8) : Math.min(3, Math.max(1.3, cell * 0.11));
      if (round === 1 || cell > 8) pen.stroke();
    }
  }
}

export function paintRing(pen: Pen, column: Column, unit: number, camera: Camera, colour: string, width: number, back: string | null): void {
  const [x, y] = toScreen(camera, ...place(column, unit));
  const radius = back ? Math.max(4.5, column.cell * camera.scale * 0.5 + 2) : Math.max(2, column.cell * camera.scale * 0.5);
  for (const [line, stroke] of [[width + 2, back], [width, colour]] as const) {
    if (!stroke) continue;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.lineWidth = line;
    pen.strokeStyle = stroke;
    pen.stroke();
  }
}
