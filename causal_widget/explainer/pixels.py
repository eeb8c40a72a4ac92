"""From what a network is given back to what a person can look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causal_widget.errors import ArgumentError, DataError

__all__ = ["check_statistics", "denormalise"]

Statistics = Sequence[float] | float | Tensor | np.ndarray | None


def check_statistics(
    mean: Statistics, std: Statistics
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Give the normalisation as two tuples of equal length, or None twice.

    Raises
    ------
    ArgumentError
        If only one is given, lengths differ, or a number is not finite, or a standard deviation not positive.
    """
    if mean is None and std is None:
        return None, None
    if mean is None or std is None:
        raise ArgumentError(f"mean and std belong together, got mean={mean!r} and std={std!r}")
    means, stds = _floats("mean", mean), _floats("std", std)
    if len(means) != len(stds):
        raise ArgumentError(f"mean has {len(means)} channels and std {len(stds)}; expected as many")
    if min(stds) <= 0:
        raise ArgumentError(f"std must be positive, got {stds}")
    return means, stds


def _floats(name: str, values: Statistics) -> tuple[float, ...]:
    try:
        numbers = np.atleast_1d(np.asarray(values, dtype=np.float64)).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} must be one number a channel, got {values!r:.80}") from error
    if not numbers.size or not np.isfinite(numbers).all():
        raise ArgumentError(f"{name} must be one finite number a channel, got {values!r:.80}")
    return tuple(numbers.tolist())


def denormalise(
    images: Float[Tensor, "image channel height width"],
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
) -> Float[np.ndarray, "image height width rgb"]:
    """Turn images as the network takes them into pictures.

    With `mean` and `std`: ``x * std + mean``, cut to 0..1. Without: each image is stretched from its own
    smallest to its own largest value. One channel is shown grey, three as red, green and blue, any other
    number as the grey of their mean.

    Parameters
    ----------
    images : tensor, shape (image, channel, height, width)
        As the network takes them.
    mean, std : tuple of float or None
        One number for all channels, or one a channel.

    Returns
    -------
    array, shape (image, height, width, 3)
        In 0..1.

    Raises
    ------
    DataError
        If the images have another shape.
    ArgumentError
        If mean and std are of another number of channels.
    """
    if not isinstance(images, Tensor) or images.ndim != 4:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise DataError(f"images must be a tensor (image, channel, height, width), got {got}")
    pixels = images.detach().to("cpu", torch.float32).numpy().transpose(0, 2, 3, 1)
    if mean is not None and std is not None:
        if len(mean) not in (1, pixels.shape[3]):
            raise ArgumentError(f"mean and std have {len(mean)} channels, the images {pixels.shape[3]}")
        pixels = np.clip(pixels * np.asarray(std, np.float32) + np.asarray(mean, np.float32), 0, 1)
    if pixels.shape[3] not in (1, 3):
        pixels = pixels.mean(axis=3, keepdims=True)
    if mean is None:
        low, high = pixels.min(axis=(1, 2, 3), keepdims=True), pixels.max(axis=(1, 2, 3), keepdims=True)
        pixels = (pixels - low) / np.where(high > low, high - low, 1)
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels
