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
        If no size fits; the message carries what the network said to the first.
    UnsupportedModelError
        If it runs and its output is not (image, class).
    """
    module = check_model(model)
    first = next(part for part in module.modules() if isinstance(part, _ConvNd))
    said: list[str] = []
    with guarded(module) as guard:
        for size in SIZES:
            shape = (1, first.in_channels, *[size] * len(first.kernel_size))
            example = torch.zeros(shape, dtype=first.weight.dtype, device=guard.device)
            answer = _answer(module, example)
            if isinstance(answer, Tensor) and answer.ndim == 2:
                return example
            said.append(_said(answer))
            if not isinstance(answer, Tensor | Exception):
                break
    if isinstance(answer, Exception):
        raise ArgumentError(
            f"no image size among {SIZES} with {first.in_channels} channels fits {type(module).__name__}: "
            f"give example=. Of {SIZES[0]} it said {said[0]}"
        )
    raise UnsupportedModelError(
        f"the output of {type(module).__name__} must be a tensor (image, class), got {said[-1]} for an "
        f"image of shape {shape[1:]}; if it takes images of another shape, give example="
    )


def _said(answer: object) -> str:
    if isinstance(answer, Tensor):
        return str(tuple(answer.shape))
    return f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else type(answer).__name__


def _answer(model: nn.Module, example: Tensor) -> object:
    """Give the output, or what the model raised."""
    try:
        return model(example)
    # The model is the user's: it may raise anything, and what it raises is told.
    except Exception as error:  # noqa: BLE001
        return error
