"""The part of a layer's output that comes from some of its input channels: the one arithmetic of a path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from causal_widget.errors import UnsupportedModelError

Numbers = Int[np.ndarray, " number"]
Factor = Float[np.ndarray, "unit channel"]

_CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: functional.conv1d,
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
}
_TRANSPOSED: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.ConvTranspose1d: functional.conv_transpose1d,
    nn.ConvTranspose2d: functional.conv_transpose2d,
    nn.ConvTranspose3d: functional.conv_transpose3d,
}


def check_plain(name: str, module: nn.Module) -> None:
    """Refuse a layer whose output is not its weight times its input plus its bias.

    Raises
    ------
    UnsupportedModelError
        If it is no linear layer or convolution of torch, or computes in a way of its own: a weight that it
        standardises while it runs is not the weight that it shows.
    """
    kinds: list[type[nn.Module]] = [nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED]
    for kind in kinds:
        if isinstance(module, kind):
            own = [
                m
                for m in ("forward", "_conv_forward")
                if getattr(type(module), m, 0) is not getattr(kind, m, 0)
            ]
            if not own:
                return
    raise UnsupportedModelError(
        f'layer "{name}" is a {type(module).__name__} that computes in a way of its own; paths can only be '
        "followed into torch's linear layers and convolutions"
    )


def channels_in(
    module: nn.Module, given: Float[Tensor, "image ..."], channels: Numbers
) -> Float[Tensor, "image ..."]:
    """Give some channels of a layer's input: of axis 1, of a linear layer of the last."""
    columns = torch.as_tensor(channels, device=given.device).long()
    return given.index_select(-1 if isinstance(module, nn.Linear) else 1, columns)


def part(
    module: nn.Module, chosen: Float[Tensor, "image ..."], units: Numbers, channels: Numbers, factor: Factor
) -> Float[Tensor, "image unit ..."]:
    """Give what some input channels add to some units of a layer, each weight multiplied by a factor.

    Parameters
    ----------
    module : nn.Module
        A linear layer or a convolution that `check_plain` accepts.
    chosen : Tensor, shape (image, channel, ...) or (..., channel) for a linear layer
        These channels of the layer's input, from `channels_in`.
    units, channels : int arrays
        Which; of a grouped convolution all in one group.
    factor : float array (unit, channel)
        What the weight from a channel to a unit is multiplied by.

    Returns
    -------
    Tensor, shape (image, unit, ...) or (..., unit) for a linear layer
        Without bias. Output = bias + the sum of the parts of disjoint channels.
    """
    rows = torch.as_tensor(units, device=chosen.device).long()
    columns = torch.as_tensor(channels, device=chosen.device).long()
    factors = torch.as_tensor(factor, device=chosen.device)
    if isinstance(module, nn.Linear):
        weight = module.weight[rows[:, None], columns]
        return functional.linear(chosen, weight * factors.to(weight.dtype))
    return _convolved(module, chosen, rows, columns, factors)


def _convolved(module: nn.Module, chosen: Tensor, rows: Tensor, columns: Tensor, factors: Tensor) -> Tensor:
    conv: nn.Conv2d = module  # type: ignore[assignment]  # any of the convolutions: they have the same attributes
    for kind, transposed in _TRANSPOSED.items():
        if isinstance(module, kind):
            weight = conv.weight[columns[:, None], rows % (conv.out_channels // conv.groups)]
            weight = weight * _spread(factors.T, weight)
            return transposed(
                chosen, weight, None, conv.stride, conv.padding, conv.output_padding, 1, conv.dilation
            )
    weight = conv.weight[rows[:, None], columns % (conv.in_channels // conv.groups)]
    weight = weight * _spread(factors, weight)
    padding = conv.padding
    if conv.padding_mode != "zeros":
        chosen = functional.pad(chosen, conv._reversed_padding_repeated_twice, mode=conv.padding_mode)
        padding = (0,) * (chosen.ndim - 2)
    convolve = next(function for kind, function in _CONVOLUTIONS.items() if isinstance(module, kind))
    return convolve(chosen, weight, None, conv.stride, padding, conv.dilation)


def _spread(factors: Tensor, weight: Tensor) -> Tensor:
    return factors.to(weight.dtype).reshape(*factors.shape, *[1] * (weight.ndim - 2))
