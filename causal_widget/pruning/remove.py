"""A copy of a network without some of its filters."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from causal_widget.errors import ArgumentError
from causal_widget.graph import FilterGraph, Layer

__all__ = ["remove_filters"]


def remove_filters(model: nn.Module, graph: FilterGraph, units: Mapping[str, Iterable[int]]) -> nn.Module:
    """Give a deep copy of the model in which the filters are silent and their weights exactly zero.

    Zero weights alone are not silence: BatchNorm turns a channel of zeros into its shift, ``bias - weight *
    running_mean / std``. So the normalisation that follows gets zero weight and bias for the channel (where it has
    none, zero running mean). On a network whose activations map 0 to 0 the copy's logits are those under
    do(activation = 0). A filter of a module that is called several times is removed at every call.

    Where an activation does not map 0 to 0 (sigmoid), the channel is constant after it and not zero; where the
    normalisation mixes channels (GroupNorm, LayerNorm), the other channels see the zeros in their statistics.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network, which is not changed, and its graph.
    units : mapping of layer name to units
        Of convolutions that are not the output.

    Raises
    ------
    UnknownNameError
        If a layer or unit does not exist.
    ArgumentError
        If a layer is no convolution, or its filters are the classes.
    """
    checked = graph.check_units(units)
    removable = {layer.name for layer in graph.hidden_conv_layers}
    for name in checked:
        if name not in removable:
            raise ArgumentError(
                f'filters of "{name}" cannot be removed: it is no convolution, or gives the classes'
            )
    pruned = copy.deepcopy(model)
    with torch.no_grad():
        for name, filters in checked.items():
            for layer in _calls(graph, graph.layer(name)):
                _silence(pruned, layer, list(filters))
    return pruned


def _calls(graph: FilterGraph, layer: Layer) -> Iterator[Layer]:
    """Every call of the layer's module; each may be followed by a normalisation of its own."""
    return (other for other in graph.layers if other.module == layer.module)


def _silence(model: nn.Module, layer: Layer, filters: list[int]) -> None:
    convolution = model.get_submodule(layer.module)
    _zero(convolution, ("weight", "bias"), filters, layer)
    if layer.norm is None:
        if "norm" in layer.sites:
            warnings.warn(
                f'the normalisation after "{layer.name}" is no module, so its shift cannot be removed',
                stacklevel=3,
            )
        return
    norm = model.get_submodule(layer.norm)
    if not _zero(norm, ("weight", "bias"), filters, layer):
        _zero(norm, ("running_mean",), filters, layer)


def _zero(module: nn.Module, names: tuple[str, ...], filters: list[int], layer: Layer) -> bool:
    """Zero the filters' entries; say whether there was anything to zero."""
    found = False
    for name in names:
        if parametrize.is_parametrized(module, name):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        tensor = getattr(module, name, None)
        if isinstance(tensor, Tensor):
            if len(tensor) != layer.units:
                raise ArgumentError(
                    f'{name} of the module after "{layer.name}" has {len(tensor)} entries, expected {layer.units}'
                )
            tensor[filters] = 0
            found = True
    return found
