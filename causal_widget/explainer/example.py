"""A guess at what images a network takes, before it has been shown any."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from causal_widget.errors import ArgumentError, UnsupportedModelError
from causal_widget.guard import bare, guarded

__all__ = ["check_model", "guess_example"]

SIZES = (32, 28, 8, 64, 224, 299, 96, 128, 256, 16, 384, 512, 48)


def check_model(model: object) -> nn.Module:
    """Give the module itself.

    Raises
    ------
    UnsupportedModelError
        If it is no module or has no convolution.
    """
    module = bare(model)
    if not any(isinstance(part, _ConvNd) for part in module.modules()):
        raise UnsupportedModelError(
            f"{type(module).__name__} has no convolution: there are no filters to explain"
        )
    return module


def guess_example(model: nn.Module) -> Float[Tensor, "1 channel height width"]:
    """Find an image that the network can run, by trying plausible square sizes.

    The number of channels is that of the first convolution. A network with adaptive pooling takes many sizes
    and gets the first; one that flattens takes only its own.

    Returns
    -------
    tensor, shape (1, channel, height, width)
        A black image, of the type and on the device of the network's weights.

    Raises
    ------
    ArgumentError
        If no size fits.
    """
    module = check_model(model)
    first = next(part for part in module.modules() if isinstance(part, _ConvNd))
    with guarded(module) as guard:
        for size in SIZES:
            shape = (1, first.in_channels, *[size] * len(first.kernel_size))
            example = torch.zeros(shape, dtype=first.weight.dtype, device=guard.device)
            if _fits(module, example):
                return example
    raise ArgumentError(
        f"no image size among {SIZES} with {first.in_channels} channels fits {type(module).__name__}: "
        "give example="
    )


def _fits(model: nn.Module, example: Tensor) -> bool:
    try:
        output = model(example)
    except (RuntimeError, ValueError, IndexError, AssertionError, TypeError):
        return False
    return isinstance(output, Tensor) and output.ndim == 2
