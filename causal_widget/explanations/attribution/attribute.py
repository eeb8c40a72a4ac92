"""Attributions by eq. (3) of Ahmad et al. 2023, laid over the image where the units look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.effects import in_halves, sizes_said
from causal_widget.errors import ArgumentError, DataError, NonFiniteError, OrderError
from causal_widget.explanations.attribution.choice import ClassUnits, chosen_parents, chosen_units
from causal_widget.explanations.attribution.receptive_field import (
    ReceptiveField,
    feature_places,
    receptive_fields,
)
from causal_widget.explanations.attribution.result import Attribution
from causal_widget.explanations.attribution.signals import channels_carrying, flat_responses, responses
from causal_widget.graph import FilterGraph, Layer, trace
from causal_widget.graph.calls import call_name, on_calls
from causal_widget.guard import bare, floating_type, guarded

__all__ = ["attribute"]

Respond = Callable[[Tensor], tuple[Tensor, np.ndarray]]


def attribute(
    model: nn.Module | ClassUnits,
    images: Float[Tensor, "image channel height width"],
    layer: str | int,
    units: Any = None,
    *,
    parents: Any = None,
    strongest: int | None = None,
    graph: FilterGraph | None = None,
    device: torch.device | None = None,
) -> Attribution:
    """Map what units of a layer receive from their parents: eq. (3), for a batch of images in one pass.

    For unit i with J_i chosen parents, ``s_i = (1 / J_i) sum over j of f(w_ji, a_j)``: a_j is the j-th signal
    as it arrives at the layer (after the parents' own norm, activation, pooling and sums), f the layer's own
    operation without bias. Maps are signed, and nothing is normalised. Over the image they are laid by the
    true window of each position, not by stretching: `Attribution.maps`.

    Parameters
    ----------
    model : nn.Module or ClassGraph
        The network, which is not changed; or a class's explanatory graph that knows the network it was found
        in, and then says which units count.
    images : Tensor, shape (image, channel, height, width)
        As the network takes them; a single image without the first axis will do.
    layer : str or int
        A layer with maps, or a linear layer that reads flattened maps (then the map holds what each position
        adds to the response).
    units : optional
        None: all units of the layer. A sequence of numbers; or a mapping of unit to signed weight, or a table
        with columns "unit" and "effect", whose weights count in `Attribution.aggregate`. Or a class's
        explanatory graph: its critical units of this layer, which count alike, and as parents its critical
        units of the layers before.
    parents : optional
        None: all (of the first layer: the image's channels), or those of the class's graph. A mapping of
        parent layer to a choice of its units, in the same forms.
    strongest : int, optional
        Of the chosen parents only so many, by absolute effect: 1 is the paper's "top-1 filter" (its Fig. 6).
    graph : FilterGraph, optional
        The network's graph, traced where it is not given.
    device : torch.device, optional
        Where to run. None: where the model is.

    Raises
    ------
    UnknownNameError
        If a layer or unit does not exist.
    ArgumentError
        If the layer has no maps, no unit or parent is left, or parents are of another layer.
    DataError, NonFiniteError
        If the images are not such, or of a size that the network cannot take, or responses are not finite.
    UnsupportedModelError
        If the layer computes in a way of its own, or an operation's window is not known.
    OrderError
        If a graph was loaded and does not know its network.
    """
    batch = _images(images)
    network = bare(_network_of(model))
    if not isinstance(model, nn.Module) and units is None:
        units = model
    traced = graph if graph is not None else trace(network, batch[:1])
    chosen = traced.layer(layer)
    if len(chosen.shape) not in (1, 3) or chosen.kind == "output":
        raise ArgumentError(f'layer "{chosen.name}" has no maps: its units have no place in the image')
    choice = chosen_units(traced, chosen, units)
    by_graph = parents is None and isinstance(units, ClassUnits)
    kept = chosen_parents(traced, chosen, units if by_graph else parents, strongest)
    channels = channels_carrying(traced, chosen, kept)
    with sizes_said(traced, batch, "the images are"):
        field, respond = _response(network, traced, chosen, batch, choice.units, channels)
        maps, counts = _run(network, chosen, batch, respond, device)
    weights = None if isinstance(units, ClassUnits) or choice.weights is None else np.array(choice.weights)
    return Attribution(chosen.name, choice.units, weights, counts, maps, field)


def _network_of(given: nn.Module | ClassUnits) -> nn.Module:
    network = given if isinstance(given, nn.Module) else getattr(given, "model", None)
    if not isinstance(network, nn.Module):
        raise OrderError("this graph does not know its network: give attribute(model, images, layer, graph)")
    return network


def _response(
    network: nn.Module,
    graph: FilterGraph,
    layer: Layer,
    batch: Tensor,
    units: tuple[int, ...],
    channels: np.ndarray,
) -> tuple[ReceptiveField, Respond]:
    """Give where the layer's maps look, and what makes them of its input."""
    module = network.get_submodule(layer.module)
    if isinstance(module, nn.Linear) and len(layer.shape) == 1:
        field, row, column = feature_places(network, layer, batch)
        return field, lambda given: flat_responses(module, layer, given, units, channels, row, column)
    field = receptive_fields(network, graph, batch, [layer.name])[layer.name]
    return field, lambda given: responses(module, layer, given, units, channels)


def _run(
    network: nn.Module, layer: Layer, batch: Tensor, respond: Respond, device: torch.device | None
) -> tuple[np.ndarray, np.ndarray]:
    seen: list[tuple[Tensor, np.ndarray]] = []

    def before(path: str, call: int, given: Tensor) -> None:
        if call_name(path, call) == layer.name:
            seen.append(respond(given))

    def run(part: Tensor) -> Tensor:
        seen.clear()
        network(part)
        return seen[0][0]

    watching = on_calls(network, before, lambda *_: None, modules={layer.module})
    with guarded(network, device) as guard, watching:
        maps = in_halves(run, batch.to(guard.device, floating_type(network)))
    if not torch.isfinite(maps).all():
        raise NonFiniteError(f'the responses of layer "{layer.name}" hold NaN or infinity')
    return maps.numpy(), seen[0][1]


def _images(images: object) -> Tensor:
    if not isinstance(images, Tensor) or images.ndim not in (3, 4) or not images.is_floating_point():
        got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise DataError(f"images must be a float tensor (image, channel, height, width), got {got}")
    if not torch.isfinite(images).all():
        raise NonFiniteError("the images hold NaN or infinity")
    return images[None] if images.ndim == 3 else images
