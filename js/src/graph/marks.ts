// What changes under the pointer: a unit's own edges, rings around what is chosen, the box being drawn.
import type { Camera } from "./camera";
import { paintEdgeList, paintRing, type Ink, type Pen } from "./draw";
import { subset, type EdgeList } from "./edges";
import type { Box, Column } from "./layout";
import type { Scene } from "./scene";

const CROWD = 8; // rings: beyond, neighbours are ringed, and thick rings would hide what they mark

/** The edges of one unit of `layer`: from its parents solid, to its children dashed. */
export function paintOwn(pen: Pen, scene: Scene, camera: Camera, ink: Ink, layer: string, edges: EdgeList): void {
  const top = edges.length ? edges.value[edges.length - 1] / 255 : 1;
  for (const incoming of [true, false]) {
    const colour = incoming ? ink.incoming : ink.outgoing;
    pen.setLineDash(incoming ? [] : [5, 3]);
    const part = subset(edges, (k) => (scene.wirings[edges.wiring[k]].target === layer) === incoming);
    paintEdgeList(pen, scene, part, camera, (strength) => ({ colour, alpha: 0.12 + 0.7 * (strength / top) ** 1.5, width: 0.6 + (1.5 * strength) / top }));
  }
  pen.setLineDash([]);
}

export function paintChosen(pen: Pen, camera: Camera, ink: Ink, chosen: [Column, unit: number][]): void {
  const many = chosen.length > CROWD;
  for (const [column, unit] of chosen) paintRing(pen, column, unit, camera, ink.ring, many ? 1.3 : 2.2, many ? null : ink.back);
}

export function paintBox(pen: Pen, { x0, y0, x1, y1 }: Box, ink: Ink): void {
  pen.setLineDash([4, 3]);
  pen.lineWidth = 1.2;
  pen.strokeStyle = ink.ring;
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  pen.setLineDash([]);
}
