"""How wide responses are, and what a silent map's response is: asked once, of one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from causal_widget.graph import FilterGraph, Layer, as_maps, watch
from causal_widget.responses.transforms import Transform, mean

__all__ = ["Probe", "probe", "transform_of"]

Shape = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Probe:
    """What a transform makes of each layer's maps.

    Attributes
    ----------
    components
        Numbers a unit, by layer; 1 for the output layer.
    silent
        (column,) by layer: the response to a map of zeros, which is not always zero.
    """

    components: Mapping[str, int]
    silent: Mapping[str, Float64[np.ndarray, " column"]]


def transform_of(transform: Transform, layer: Layer) -> Transform:
    """Return the transform of a layer: of the output layer the mean of its single position, the logit."""
    return mean if layer.is_output else transform.at(layer.name)


def probe(
    model: nn.Module,
    graph: FilterGraph,
    transform: Transform,
    site: str,
    image: Float[Tensor, "1 channel height width"],
) -> Probe:
    """Ask a transform how it answers for every layer; runs the model, under `guarded`, only if it must.

    A transform to one number a unit answers without being shown a map's size; any other is shown maps of
    zeros, of the size that one image gives.
    """
    sizes: dict[str, Shape] = dict.fromkeys(graph.names, (1, 1))
    if not transform.scalar:
        sizes |= _sizes(model, graph, site, image)
    components, silent = {}, {}
    for layer in graph.layers:
        maps = torch.zeros(1, layer.units, *sizes[layer.name])
        answer = transform_of(transform, layer)(maps).reshape(-1)
        components[layer.name] = len(answer) // layer.units
        silent[layer.name] = answer.double().numpy()
    return Probe(components, silent)


def _sizes(model: nn.Module, graph: FilterGraph, site: str, image: Tensor) -> dict[str, Shape]:
    found: dict[str, Shape] = {}

    def keep(layer: Layer) -> Callable[[Tensor], None]:
        def see(tensor: Tensor) -> None:
            height, width = as_maps(layer, tensor).shape[2:]
            found[layer.name] = (int(height), int(width))

        return see

    handlers = [
        (layer.name, layer.site("conv" if layer.is_output else site), keep(layer)) for layer in graph.layers
    ]
    with watch(model, graph, handlers):
        model(image)
    return found
