"""A network that has run once, and can run again from the middle on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, fx

from causal_widget.effects.cutting.carried import carry, size_in_bytes
from causal_widget.effects.cutting.places import Place
from causal_widget.effects.cutting.program import Program
from causal_widget.effects.cutting.region import Region
from causal_widget.effects.cutting.reuse import Reuse
from causal_widget.effects.cutting.rules import Rule
from causal_widget.effects.cutting.slices import Items, Slices
from causal_widget.errors import ArgumentError, OrderError
from causal_widget.graph import FilterGraph

__all__ = ["CutState"]


class CutState:
    """What was kept of one run over some images.

    Attributes
    ----------
    logits : Tensor, shape (image, class)
        The network's output without any change.
    bytes : int
        Memory of what is kept.
    reason : str
        Empty: only what lies below a change runs again.
    """

    reason = ""

    def __init__(
        self,
        graph: FilterGraph,
        program: Program,
        specs: Mapping[fx.Node, Any],
        rules: Mapping[fx.Node, Rule | None],
        reuses: Mapping[fx.Node, Reuse],
        regions: Mapping[Place, Region],
    ) -> None:
        self.graph, self.program = graph, program
        self._specs, self._rules, self._reuses, self._regions = specs, rules, reuses, regions
        self._values: dict[fx.Node, Any] | None = None
        self.logits = torch.empty(0)

    def fill(self, images: Tensor, keep: frozenset[fx.Node]) -> None:
        """Run the network once, and keep the values of some nodes."""
        kept = {self.program.images: images, **self.program.defaults}
        for node, value in self.program.steps(images, keep):
            if node in keep:
                kept[node] = value
            if node is self.program.result:
                self.logits = value
        self._values = {node: value for node, value in kept.items() if node in keep}

    def clear(self) -> None:
        """Let go of what was kept; the logits stay."""
        self._values = None

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.logits)

    @property
    def bytes(self) -> int:
        """Memory of what is kept, in bytes."""
        kept = (self._values or {}).items()
        return sum(size_in_bytes(value) for node, value in kept if self._specs[node] == "images")

    def kept(self, node: fx.Node) -> Any:
        """Give the kept value of a node, for all images.

        Raises
        ------
        OrderError
            If the block of the run is over.
        """
        if self._values is None:
            raise OrderError("the run is over: what was kept is gone; use the state within its with block")
        return self._values[node]

    def value(self, layer: str, site: str) -> Float[Tensor, "image ..."]:
        """Give the tensor at a site as it is without any change; the units are at the layer's unit axis."""
        return self.kept(self._region(layer, site).start)  # type: ignore[no-any-return]

    def bytes_per_item(self, layer: str, site: str) -> int:
        """Most bytes that running again takes for one item, one unit's change on one image."""
        return self._region(layer, site).bytes_per_item

    def again(
        self,
        layer: str,
        site: str,
        tensor: Float[Tensor, "item ..."],
        rows: Int[Tensor, " item"] | None = None,
    ) -> Float[Tensor, "item class"]:
        """Run what lies below a site again, on another tensor there.

        Parameters
        ----------
        layer, site : str
            Where it enters.
        tensor : Tensor, shape (item, ...)
            The new value. It is not written to.
        rows : int Tensor, shape (item,), optional
            Which image each item is; None: all images in order, as many times over as the tensor is long.

        Returns
        -------
        Tensor, shape (item, class)
            The logits.

        Raises
        ------
        ArgumentError
            If the tensor's shape does not fit.
        """
        region = self._region(layer, site)
        rows = rows_of(tensor, rows, self.n, self.kept(region.start))
        run = _Again(self, region, Items(rows, ((0, len(rows)),)))
        return run.logits(tensor)

    def again_units(
        self,
        layer: str,
        site: str,
        units: Int[Tensor, " item"],
        maps: Float[Tensor, "item ..."],
        rows: Int[Tensor, " item"],
    ) -> Float[Tensor, "item class"]:
        """Run what lies below a site again, with one unit's map replaced in each item.

        Parameters
        ----------
        layer, site : str
            Where the change enters.
        units : int Tensor, shape (item,)
            Which unit is changed in each item; items of one unit stand together, their rows ascending.
        maps : Tensor, shape (item, ...)
            What the unit's map becomes.
        rows : int Tensor, shape (item,)
            Which image each item is.

        Returns
        -------
        Tensor, shape (item, class)
            The logits.
        """
        region = self._region(layer, site)
        whole = self.kept(region.start)
        if whole.ndim + self.graph.layer(layer).unit_axis != 1:
            return self.again(layer, site, replaced(whole, self._axis(layer), units, maps, rows), rows)
        run = _Again(self, region, Items(rows, blocks_of(units, rows)))
        return run.logits(Slices(units[:, None], maps[:, None]))

    def _axis(self, layer: str) -> int:
        return self.graph.layer(layer).unit_axis

    def _region(self, layer: str, site: str) -> Region:
        region = self._regions.get((layer, site))
        if region is None:
            raise OrderError(f'nothing was kept for a change at "{layer}", {site}: name it when running')
        return region


def blocks_of(units: Int[Tensor, " item"], rows: Int[Tensor, " item"]) -> tuple[tuple[int, int], ...]:
    """Cut items into blocks of one unit each, in which no image comes twice."""
    breaks = (units[1:] != units[:-1]) | (rows[1:] <= rows[:-1])
    ends = [*(breaks.nonzero().flatten() + 1).tolist(), len(units)]
    return tuple(zip([0, *ends[:-1]], ends, strict=True)) if len(units) else ()


def rows_of(tensor: Tensor, rows: Tensor | None, n: int, whole: Tensor) -> Tensor:
    """Say which image each item of a tensor is."""
    if tensor.shape[1:] != whole.shape[1:]:
        raise ArgumentError(
            f"the tensor must have shape (item, {', '.join(map(str, whole.shape[1:]))}), "
            f"got {tuple(tensor.shape)}"
        )
    if rows is None:
        if len(tensor) % n:
            raise ArgumentError(f"{len(tensor)} items are not a multiple of the {n} images: say which rows")
        return torch.arange(n, device=tensor.device).repeat(len(tensor) // n)
    if len(rows) != len(tensor):
        raise ArgumentError(f"{len(rows)} rows for a tensor of {len(tensor)} items")
    return rows


def replaced(whole: Tensor, axis: int, units: Tensor, maps: Tensor, rows: Tensor) -> Tensor:
    """Give kept values of some images, with one unit's map replaced in each."""
    tensor = whole.index_select(0, rows)
    moved = tensor.movedim(axis, 1)
    moved[torch.arange(len(rows), device=rows.device), units] = maps.to(tensor.dtype)
    return tensor


class _Again:
    """One run of what lies below a cut: a `Running` for the rules."""

    def __init__(self, state: CutState, region: Region, items: Items) -> None:
        self.program, self.items = state.program, items
        self._state, self._region = state, region
        self._now: dict[fx.Node, Any] = {}
        self._below = {region.start, *region.nodes}

    def logits(self, start: Tensor | Slices) -> Tensor:
        """Run all nodes, and give the result."""
        region, result = self._region, self.program.result
        self._now[region.start] = start
        for node in region.nodes:
            self._now[node] = self._computed(node)
            for done in region.frees.get(node, ()):
                if done is not result:
                    self._now.pop(done, None)
        return self._whole(result)  # type: ignore[no-any-return]

    def _computed(self, node: fx.Node) -> Any:
        changed = [n for n in node.all_input_nodes if n in self._below]
        rule = self._state._rules[node]
        if rule is not None and all(isinstance(self._now[n], Slices) for n in changed):
            followed = rule.follow(self, node)
            if followed is not None:
                return followed
        reuse = self._state._reuses.get(node)
        if reuse is None or reuse[0] not in self._region.nodes_set:
            return self.program.call(node, self._whole)
        own, function = reuse
        return function(self._whole(own), *[self._whole(n) for n in node.all_input_nodes if n is not own])

    def _whole(self, node: fx.Node) -> Any:
        value = self.value(node)
        return value.into(self.kept(node), self.items.rows) if isinstance(value, Slices) else value

    def value(self, node: fx.Node) -> Any:
        """Value of a node in this run, as the rules may ask for it."""
        if node in self._below:
            return self._now[node]
        return carry(self.kept(node), self._state._specs[node], self.items.rows)

    def kept(self, node: fx.Node) -> Any:
        """Value that was kept of a node, for all images."""
        return self._state.kept(node)

    def changed(self, node: fx.Node) -> bool:
        """Whether the node lies below the change."""
        return node in self._below
