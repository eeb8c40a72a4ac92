"""A copy of a network without some of its filters."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

from causal_widget.errors import ArgumentError, UnsupportedModelError
from causal_widget.graph import FilterGraph, Layer
from causal_widget.guard import bare

__all__ = ["remove_filters"]


def remove_filters(model: nn.Module, graph: FilterGraph, units: Mapping[str, Iterable[int]]) -> nn.Module:
    """Give a deep copy of the model in which the filters are silent and their weights exactly zero.

    Zero weights alone are not silence: BatchNorm turns a channel of zeros into its shift, ``bias - weight *
    running_mean / std``. So the normalisation that follows gets zero weight and bias for the channel (where
    it has none, zero running mean). On a network whose activations map 0 to 0 the copy's logits are those
    under do(activation = 0). A filter of a module that is called several times is removed at every call.

    Where an activation does not map 0 to 0 (sigmoid), the channel is constant after it and not zero; where
    the normalisation mixes channels (GroupNorm, LayerNorm), the other channels see the zeros in their
    statistics.

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
    pruned = copy.deepcopy(bare(model))
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
    _multiply(convolution, "weight", _kept(convolution, layer, filters))
    _zero(convolution, "bias", filters, layer)
    if "norm" in layer.sites and not _silence_norm(model, layer, filters):
        warnings.warn(
            f'the shift of the normalisation after "{layer.name}" is in no module and stays', stacklevel=4
        )


def _silence_norm(model: nn.Module, layer: Layer, filters: list[int]) -> bool:
    """Take the shift away; say whether zeros now stay zeros."""
    if layer.norm is None:
        return False
    norm = model.get_submodule(layer.norm)
    if _zero(norm, "weight", filters, layer) | _zero(norm, "bias", filters, layer):
        return True
    return _zero(norm, "running_mean", filters, layer) or isinstance(norm, _NormBase)


class _Times(nn.Module):
    """A last parametrisation, which leaves only some entries of a weight that other parameters make up."""

    kept: Tensor

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.kept, weight, 0)


def _multiply(module: nn.Module, name: str, kept: Tensor) -> None:
    if parametrize.is_parametrized(module, name):
        parametrize.register_parametrization(module, name, _Times(kept), unsafe=True)
        return
    if name not in module._parameters and name not in module._buffers:
        _fix(module, name)
    getattr(module, name).masked_fill_(~kept, 0)


def _fix(module: nn.Module, name: str) -> None:
    """Make a parameter of a tensor that a hook computes anew in each run, as it is in eval mode.

    So do `torch.nn.utils.prune`, and the `weight_norm` and `spectral_norm` of `torch.nn.utils`.
    """
    training = module.training
    module.training = False
    for number, hook in list(module._forward_pre_hooks.items()):
        if name in (getattr(hook, "name", None), getattr(hook, "_tensor_name", None)):
            hook(module, ())
            del module._forward_pre_hooks[number]
    module.training = training
    value = getattr(module, name).detach().clone()
    delattr(module, name)
    module.register_parameter(name, nn.Parameter(value))


def _kept(convolution: nn.Module, layer: Layer, filters: list[int]) -> Tensor:
    """Say which entries of the weight stay; a transposed convolution has filters along its second axis."""
    weight = convolution.weight
    if not isinstance(weight, Tensor):
        raise UnsupportedModelError(f'the weight of "{layer.name}" is no tensor')
    kept = torch.ones(layer.units, dtype=torch.bool, device=weight.device)
    kept[filters] = False
    beyond = [1] * (weight.ndim - 2)
    if not getattr(convolution, "transposed", False):
        return kept.view(-1, 1, *beyond).expand(weight.shape)
    by_group = kept.view(layer.groups, 1, -1, *beyond).expand(
        -1, len(weight) // layer.groups, -1, *weight.shape[2:]
    )
    return by_group.reshape(weight.shape)


def _zero(module: nn.Module, name: str, filters: list[int], layer: Layer) -> bool:
    """Zero the filters' entries of a vector; say whether the module has it."""
    vector = getattr(module, name, None)
    if not isinstance(vector, Tensor):
        return False
    kept = torch.ones(len(vector), dtype=torch.bool, device=vector.device)
    if len(vector) != layer.units:
        raise UnsupportedModelError(
            f'{name} of {type(module).__name__} at "{layer.name}" has {len(vector)} entries, '
            f"not {layer.units}"
        )
    kept[filters] = False
    _multiply(module, name, kept)
    return True
