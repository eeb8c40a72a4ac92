"""A class's graph as columns: one row a unit, and its paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from causal_widget.effects.statistics import VERDICTS
from causal_widget.explanations import ClassGraph, ClassGraphs, LayerUnits
from causal_widget.explanations.class_graphs.layer_units import NOT_ASKED
from causal_widget.graph import FilterGraph
from causal_widget.widget.classes import Explained

KINDS = (*VERDICTS, NOT_ASKED)
COMPARED = ("shared", "only a", "only b", "neither")
COLUMNS = ("effect", "low", "high", "p", "corrected", "needed")
MOST_PATHS = 4000  # beyond, they cover each other
Array = np.ndarray[Any, Any]
Arrays = tuple[tuple[str, Array], ...]


def arrays_of(graph: FilterGraph, one: Explained, other: ClassGraph | None) -> Arrays:
    """Give every unit's numbers and kind, and the paths.

    Parameters
    ----------
    graph : FilterGraph
    one : Explained
        The class.
    other : ClassGraph or None
        Another class to compare it with: kinds are then `COMPARED`, else `KINDS`.
    """
    kinds = {name: _codes(units.verdict, KINDS) for name, units in one.layers.items()}
    reported = [(one.layers, {KINDS.index("critical"), KINDS.index("detrimental")})]
    if other is not None and one.graph is not None:
        kinds = _compared(one.graph, other)
        shared, a, b = (COMPARED.index(kind) for kind in ("shared", "only a", "only b"))
        reported = [(one.layers, {shared, a}), ({units.layer: units for units in other.layers}, {b})]
    paths = [part for layers, some in reported for part in _paths(graph, layers, kinds, some)]
    return (*_units(one.layers), ("verdict", np.concatenate([*kinds.values(), _NONE])), *_joined(paths))


_NONE = np.zeros(0, np.uint8)


def _codes(names: Array, kinds: tuple[str, ...]) -> Array:
    return np.array([kinds.index(name) for name in names.tolist()], dtype=np.uint8)


def _units(layers: Mapping[str, LayerUnits]) -> Iterator[tuple[str, Array]]:
    """Give the columns of numbers, layers one after the other."""
    sizes = [len(units.verdict) for units in layers.values()]
    columns: dict[str, list[Array]] = {
        "layer": [np.full(n, k) for k, n in enumerate(sizes)],
        "unit": [np.arange(n) for n in sizes],
        **{name: [getattr(units, name) for units in layers.values()] for name in COLUMNS},
        "images": [units.n for units in layers.values()],
    }
    for name, parts in columns.items():
        yield name, np.concatenate([*parts, _NONE]).astype(np.float32)


def _compared(one: ClassGraph, other: ClassGraph) -> dict[str, Array]:
    neither = COMPARED.index("neither")
    found = {units.layer: np.full(len(units.verdict), neither, np.uint8) for units in one.layers}
    for name, by_layer in ClassGraphs({0: one, 1: other}).compared(0, 1).items():
        for layer, units in by_layer.items():
            found[layer][list(units)] = COMPARED.index(name)
    return found


def _paths(
    graph: FilterGraph, layers: Mapping[str, LayerUnits], kinds: Mapping[str, Array], some: set[int]
) -> Iterator[Array]:
    """Give, for each wiring, rows (wiring, target unit, source unit, kind, strength 0..1).

    Paths lead from units of some kinds to critical ones, or to the class: what is no layer of the graph.
    """
    place = {(wiring.source, wiring.target): k for k, wiring in enumerate(graph.wirings)}
    for units in layers.values():
        chosen = np.flatnonzero(np.isin(kinds[units.layer], list(some)))
        for child, mask in units.reads.items():
            after = layers.get(child)
            numbers = np.array(units.targets[child], dtype=np.int64)
            carries = np.ones(len(numbers), bool) if after is None else after.verdict[numbers] == "critical"
            rows, columns = np.nonzero(mask[np.ix_(np.flatnonzero(carries), chosen)])
            if not len(rows):
                continue
            targets, sources = numbers[carries][rows], chosen[columns]
            strength = np.abs(units.effect[sources])
            if after is not None:
                strength = np.sqrt(strength * np.abs(after.effect[targets]))
            where = np.full(len(rows), place[units.layer, child])
            kind = kinds[units.layer][sources]
            yield np.stack([where, targets, sources, kind, strength / (strength.max() or 1.0)])


def _joined(paths: list[Array]) -> Iterator[tuple[str, Array]]:
    """Give the strongest paths of each wiring, in equal shares, as columns."""
    left, kept = MOST_PATHS, []
    for done, part in enumerate(sorted(paths, key=lambda one: one.shape[1])):
        share = left // (len(paths) - done)
        kept.append(part[:, np.argsort(-part[4], kind="stable")[:share]])
        left -= kept[-1].shape[1]
    every = np.concatenate([*kept, np.zeros((5, 0))], axis=1)
    every = every[:, np.argsort(every[4], kind="stable")]  # the strong ones are drawn last
    for name, values in zip(("wiring", "row", "col"), every, strict=False):
        yield name, values.astype(np.float32)
    yield "kind", every[3].astype(np.uint8)
    yield "strength", np.clip(np.round(255 * every[4]), 1, 255).astype(np.uint8)
