"""A scale and a shift on every unit of every image, which gradients are taken along."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from causal_widget.graph import FilterGraph, Layer

Handler = Callable[[Tensor], "Tensor | None"]

__all__ = ["Knobs"]


class Knobs:
    """Handlers for `watch`: each unit's map becomes scale * map + shift.

    Parameters
    ----------
    graph : FilterGraph
        The network's graph; every layer but the output has knobs.
    site : str
        Where the maps are turned, for each layer the last site it has at or before that.
    """

    def __init__(self, graph: FilterGraph, site: str) -> None:
        self.layers = [layer for layer in graph.layers if not layer.is_output]
        self._site = site
        self._at = 0
        self._scales: dict[str, Tensor] = {}
        self._shifts: dict[str, Tensor] = {}

    @property
    def handlers(self) -> list[tuple[str, str, Handler]]:
        """What to give to `watch`."""
        return [(layer.name, layer.site(self._site), self._handler(layer)) for layer in self.layers]

    def turn(self, scale: Float[Tensor, "image unit"]) -> None:
        """Set the scales of the next forward pass; the shifts are 0.

        Parameters
        ----------
        scale : Tensor, shape (image, unit)
            Of the units of all layers side by side, in forward order.
        """
        parts = scale.split([layer.units for layer in self.layers], dim=1)
        for layer, part in zip(self.layers, parts, strict=True):
            self._scales[layer.name] = part.clone().requires_grad_()
            self._shifts[layer.name] = torch.zeros_like(part).requires_grad_()

    def gradients(
        self, outcome: Float[Tensor, " image"], again: bool
    ) -> tuple[Float[Tensor, "image unit"], Float[Tensor, "image unit"]]:
        """Differentiate each image's outcome by its own scales and shifts.

        Images do not act on each other, so the sum over images has every image's gradient at once.

        Parameters
        ----------
        outcome : Tensor, shape (image,)
            Computed by the last forward pass.
        again : bool
            Whether the same pass will be differentiated once more.
        """
        names = [layer.name for layer in self.layers]
        leaves = [self._scales[name] for name in names] + [self._shifts[name] for name in names]
        found = torch.autograd.grad(outcome.sum(), leaves, retain_graph=again, materialize_grads=True)
        return torch.cat(found[: len(names)], dim=1), torch.cat(found[len(names) :], dim=1)

    def _handler(self, layer: Layer) -> Handler:
        def turned(maps: Tensor) -> Tensor:
            shape = [1] * maps.ndim
            shape[0], shape[layer.unit_axis] = len(maps), layer.units
            return maps * self._scales[layer.name].view(shape) + self._shifts[layer.name].view(shape)

        return turned
