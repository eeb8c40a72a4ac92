"""Changes at several places in one run, each made of what the run has come to there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, fx

from causal_widget.effects.cutting.again import Again
from causal_widget.effects.cutting.along import along, replaced
from causal_widget.effects.cutting.carried import carry
from causal_widget.effects.cutting.changed import Change
from causal_widget.effects.cutting.places import Place
from causal_widget.effects.cutting.slices import Items, Slices
from causal_widget.effects.cutting.state import CutState

__all__ = ["JointChange", "Passing", "jointly"]


@dataclass(frozen=True, eq=False)
class JointChange:
    """One of several changes that are in force together.

    Attributes
    ----------
    place : (layer, site)
        Where it enters.
    needs : collection of places
        What it asks the run for.
    make : callable (Passing) -> Change
        Makes it of what the run has come to.
    """

    place: Place
    needs: Collection[Place]
    make: Callable[[Passing], Change]


class Passing:
    """A run on its way, asked as a `CutState` is asked: what it says holds for the run's items.

    A change on the way depends on what the changes before it have made of the network.
    """

    def __init__(self, run: _JointRun, state: CutState) -> None:
        self.graph, self.model, self.program = state.graph, state.model, state.program
        self.specs, self.rules, self.reuses = state.specs, state.rules, state.reuses
        self._run, self._state = run, state

    @property
    def rows(self) -> Int[Tensor, " item"]:
        """The image of each item."""
        return self._run.items.rows

    def kept(self, node: fx.Node) -> Any:
        """Give a node's value in this run, for all items."""
        return self._run.whole(node)

    def value(self, layer: str, site: str) -> Float[Tensor, "item ..."]:
        """Give the tensor at a place, under the changes before it."""
        return self.kept(self._state.region(layer, site).start)  # type: ignore[no-any-return]

    def along(
        self, layer: str, site: str, units: Int[Tensor, " unit"], maps: Float[Tensor, "item unit ..."]
    ) -> Tensor | Slices:
        """Give what a layer's input becomes when some units are changed on the way to it alone."""
        return along(self, self._state.region(layer, site), units, maps, self.graph.layer(layer).unit_axis)


def jointly(
    state: CutState, changes: Sequence[JointChange], rows: Int[Tensor, " item"]
) -> Float[Tensor, "item class"]:
    """Run what lies below several places once, with a change at each.

    Parameters
    ----------
    state : CutState
        Run with the places, and all that the changes ask for, among its places.
    changes : sequence of JointChange
        Those at one place are made in this order.
    rows : int Tensor, shape (item,)
        Which image each item is, each at most once, ascending.

    Returns
    -------
    Tensor, shape (item, class)
        The logits.
    """
    return _JointRun(state, _region(state, changes), rows).logits_of(changes)


@dataclass(frozen=True, eq=False)
class _Region:
    """What runs again: nodes in order, what is freed after each, and what nothing may write over."""

    start: fx.Node
    end: fx.Node
    nodes: tuple[fx.Node, ...]
    frees: Mapping[fx.Node, list[fx.Node]]
    nodes_set: frozenset[fx.Node]


def _region(state: CutState, changes: Sequence[JointChange]) -> _Region:
    asked: dict[fx.Node, set[fx.Node]] = {}
    reached: set[fx.Node] = set()
    for change in changes:
        region = state.region(*change.place)
        reached |= {region.start, *region.nodes}
        asked.setdefault(region.start, set()).update(*(_asked(state, place) for place in change.needs))
    nodes = tuple(node for node in state.program.nodes if node in reached)
    last: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        last |= dict.fromkeys((*node.all_input_nodes, *asked.get(node, ())), node)
        last.setdefault(node, node)
    frees: dict[fx.Node, list[fx.Node]] = {}
    for value, user in last.items():
        frees.setdefault(user, []).append(value)
    kept = frozenset().union(*asked.values())
    return _Region(nodes[0], state.program.result, nodes, frees, frozenset(nodes) - kept)


def _asked(state: CutState, place: Place) -> set[fx.Node]:
    """Give the nodes whose values must be known for a place: of a route, all that its nodes read."""
    region = state.region(*place)
    return {region.start} if place[1] in state.graph.layer(place[0]).sites else {region.start, *region.needs}


class _JointRun(Again):
    """One run with changes on the way; its region's nodes are those of all places."""

    def __init__(self, state: CutState, region: _Region, rows: Tensor) -> None:
        super().__init__(state, region, Items(rows, ((0, len(rows)),), every=len(rows) == state.n))
        self._cut, self._below = state, set(region.nodes)
        self._wholes: dict[fx.Node, Any] = {}

    @torch.no_grad()
    def logits_of(self, changes: Sequence[JointChange]) -> Tensor:
        """Run all nodes, and give the result."""
        waiting: dict[fx.Node, list[JointChange]] = {}
        for change in changes:
            waiting.setdefault(self._cut.region(*change.place).start, []).append(change)
        for node in self._region.nodes:
            self._now[node] = self._passed(node)
            for k, change in enumerate(waiting.get(node, ())):
                self._now[node] = self._under(node, change, k == 0)
                self._wholes.pop(node, None)
            for done in self._region.frees.get(node, ()):
                self._wholes.pop(done, None)
                if done is not self._region.end:
                    self._now.pop(done, None)
        return self.whole(self._region.end)  # type: ignore[no-any-return]

    def _passed(self, node: fx.Node) -> Any:
        if any(read in self._below for read in node.all_input_nodes):
            return self._computed(node)
        kept = self.kept(node)
        return kept if self.items.every else carry(kept, self._cut.specs[node], self.items.rows)

    def whole(self, node: fx.Node) -> Any:
        """Value of a node in this run; what is put together of channels is kept while it may be needed."""
        if not isinstance(self._now.get(node), Slices):
            return super().whole(node)
        if node not in self._wholes:
            self._wholes[node] = super().whole(node)
        return self._wholes[node]

    def _under(self, node: fx.Node, change: JointChange, first: bool) -> Any:
        """Give a place's value with the change; in few channels where nothing else has changed it."""
        made = change.make(Passing(self, self._cut))
        units, axis = made.units.expand(self.items.n, -1), self._cut.graph.layer(change.place[0]).unit_axis
        untouched = first and not any(read in self._below for read in node.all_input_nodes)
        few = 2 * units.shape[1] <= self._cut.graph.layer(change.place[0]).units
        if untouched and few and self._cut.kept(node).ndim + axis == 1:
            return Slices(units, made.after)
        now = self.whole(node)
        return replaced(now, axis, units, made.after, torch.arange(len(now), device=now.device))
