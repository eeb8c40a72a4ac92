"""Eq. (3) of Ahmad et al. 2023: what a unit receives from its parents, position by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from causal_widget.errors import ArgumentError
from causal_widget.graph import FilterGraph, Layer, as_maps
from causal_widget.interventions.layer_part import channels_in, check_plain, part

__all__ = ["channels_carrying", "flat_responses", "responses"]

Channels = Int64[np.ndarray, " channel"]


def channels_carrying(
    graph: FilterGraph, layer: Layer, parents: Mapping[str, Sequence[int]] | None
) -> Channels:
    """Give the input channels of a layer that carry a chosen parent, all of them where None are chosen.

    A channel behind a residual sum carries units of several layers; one chosen unit is enough to keep it,
    for the sum arrives as one signal.

    Raises
    ------
    UnknownNameError
        If a unit does not exist.
    ArgumentError
        If a layer is no parent of this one.
    """
    if parents is None:
        return np.arange(layer.inputs)
    wirings = {w.source: w for w in graph.parents(layer.name)}
    kept: set[int] = set()
    for source, units in graph.check_units(parents).items():
        if source not in wirings:
            known = ", ".join(wirings) or "the image itself"
            raise ArgumentError(f'"{source}" is no parent of layer "{layer.name}", whose parents are {known}')
        for unit in units:
            kept.update(wirings[source].channels_of(unit).tolist())
    return np.array(sorted(kept), dtype=np.int64)


def responses(
    module: nn.Module,
    layer: Layer,
    given: Float[Tensor, "image ..."],
    units: Sequence[int],
    channels: Channels,
) -> tuple[Float64[Tensor, "image unit h w"], Int64[np.ndarray, " unit"]]:
    """Give the mean response of each unit to its parents' signals, and how many parents those are.

    Eq. (3): ``s_i = (1 / J_i) sum over j of f(w_ji, a_j)``, with a_j the signal on input channel j as the
    layer gets it, f the layer's own operation (a convolution as networks compute it: the kernel is not
    flipped) without its bias, and J_i the number of chosen channels that unit i reads. A unit that reads none
    of them responds with zeros.

    Parameters
    ----------
    module, layer : nn.Module, Layer
        The layer's module, and its entry in the graph.
    given : Tensor
        The layer's input.
    units : sequence of int
    channels : int array
        Input channels taken as parents.

    Raises
    ------
    UnsupportedModelError
        If the module computes in a way of its own.
    """
    check_plain(layer.name, module)
    counts = np.zeros(len(units), dtype=np.int64)
    found: list[Tensor | None] = [None] * len(units)
    group_of_channel = channels * layer.groups // layer.inputs
    for group in range(layer.groups):
        rows = [k for k, unit in enumerate(units) if unit * layer.groups // layer.units == group]
        read = channels[group_of_channel == group]
        if not rows or not len(read):
            continue
        chosen = np.array([units[k] for k in rows])
        factors = np.ones((len(chosen), len(read)))
        answer = part(module, channels_in(module, given, read), chosen, read, factors)
        maps = as_maps(layer, answer).detach().cpu().double() / len(read)
        for place, k in enumerate(rows):
            found[k], counts[k] = maps[:, place], len(read)
    shape = next((m.shape for m in found if m is not None), (len(given), *layer.shape[-2:]))
    silent = torch.zeros(shape, dtype=torch.float64)
    return torch.stack([silent if m is None else m for m in found], dim=1), counts


def flat_responses(
    module: nn.Linear,
    layer: Layer,
    given: Float[Tensor, "image feature"],
    units: Sequence[int],
    features: Channels,
    row: Int64[np.ndarray, " feature"],
    column: Int64[np.ndarray, " feature"],
) -> tuple[Float64[Tensor, "image unit h w"], Int64[np.ndarray, " unit"]]:
    """Give eq. (3) of a linear layer that reads flattened maps, before it is summed over the positions.

    ``s_i = (1 / J) sum over positions p and parents j of w_ji(p) a_j(p)``: the map holds the terms of each
    position, and its sum is s_i. J is the number of chosen features a position.

    Parameters
    ----------
    module, layer, given, units
        As for `responses`.
    features : int array
        Input features taken as parents.
    row, column : int arrays, shape (feature,)
        Where each of the layer's features lies, from `feature_places`.
    """
    check_plain(layer.name, module)
    h, w = int(row.max()) + 1, int(column.max()) + 1
    chosen = torch.as_tensor(features, device=given.device)
    weight = module.weight[torch.as_tensor(list(units), device=given.device)][:, chosen].double()
    terms = given[:, None, chosen].double() * weight
    maps = torch.zeros(*terms.shape[:2], h * w, dtype=torch.float64, device=given.device)
    place = torch.as_tensor(row[features] * w + column[features], device=given.device)
    maps.index_add_(2, place, terms)
    n_parents = max(1, round(len(features) / (h * w)))
    found = (maps / n_parents).reshape(*terms.shape[:2], h, w).detach().cpu()
    return found, np.full(len(units), n_parents, dtype=np.int64)
