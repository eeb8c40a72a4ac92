"""The spatial variance of a map."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from causal_widget.responses.transforms.base import OneNumber, wide

__all__ = ["SpatialVariance"]


@dataclass(frozen=True)
class SpatialVariance(OneNumber):
    """The variance of each map over its positions, ``mean over positions of (a - mean(a))**2``.

    Divided by the number of positions, so that a map of one position has variance 0: a linear unit's response
    is always 0 and its equation empty.
    """

    name: str = "variance"

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return the variances, in float32 for half precision maps."""
        return maps.to(wide(maps)).var(dim=(2, 3), correction=0)
