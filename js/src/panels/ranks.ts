// Rows of a ranking: their order, their numbers as text, and all of them as CSV.
import { fixedSigned, MISSING, number } from "../format";
import { rowOf, type Table } from "../records";
import { OUTCOMES, SIGNS } from "../rules";

export const KEYS = ["unit", "effect", "low", "verdict", "corrected", "images"] as const;
export type Key = (typeof KEYS)[number];
/** `size` is the largest effect of either sign first. */
export interface Order {
  key: Key;
  by: "up" | "down" | "size";
}

/** Rows in order; equal ones stay in the order of the network, and what is missing comes last. */
export function ordered(found: Table, { key, by }: Order): number[] {
  const rows = Array.from(found.unit, (_, k) => k);
  if (key === "unit") return by === "down" ? rows.reverse() : rows;
  const value = (k: number) => (by === "size" ? -Math.abs(found[key][k]) : found[key][k] * (by === "down" ? -1 : 1));
  return rows.sort((a, b) => (Number.isNaN(value(a)) ? 1 : 0) - (Number.isNaN(value(b)) ? 1 : 0) || value(a) - value(b) || a - b);
}

const inPoints = (outcome: string) => outcome === "correct";
const decimals = (outcome: string) => (inPoints(outcome) ? 2 : 3);

/** An effect with its sign; of accuracy in percentage points. */
export function change(outcome: string, effect: number): string {
  return fixedSigned(inPoints(outcome) ? 100 * effect : effect, decimals(outcome));
}

export function range(outcome: string, low: number, high: number): string {
  return Number.isFinite(low) ? `[${[low, high].map((x) => fixedSigned(inPoints(outcome) ? 100 * x : x, decimals(outcome)).replace("+", "")).join(", ")}]` : MISSING;
}

export function pValue(p: number): string {
  return p < 1e-4 ? "<.0001" : p >= 0.01 ? p.toFixed(2).replace(/^0/, "") : Number.isFinite(p) ? number(p, 1).replace(/^0/, "") : MISSING;
}

const quoted = (value: string): string => `"${value.replace(/"/g, '""')}"`;
const plain = (x: number): string => (Number.isFinite(x) ? String(Number(x.toPrecision(7))) : "");

export function csv(found: Table, rows: number[]): string {
  const { info } = found;
  const head = ["layer", "unit", "outcome", "effect", "low", "high", "p", "corrected p", "verdict", "images", "images needed", "least effect"];
  const lines = rows.map((k) => [
    quoted(info.layers[found.layer[k]]), found.unit[k], quoted(info.outcome), ...[found.effect, found.low, found.high, found.p, found.corrected].map((column) => plain(column[k])),
    info.verdicts[found.verdict[k]], found.images[k], plain(found.needed[k]), plain(info.minEffect),
  ].join(","));
  return [head.join(","), ...lines, ""].join("\r\n");
}

/** The p-value of a unit's verdict, to stand after its line. */
export function pOf(found: Table | null, layer: string, unit: number): string {
  const k = found ? rowOf(found, layer, unit) : -1;
  return k >= 0 && Number.isFinite(found!.p[k]) ? ` · p ${pValue(found!.corrected[k])}` : "";
}

/** What was found of one unit, in a line; empty where it was not asked. */
export function effectLine(found: Table | null, layer: string, unit: number): string {
  const k = found ? rowOf(found, layer, unit) : -1;
  if (!found || k < 0) return "";
  const { outcome, verdicts } = found.info;
  return `${OUTCOMES[outcome] ?? outcome} ${change(outcome, found.effect[k])} ${range(outcome, found.low[k], found.high[k])} · ${SIGNS[verdicts[found.verdict[k]]]} ${verdicts[found.verdict[k]]}`;
}
