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

export function withUnits(units: Units, layer: string, more: number[]): Units {
  const rest = without(units, layer, more);
  return { ...rest, [layer]: [...(rest[layer] ?? []), ...more].sort((a, b) => a - b) };
}

/** Adds all the given units, or takes them out if every one of them is in already. */
export function toggled(units: Units, chosen: Units): Units {
  const all = Object.entries(chosen);
  const add = !all.every(([layer, list]) => list.every((unit) => units[layer]?.includes(unit)));
  return all.reduce((sum, [layer, list]) => (add ? withUnits(sum, layer, list) : without(sum, layer, list)), units);
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
