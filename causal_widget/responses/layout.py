"""Which cross-products the structural equations of a graph need, and how many bytes they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from causal_widget.devices import list_devices
from causal_widget.errors import ArgumentError
from causal_widget.graph import FilterGraph

FLOAT64 = 8
Pair = tuple[str, str]


@dataclass(frozen=True)
class Reading:
    """How some columns of a layer read their parents: groups of equal size, each with parents of its own.

    A dense layer is one group. A depthwise layer is as many groups as units, with one parent (or one of each
    source layer) a group.

    Attributes
    ----------
    target
        The layer whose columns read.
    sources
        The parent layers in forward order; their columns side by side are the parents' columns.
    parents
        Columns of each group's parents.
    children
        Columns of the target in each group; all of a group have the same parents. A column is a unit, or one
        of the components of its vector-valued response.
    full
        One group holding every parent and every child.
    """

    target: str
    sources: tuple[str, ...]
    parents: Int[np.ndarray, "group parent"]
    children: Int[np.ndarray, "group child"]
    full: bool

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.parents.shape[0])

    @property
    def key(self) -> tuple[tuple[str, ...], bytes]:
        """Equal for readings of the same parents, whose factorisation can be shared."""
        return self.sources, b"" if self.full else self.parents.tobytes()


@dataclass(frozen=True)
class Layout:
    """The layers of a graph as columns of a response matrix, and the blocks of cross-products between them.

    Attributes
    ----------
    widths
        Columns of each layer, in forward order: its units times their components.
    readings
        For each layer that has parents, how its columns read them.
    pairs
        Layer pairs (earlier, later) whose cross-products are kept in full, each once, whoever needs them.
    components
        Columns a unit, by layer: 1 for responses that are one number, and always for the output layer. A
        unit's columns stand side by side: column = unit * components + component.
    """

    widths: Mapping[str, int]
    readings: Mapping[str, tuple[Reading, ...]]
    pairs: tuple[Pair, ...]
    components: Mapping[str, int]

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Columns of each layer in the response matrix."""
        ends = np.cumsum(list(self.widths.values()))
        return {
            name: slice(int(end) - w, int(end))
            for (name, w), end in zip(self.widths.items(), ends, strict=True)
        }

    @property
    def total(self) -> int:
        """Columns in all."""
        return sum(self.widths.values())

    @cached_property
    def stacks(self) -> dict[tuple[str, int], Reading]:
        """Readings of several groups, whose cross-products are kept group by group."""
        return {
            (target, i): reading
            for target, readings in self.readings.items()
            for i, reading in enumerate(readings)
            if reading.n_groups > 1
        }

    def bytes_of(self, layer: str) -> int:
        """Bytes of the cross-products that this layer's equations read."""
        pairs = {pair for reading in self.readings.get(layer, ()) for pair in _pairs_of(reading)}
        stacked = [reading for (target, _), reading in self.stacks.items() if target == layer]
        return FLOAT64 * (sum(map(self._pair_size, pairs)) + sum(map(_stack_size, stacked)))

    @property
    def bytes(self) -> int:
        """Bytes of one set of moments."""
        blocks = sum(map(self._pair_size, self.pairs)) + sum(map(_stack_size, self.stacks.values()))
        return FLOAT64 * (blocks + 2 * self.total)

    @cached_property
    def gap_pairs(self) -> tuple[Pair, ...]:
        """Pairs (source, target) of every equation that is not kept group by group."""
        found = {
            (source, target): None
            for target, readings in self.readings.items()
            for reading in readings
            if reading.n_groups == 1
            for source in reading.sources
        }
        return tuple(found)

    @property
    def interventional_bytes(self) -> int:
        """Bytes of one set of interventional moments, which keep parents apart from children."""
        across = sum(
            int(reading.parents.size * reading.children.shape[1]) for reading in self.stacks.values()
        )
        return self.bytes + FLOAT64 * (across + sum(map(self._pair_size, self.gap_pairs)) + 3 * self.total)

    def _pair_size(self, pair: Pair) -> int:
        return self.widths[pair[0]] * self.widths[pair[1]]

    def check_memory(self, sets: int = 1, limit: int | None = None, interventional: int = 0) -> None:
        """Refuse moments that would not fit, before anything is allocated.

        Parameters
        ----------
        sets
            How many sets of observational moments will be kept (four folds and the held-out images: 5).
        interventional
            How many sets of interventional ones.
        limit
            Bytes allowed; None takes three quarters of the memory that is available now.

        Raises
        ------
        ArgumentError
            Says how many bytes, and which layer needs most.
        """
        needed = sets * self.bytes + interventional * self.interventional_bytes
        allowed = _free_bytes() if limit is None else limit
        if allowed is None or needed <= allowed:
            return
        worst = max(self.readings, key=self.bytes_of)
        parents = sum(
            self.widths[source] for reading in self.readings[worst][:1] for source in reading.sources
        )
        raise ArgumentError(
            f"The moments of this network need {needed:,} bytes ({_sets(self, sets, interventional)}), "
            f"and {allowed:,} are allowed. Layer {worst!r}, with {parents:,} parents, needs most: "
            f"{self.bytes_of(worst):,} bytes a set. "
            "Give memory_limit= more bytes, or keep fewer sets: folds=1 keeps the training images together "
            "(no cross-validation), holdout=0 holds none out."
        )


def _sets(layout: Layout, sets: int, interventional: int) -> str:
    told = f"{sets} set(s) of {layout.bytes:,}"
    return told + (f", {interventional} of {layout.interventional_bytes:,}" if interventional else "")


def layout_of(graph: FilterGraph, components: Mapping[str, int] | None = None) -> Layout:
    """Return the layout of the moments that the structural equations of a graph need.

    Parameters
    ----------
    graph
        The network's layers and wirings.
    components
        Columns a unit, by layer; None (or a layer left out) means one.
    """
    columns = {layer.name: (components or {}).get(layer.name, 1) for layer in graph.layers}
    widths = {layer.name: layer.units * columns[layer.name] for layer in graph.layers}
    readings = {layer.name: _readings(graph, layer.name, widths, columns) for layer in graph.layers}
    readings = {target: found for target, found in readings.items() if found}
    order = {name: i for i, name in enumerate(widths)}
    wanted = {pair for found in readings.values() for reading in found for pair in _pairs_of(reading)}
    ordered = {(a, b) if order[a] <= order[b] else (b, a) for a, b in wanted}
    pairs = tuple(sorted(ordered, key=lambda pair: (order[pair[0]], order[pair[1]])))
    return Layout(widths, readings, pairs, columns)


def _readings(
    graph: FilterGraph, target: str, widths: Mapping[str, int], columns: Mapping[str, int]
) -> tuple[Reading, ...]:
    wirings = graph.parents(target)
    sources = tuple(dict.fromkeys(wiring.source for wiring in wirings))
    n_parents = sum(widths[source] for source in sources)
    if not n_parents:
        return ()
    full_sources = {wiring.source for wiring in wirings if wiring.is_full}
    if full_sources == set(sources):
        everything, children = np.arange(n_parents)[None], np.arange(widths[target])[None]
        return (Reading(target, sources, everything, children, full=True),)
    masks = []
    for source in sources:
        mask = np.zeros((graph.layer(target).units, graph.layer(source).units), dtype=bool)
        for wiring in wirings:
            if wiring.source == source:
                mask |= wiring.is_full or np.asarray(wiring.mask())
        masks.append(mask.repeat(columns[target], axis=0).repeat(columns[source], axis=1))
    return _grouped(target, sources, np.concatenate(masks, axis=1))


def _grouped(
    target: str, sources: tuple[str, ...], mask: Bool[np.ndarray, "child parent"]
) -> tuple[Reading, ...]:
    """Gather columns with the same parents into groups, and groups of the same size into one reading."""
    members: dict[bytes, list[int]] = {}
    for column, row in enumerate(np.packbits(mask, axis=1)):
        members.setdefault(row.tobytes(), []).append(column)
    by_size: dict[tuple[int, int], list[list[int]]] = {}
    for units in members.values():
        by_size.setdefault((int(mask[units[0]].sum()), len(units)), []).append(units)
    readings = []
    for (n_parents, n_children), groups in sorted(by_size.items()):
        if n_parents == 0:
            continue
        parents = np.stack([np.flatnonzero(mask[units[0]]) for units in groups])
        full = (n_parents, n_children) == mask.shape[::-1]
        readings.append(Reading(target, sources, parents, np.array(groups), full))
    return tuple(readings)


def _pairs_of(reading: Reading) -> list[Pair]:
    """Layer pairs that a single group needs in full."""
    if reading.n_groups > 1:
        return []
    among = [(a, b) for i, a in enumerate(reading.sources) for b in reading.sources[i:]]
    return among + [(source, reading.target) for source in reading.sources]


def _stack_size(reading: Reading) -> int:
    groups, parents = reading.parents.shape
    return int(groups * parents * (parents + reading.children.shape[1]))


def _free_bytes() -> int | None:
    """Three quarters of what the system says is available, or half of the memory where it does not say."""
    host = list_devices()[0]
    if host.free_bytes is not None:
        return host.free_bytes * 3 // 4
    return None if host.memory_bytes is None else host.memory_bytes // 2
