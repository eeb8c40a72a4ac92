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
    """How some units of a layer read their parents: groups of equal size, each with parents of its own.

    A dense layer is one group. A depthwise layer is as many groups as units, with one parent (or one of each
    source layer) a group.

    Attributes
    ----------
    target
        The layer whose units read.
    sources
        The parent layers in forward order; their units side by side are the parents' columns.
    parents
        Columns of each group's parents.
    children
        Units of the target in each group; all units of a group have the same parents.
    full
        One group holding every parent and every unit.
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
        Columns of each layer, in forward order.
    readings
        For each layer that has parents, how its units read them.
    pairs
        Layer pairs (earlier, later) whose cross-products are kept in full, each once, whoever needs them.
    """

    widths: Mapping[str, int]
    readings: Mapping[str, tuple[Reading, ...]]
    pairs: tuple[Pair, ...]

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

    def _pair_size(self, pair: Pair) -> int:
        return self.widths[pair[0]] * self.widths[pair[1]]

    def check_memory(self, sets: int = 1, limit: int | None = None) -> None:
        """Refuse moments that would not fit, before anything is allocated.

        Parameters
        ----------
        sets
            How many sets of moments will be kept (training and held-out: 2).
        limit
            Bytes allowed; None takes three quarters of the memory that is available now.

        Raises
        ------
        ArgumentError
            Says how many bytes, and which layer needs most.
        """
        needed, allowed = sets * self.bytes, _free_bytes() if limit is None else limit
        if allowed is None or needed <= allowed:
            return
        worst = max(self.readings, key=self.bytes_of)
        parents = sum(
            self.widths[source] for reading in self.readings[worst][:1] for source in reading.sources
        )
        raise ArgumentError(
            f"The moments of this network need {needed:,} bytes ({sets} set(s) of {self.bytes:,}), "
            f"and {allowed:,} are allowed. Layer {worst!r}, with {parents:,} parents, needs most: "
            f"{self.bytes_of(worst):,} bytes a set. "
            "Give memory_limit= more bytes, or holdout=0 to keep one set instead of two."
        )


def layout_of(graph: FilterGraph) -> Layout:
    """Return the layout of the moments that the structural equations of a graph need."""
    widths = {layer.name: layer.units for layer in graph.layers}
    readings = {layer.name: _readings(graph, layer.name, widths) for layer in graph.layers}
    readings = {target: found for target, found in readings.items() if found}
    order = {name: i for i, name in enumerate(widths)}
    wanted = {pair for found in readings.values() for reading in found for pair in _pairs_of(reading)}
    ordered = {(a, b) if order[a] <= order[b] else (b, a) for a, b in wanted}
    return Layout(widths, readings, tuple(sorted(ordered, key=lambda pair: (order[pair[0]], order[pair[1]]))))


def _readings(graph: FilterGraph, target: str, widths: Mapping[str, int]) -> tuple[Reading, ...]:
    wirings = graph.parents(target)
    sources = tuple(dict.fromkeys(wiring.source for wiring in wirings))
    n_parents = sum(widths[source] for source in sources)
    if not n_parents:
        return ()
    full_sources = {wiring.source for wiring in wirings if wiring.is_full}
    if full_sources == set(sources):
        everything, units = np.arange(n_parents)[None], np.arange(widths[target])[None]
        return (Reading(target, sources, everything, units, full=True),)
    masks = []
    for source in sources:
        mask = np.zeros((widths[target], widths[source]), dtype=bool)
        for wiring in wirings:
            if wiring.source == source:
                mask |= wiring.is_full or np.asarray(wiring.mask())
        masks.append(mask)
    return _grouped(target, sources, np.concatenate(masks, axis=1))


def _grouped(
    target: str, sources: tuple[str, ...], mask: Bool[np.ndarray, "unit parent"]
) -> tuple[Reading, ...]:
    """Gather units with the same parents into groups, and groups of the same size into one reading."""
    members: dict[bytes, list[int]] = {}
    for unit, row in enumerate(np.packbits(mask, axis=1)):
        members.setdefault(row.tobytes(), []).append(unit)
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
