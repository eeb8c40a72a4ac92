"""One run of what lies below a cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, fx

from causal_widget.effects.cutting.carried import carry
from causal_widget.effects.cutting.program import Program
from causal_widget.effects.cutting.reuse import Reuse
from causal_widget.effects.cutting.rules import Rule
from causal_widget.effects.cutting.slices import Items, Slices

__all__ = ["Again", "Kept"]


class Below(Protocol):
    """What runs again: `Region`, or the same of several places."""

    @property
    def start(self) -> fx.Node:
        """The first node that changes."""

    @property
    def end(self) -> fx.Node:
        """The node whose value is wanted."""

    @property
    def nodes(self) -> tuple[fx.Node, ...]:
        """What runs, in order."""

    @property
    def frees(self) -> Mapping[fx.Node, list[fx.Node]]:
        """After which node which values are needed no more."""

    @property
    def nodes_set(self) -> frozenset[fx.Node]:
        """The nodes whose values may be written over."""


class Kept(Protocol):
    """What was kept of the first run, and how nodes are run again."""

    program: Program
    specs: Mapping[fx.Node, Any]
    rules: Mapping[fx.Node, Rule | None]
    reuses: Mapping[fx.Node, Reuse]

    def kept(self, node: fx.Node) -> Any:
        """Give the kept value of a node, for all images."""


class Again:
    """One run of what lies below a cut: a `Running` for the rules."""

    def __init__(self, state: Kept, region: Below, items: Items) -> None:
        self.program, self.items = state.program, items
        self._state, self._region = state, region
        self._now: dict[fx.Node, Any] = {}
        self._below = {region.start, *region.nodes}

    @torch.no_grad()
    def logits(self, start: Tensor | Slices) -> Tensor:
        """Run all nodes, and give the result; what is kept may be part of a gradient, this never is."""
        self.end(start)
        return self.whole(self._region.end)  # type: ignore[no-any-return]

    @torch.no_grad()
    def end(self, start: Tensor | Slices) -> Tensor | Slices:
        """Run all nodes, and give the value of the last, in few channels where it is."""
        region = self._region
        self._now[region.start] = start
        for node in region.nodes:
            self._now[node] = self._computed(node)
            for done in region.frees.get(node, ()):
                if done is not region.end:
                    self._now.pop(done, None)
        return self._now[region.end]  # type: ignore[no-any-return]

    def _computed(self, node: fx.Node) -> Any:
        changed = [n for n in node.all_input_nodes if n in self._below]
        rule = self._state.rules[node]
        if rule is not None and all(isinstance(self._now[n], Slices) for n in changed):
            followed = rule.follow(self, node)
            if followed is not None:
                return followed
        reuse = self._state.reuses.get(node)
        if reuse is None or reuse[0] not in self._region.nodes_set:
            return self.program.call(node, self.whole)
        own, function = reuse
        return function(self.whole(own), *[self.whole(n) for n in node.all_input_nodes if n is not own])

    def whole(self, node: fx.Node) -> Any:
        """Value of a node in this run, for all items, in all channels."""
        value = self.value(node)
        return value.into(self.kept(node), self.items.rows) if isinstance(value, Slices) else value

    def value(self, node: fx.Node) -> Any:
        """Value of a node in this run, as the rules may ask for it."""
        if node in self._below:
            return self._now[node]
        kept = self.kept(node)
        return kept if self.items.every else carry(kept, self._state.specs[node], self.items.rows)

    def kept(self, node: fx.Node) -> Any:
        """Value that was kept of a node, for all images."""
        return self._state.kept(node)

    def changed(self, node: fx.Node) -> bool:
        """Whether the node lies below the change."""
        return node in self._below
