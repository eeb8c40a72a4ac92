// What the canvas draws, gathered from the session: places, matrices of the shown wirings, the strongest edges.
import type { Session } from "../state";
import type { WiringInfo } from "../types";
import { emptyEdges, histogram, meanStrength, strongestOfEach, type EdgeList, type Matrix } from "./edges";
import { layout, type Layout } from "./layout";

export interface Ribbon {
  from: number;
  to: number;
  /** 0..1: mean edge strength, relative to the strongest ribbon. */
  strength: number;
  /** Height (world) of the lane for a wiring that skips layers; null for neighbours. */
  lane: number | null;
}
export interface Scene {
  plan: Layout;
  wirings: WiringInfo[];
  /** By wiring: its ribbon, or null where an end is not shown. */
  ribbons: (Ribbon | null)[];
  matrices: Matrix[];
  edges: EdgeList;
}

const LANE = 70;
const counted = new WeakMap<Uint8Array, Uint32Array>();

function counts(data: Uint8Array): Uint32Array {
  const known = counted.get(data) ?? histogram(data);
  counted.set(data, known);
  return known;
}

export function emptyScene(): Scene {
  return { plan: layout([], 1), wirings: [], ribbons: [], matrices: [], edges: emptyEdges(0) };
}

/** Skipping wirings share lanes above and below, spread so that overlapping ones can be told apart. */
function laneOf(order: number, plan: Layout): number {
  const spread = 0.2 + 0.6 * ((Math.floor(order / 2) % 4) / 3);
  return order % 2 === 0 ? plan.lane * (1 - spread) : plan.height - plan.lane * (1 - spread);
}

/** By wiring, which shown columns it joins; -1 where an end is not shown. */
function ends(session: Session): [from: number, to: number][] {
  const index = new Map(session.layers.map((layer, k) => [layer.name, k]));
  return (session.graph?.wirings ?? []).map(({ source, target }) => [index.get(source) ?? -1, index.get(target) ?? -1]);
}

/** Places for the shown layers, `least` world units or more from column to column. */
export function planOf(session: Session, aspect: number, least?: number): Layout {
  const skips = ends(session).some(([from, to]) => from >= 0 && to >= 0 && to - from > 1);
  return layout(session.layers, aspect, skips ? LANE : 0, least);
}

export function buildScene(session: Session, plan: Layout): Scene {
  const wirings = session.graph?.wirings ?? [];
  const between = ends(session);
  const matrices: Matrix[] = [];
  const strengths = between.map(([from, to], wiring) => {
    const data = session.edges[wiring];
    if (from < 0 || to < 0 || !data) return 0;
    matrices.push({ wiring, data, cols: wirings[wiring].cols });
    return meanStrength(counts(data));
  });
  const top = Math.max(1e-6, ...strengths);
  let skipping = 0;
  const ribbons = between.map(([from, to], k) => (from < 0 || to < 0 ? null : { from, to, strength: strengths[k] / top, lane: to - from > 1 ? laneOf(skipping++, plan) : null }));
  return { plan, wirings, ribbons, matrices, edges: pickEdges(matrices, session.get("n_edges") ?? 0) };
}

export function pickEdges(matrices: Matrix[], k: number): EdgeList {
  return strongestOfEach(matrices, k, matrices.map(({ data }) => counts(data)));
}
