"""Random interventions put into force on the maps of a running network, image by image."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from causal_widget.graph import FilterGraph, Layer
from causal_widget.responses.layout import Layout
from causal_widget.responses.randomised import Draw

__all__ = ["Forcing", "lost"]

Rows = NDArray[np.floating]


class Forcing:
    """What is set in one forward pass whose images are sorted by the layer that was drawn for them.

    Sorted so, the images that an intervention has reached are, at every layer, the first ones: only their
    responses need to be read, as a slice without a copy. What lies before an image's intervention is what it
    is without one.

    Parameters
    ----------
    graph
        The network's layers.
    draw
        What was drawn for the images of the pass.
    """

    def __init__(self, graph: FilterGraph, draw: Draw) -> None:
        self.order: Int64[np.ndarray, " image"] = np.argsort(draw.layer, kind="stable")
        self._graph, self._draw = graph, draw.take(self.order)
        self._starts = np.searchsorted(self._draw.layer, np.arange(len(draw.layers) + 1))
        self._index = np.array([graph.layer(name).index for name in draw.layers])

    def n_reached(self, layer: Layer) -> int:
        """Return how many of the sorted images were intervened on at this layer or before it."""
        return int(self._starts[np.searchsorted(self._index, layer.index, side="right")])

    def put(self, layer: Layer, tensor: Tensor) -> None:
        """Write the value into the units that were drawn at this layer, in place."""
        if layer.name not in self._draw.layers:
            return
        position = self._draw.layers.index(layer.name)
        start, stop = self._starts[position : position + 2]
        if start == stop:
            return
        images, units = np.nonzero(self._draw.units[start:stop, : layer.units])
        maps = tensor.movedim(layer.unit_axis, 1)
        where = [torch.from_numpy(one).to(tensor.device) for one in (images + start, units)]
        maps[where[0], where[1]] = self._draw.value

    def actual(self, layout: Layout, found: dict[str, Rows], natural: Rows) -> Rows:
        """Return the actual responses of all images, in the order that they came in.

        Parameters
        ----------
        layout
            Columns of the layers.
        found
            By layer, what was read of the images that were reached.
        natural
            (image, column), the responses without interventions.
        """
        answer = natural.copy()
        for name, rows in found.items():
            answer[self.order[: len(rows)], layout.slices[name]] = rows
        for position, name in enumerate(self._draw.layers):
            start, stop = self._starts[position : position + 2]
            chosen, columns = self.order[start:stop], layout.slices[name]
            kept = ~columns_of(self._draw.units[start:stop], self._graph.layer(name), layout)
            # Units that were left alone have, to the last bit, the response that they have without.
            answer[chosen, columns] = np.where(kept, natural[chosen, columns], answer[chosen, columns])
        return answer


def columns_of(units: NDArray[np.bool_], layer: Layer, layout: Layout) -> NDArray[np.bool_]:
    """Widen a choice of a layer's units to its columns."""
    return units[:, : layer.units].repeat(layout.components[layer.name], axis=1)


def lost(layout: Layout, draw: Draw, natural: Rows, actual: Rows) -> Float64[np.ndarray, "image column"]:
    """Return natural less actual responses of each image's drawn layer, zero beyond the layer's columns."""
    widest = max(layout.widths[name] for name in draw.layers)
    answer = np.zeros((len(natural), widest))
    for position, name in enumerate(draw.layers):
        rows, columns = np.flatnonzero(draw.layer == position), layout.slices[name]
        if len(rows):
            width = layout.widths[name]
            answer[rows, :width] = natural[rows, columns].astype(np.float64) - actual[rows, columns]
    return answer
