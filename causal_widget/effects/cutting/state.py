"""A network that has run once, and can run again from the middle on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, fx, nn

from causal_widget.effects.cutting.again import Again
from causal_widget.effects.cutting.along import along, replaced
from causal_widget.effects.cutting.carried import size_in_bytes
from causal_widget.effects.cutting.places import Place
from causal_widget.effects.cutting.program import Program
from causal_widget.effects.cutting.region import Region
from causal_widget.effects.cutting.reuse import Reuse
from causal_widget.effects.cutting.rules import Rule
from causal_widget.effects.cutting.slices import Items, Slices
from causal_widget.effects.cutting.soft_gates import soft_gates
from causal_widget.effects.cutting.under import logits_under
from causal_widget.errors import ArgumentError, OrderError
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Donors, Edits, MeanMaps

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
        self.specs, self.rules, self.reuses, self._regions = specs, rules, reuses, regions
        self._values: dict[fx.Node, Any] | None = None
        self._images: Tensor | None = None
        self.logits = torch.empty(0)

    def fill(self, images: Tensor, keep: frozenset[fx.Node], soft: bool = False) -> None:
        """Run the network once, and keep the values of some nodes; for ``soft`` see `soft_gates`."""
        self._images = images
        kept = {self.program.images: images, **self.program.defaults}
        instead = soft_gates(self.program) if soft else None
        for node, value in self.program.steps(images, keep, instead):
            if node in keep:
                kept[node] = value
            if node is self.program.result:
                self.logits = value
        self._values = {node: value for node, value in kept.items() if node in keep}

    def clear(self) -> None:
        """Let go of what was kept; the logits stay."""
        self._values = self._images = None

    @property
    def model(self) -> nn.Module:
        """The user's network."""
        return self.program.model

    @property
    def rows(self) -> Int[Tensor, " image"]:
        """The image of each row: all in order."""
        return torch.arange(self.n, device=self.logits.device)

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.logits)

    @property
    def bytes(self) -> int:
        """Memory of what is kept, in bytes."""
        kept = (self._values or {}).items()
        return sum(size_in_bytes(value) for node, value in kept if self.specs[node] == "images")

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
        return self.kept(self.region(layer, site).start)  # type: ignore[no-any-return]

    def bytes_per_item(self, layer: str, site: str) -> int:
        """Most bytes that running again takes for one item, one unit's change on one image."""
        return self.region(layer, site).bytes_per_item

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
        region = self.region(layer, site)
        rows = rows_of(tensor, rows, self.n, self.kept(region.start))
        run = Again(self, region, Items(rows, ((0, len(rows)),)))
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
        return self.again_sets(layer, site, units[:, None], maps[:, None], rows)

    def again_sets(
        self,
        layer: str,
        site: str,
        units: Int[Tensor, "item unit"],
        maps: Float[Tensor, "item unit ..."],
        rows: Int[Tensor, " item"],
    ) -> Float[Tensor, "item class"]:
        """Run what lies below a site again, with the maps of some units replaced in each item.

        Parameters
        ----------
        layer, site : str
            Where the change enters.
        units : int Tensor, shape (item, unit)
            Which units are changed in each item; items of the same units stand together, their rows
            ascending.
        maps : Tensor, shape (item, unit, ...)
            What their maps become.
        rows : int Tensor, shape (item,)
            Which image each item is.

        Returns
        -------
        Tensor, shape (item, class)
            The logits.
        """
        region, axis = self.region(layer, site), self._axis(layer)
        whole = self.kept(region.start)
        most = 2 * units.shape[1] > self.graph.layer(layer).units > 2
        if whole.ndim + axis != 1 or most:
            return self.again(layer, site, replaced(whole, axis, units, maps, rows), rows)
        run = Again(self, region, Items(rows, blocks_of(units, rows)))
        return run.logits(Slices(units, maps))

    def along(
        self, layer: str, site: str, units: Int[Tensor, " unit"], maps: Float[Tensor, "image unit ..."]
    ) -> Tensor | Slices:
        """Give what a layer's input becomes when some units are changed on the way to it alone.

        Parameters
        ----------
        layer, site : str
            A `route`.
        units : int Tensor, shape (unit,)
            Which units are changed.
        maps : Tensor, shape (image, unit, ...)
            What their maps become, for all images.

        Returns
        -------
        Tensor or Slices
            For all images; slices where only some channels change.
        """
        return along(self, self.region(layer, site), units, maps, self._axis(layer))

    def under(
        self,
        edits: Edits,
        index: Int[Tensor, " image"],
        means: MeanMaps | None = None,
        donors: Donors | None = None,
    ) -> Float[Tensor, "image class"]:
        """Give the logits under any edits, by a pass through the whole network."""
        return logits_under(self.program.model, self.graph, self._images, edits, index, means, donors)

    def _axis(self, layer: str) -> int:
        return self.graph.layer(layer).unit_axis

    def region(self, layer: str, site: str) -> Region:
        """Give what lies below a place that was named when running."""
        region = self._regions.get((layer, site))
        if region is None:
            raise OrderError(f'nothing was kept for a change at "{layer}", {site}: name it when running')
        return region


def recorded(images: Tensor) -> Tensor:
    """Give images to which everything computed of them is connected; a network may write into them."""
    return images.detach().requires_grad_().clone()


def blocks_of(units: Int[Tensor, "item unit"], rows: Int[Tensor, " item"]) -> tuple[tuple[int, int], ...]:
    """Cut items into blocks of the same units each, in which no image comes twice."""
    breaks = (units[1:] != units[:-1]).any(1) | (rows[1:] <= rows[:-1])
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
