// Small set operations on units by layer.
import type { Units } from "./types";

export const unitKey = (layer: string, unit: number): string => `${unit} ${layer}`;

export function without(units: Units, layer: string, gone: number[]): Units {
  const left = (units[layer] ?? []).filter((unit) => !gone.includes(unit));
  const rest: Units = { ...units, [layer]: left };
  if (!left.length) delete rest[layer];
  return rest;
}

export function countUnits(units: Units): number {
  return Object.values(units).reduce((sum, list) => sum + list.length, 0);
}

export function pairs(units: Units): [layer: string, unit: number][] {
  return Object.entries(units).flatMap(([layer, list]) => list.map((unit): [string, number] => [layer, unit]));
}

export function withUnit(units: Units, layer: string, unit: number): Units {
  return { ...units, [layer]: [...(units[layer] ?? []), unit].sort((a, b) => a - b) };
}

/** Groups in order, each of at most `limit` total size (a single larger item makes a group of its own). */
export function* chunks<T>(items: T[], size: (item: T) => number, limit: number): Generator<T[]> {
  let group: T[] = [];
  let sum = 0;
  for (const item of items) {
    if (group.length && sum + size(item) > limit) {
      yield group;
      [group, sum] = [[], 0];
    }
    group.push(item);
    sum += size(item);
  }
  if (group.length) yield group;
}
