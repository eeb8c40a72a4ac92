"""What several path edits come to at one layer: which weights by which factor, which children see what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from causal_widget.graph import FilterGraph, Layer
from causal_widget.interventions.path_edit import PathEdit, readers_of, wiring_between

Shadow = tuple[tuple[str, int, str, float], ...]
Numbers = Int[np.ndarray, " number"]


@dataclass(frozen=True, eq=False)
class Piece:
    """Units of one group of a layer that are changed in the same way.

    Attributes
    ----------
    shadow : tuple of (layer, unit, site, beta)
        The source units that these children see scaled, sorted; empty where only weights are scaled.
    units, channels : int arrays
        Units of the layer, and the input channels of which they see something else.
    shadowed : bool array (channel,)
        Whether they see the channel's shadow, and not the channel itself.
    factor : float array (unit, channel)
        What the weights between them are multiplied by.
    """

    shadow: Shadow
    units: Numbers
    channels: Numbers
    shadowed: Bool[np.ndarray, " channel"]
    factor: Float[np.ndarray, "unit channel"]


@dataclass(frozen=True, eq=False)
class _Reach:
    """One path edit in numbers.

    Attributes
    ----------
    edit, children, channels : PathEdit, int array, int array
        The edit, the units that it concerns, the channels that carry its unit.
    alone : int array
        Those of the channels whose weights are scaled.
    sharing : set of int
        Groups of the layer that have others of the channels, on which the unit itself is scaled.
    """

    edit: PathEdit
    children: Numbers
    channels: Numbers
    alone: Numbers
    sharing: frozenset[int]


@dataclass(frozen=True, eq=False)
class TargetPlan:
    """All path edits into one layer.

    Attributes
    ----------
    graph : FilterGraph
        The graph.
    layer : Layer
        The layer.
    edits : tuple of PathEdit
        Checked edits, all with this target.
    """

    graph: FilterGraph
    layer: Layer
    edits: tuple[PathEdit, ...]

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The layer's changed units, apart where they see other shadows or lie in other groups."""
        reached = [self._reach(edit) for edit in self.edits]
        sharing = [reach for reach in reached if reach.sharing]
        children = np.unique(np.concatenate([reach.children for reach in reached]))
        seen: dict[tuple[Shadow, int], list[int]] = {}
        for child in children.tolist():
            group = child * self.layer.groups // self.layer.units
            seen.setdefault((self._shadow(sharing, child, group), group), []).append(child)
        return tuple(
            self._piece(shadow, np.array(units), group, reached) for (shadow, group), units in seen.items()
        )

    @property
    def shadows(self) -> tuple[Shadow, ...]:
        """The shadows that the layer's children see, each once."""
        return tuple(dict.fromkeys(piece.shadow for piece in self.pieces if piece.shadow))

    @cached_property
    def _carried(self) -> Int[np.ndarray, " channel"]:
        """How many units, of all layers, each input channel carries."""
        counts = np.zeros(self.layer.inputs, dtype=np.int64)
        for wiring in self.graph.parents(self.layer.name):
            known = wiring.row_of_channel >= 0
            counts[known] += np.diff(wiring.starts)[wiring.row_of_channel[known]]
        return counts

    def _reach(self, edit: PathEdit) -> _Reach:
        layer, unit = edit.source
        wiring = wiring_between(self.graph, layer, edit.target)
        channels = wiring.channels_of(unit)
        children = readers_of(wiring, unit) if edit.children is None else np.array(edit.children)
        alone = channels if edit.shared == "channel" else channels[self._carried[channels] == 1]
        shared = np.setdiff1d(channels, alone)
        return _Reach(edit, children, channels, alone, frozenset(self._group(shared).tolist()))

    def _group(self, channels: Numbers) -> Numbers:
        return channels // (self.layer.inputs // self.layer.groups)

    def _shadow(self, sharing: Sequence[_Reach], child: int, group: int) -> Shadow:
        """Say which units a child sees scaled: those that come to it on channels shared with others."""
        scaled: dict[tuple[str, int, str], float] = {}
        for reach in sharing:
            if group in reach.sharing and child in reach.children:
                layer, unit = reach.edit.source
                place = (layer, unit, self.graph.layer(layer).site(reach.edit.site))
                scaled[place] = scaled.get(place, 1.0) * reach.edit.beta
        return tuple(sorted((*place, beta) for place, beta in scaled.items() if beta != 1))

    def _piece(self, shadow: Shadow, units: Numbers, group: int, reached: Iterable[_Reach]) -> Piece:
        concerned = [reach for reach in reached if np.isin(units, reach.children).any()]
        channels = np.unique(np.concatenate([reach.channels for reach in concerned]))
        channels = channels[self._group(channels) == group]
        factor, shadowed = np.ones((len(units), len(channels))), np.zeros(len(channels), dtype=bool)
        for reach in concerned:
            rows, columns = np.isin(units, reach.children), np.isin(channels, reach.alone)
            factor[np.ix_(rows, columns)] *= reach.edit.beta
            shadowed |= np.isin(channels, reach.channels) & ~columns
        return Piece(shadow, units, channels, shadowed, factor)


def plan_paths(graph: FilterGraph, edits: Iterable[PathEdit]) -> tuple[TargetPlan, ...]:
    """Gather path edits by target, in forward order."""
    by_target: dict[str, list[PathEdit]] = {}
    for edit in edits:
        by_target.setdefault(edit.target, []).append(edit)
    return tuple(
        TargetPlan(graph, layer, tuple(by_target[layer.name]))
        for layer in graph.layers
        if layer.name in by_target
    )
