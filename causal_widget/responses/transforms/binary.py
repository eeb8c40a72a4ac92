"""One bit a map: whether its norm is below a threshold that the data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from causal_widget.errors import ArgumentError, OrderError, nearest
from causal_widget.responses.transforms.base import OneNumber, Transform, wide

__all__ = ["SPREADS", "Binary", "BinaryAt"]

SPREADS = ("deviation", "variance")


@dataclass(frozen=True)
class BinaryAt(OneNumber):
    """The binary transform at one layer, with the thresholds that the data set.

    Attributes
    ----------
    name
        As `Binary.name`.
    thresholds
        (unit,), float64.
    """

    name: str
    thresholds: Float[Tensor, " unit"] = field(repr=False, compare=False)

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return 1 where the norm is below the threshold, else 0."""
        norms: Tensor = torch.linalg.vector_norm(maps, dim=(2, 3), dtype=wide(maps))
        below: Tensor = norms < self.thresholds.to(norms.device, norms.dtype)
        return below.to(norms.dtype)


@dataclass(frozen=True)
class Binary(OneNumber):
    """1 where a map's Frobenius norm is below the unit's mean norm plus its spread, else 0.

    ``phi(a) = 1 if |a|_F < mu + sigma else 0``, where mu and sigma are over the training images.
    Source: Narendra et al. 2018, section 3, whose text calls sigma "the variance". A variance is in squared
    units and cannot be added to a mean, so ``spread="deviation"`` (the square root of the variance, divided
    by the number of images) is what is meant by the name "binary"; ``spread="variance"`` is the paper's
    letter, by the name "binary_variance". As in the paper's formula a silent map gives 1: ones mean little.

    The thresholds need a pass over the data of their own, which `collect` makes first.

    Parameters
    ----------
    spread
        "deviation" or "variance".
    thresholds
        By layer, (unit,) float64; None before the first pass.

    Raises
    ------
    ArgumentError
        Another spread.
    """

    spread: str = "deviation"
    thresholds: Mapping[str, Float[Tensor, " unit"]] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.spread not in SPREADS:
            raise ArgumentError(
                f"spread is {self.spread!r:.80}; expected one of {SPREADS}."
                f"{nearest(str(self.spread), SPREADS)}"
            )

    @property
    def name(self) -> str:
        """Return "binary", or "binary_variance" for the paper's letter."""
        return "binary" if self.spread == "deviation" else "binary_variance"

    def at(self, layer: str) -> Transform:
        """Return the transform with the layer's thresholds.

        Raises
        ------
        OrderError
            The thresholds were not learned, or not of this layer.
        """
        if self.thresholds is None or layer not in self.thresholds:
            raise OrderError(
                f'the transform "{self.name}" has no thresholds for layer {layer!r}: they are learned by a '
                "first pass over the images, which collect makes"
            )
        return BinaryAt(self.name, self.thresholds[layer])

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Refuse: thresholds belong to a layer, so take `at(layer)` first.

        Raises
        ------
        OrderError
            Always.
        """
        raise OrderError(f'the transform "{self.name}" has thresholds of each layer: call at(layer) first')
