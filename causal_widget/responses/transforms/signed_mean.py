"""The mean of a map."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from causal_widget.responses.transforms.base import OneNumber, wide

__all__ = ["Mean"]


@dataclass(frozen=True)
class Mean(OneNumber):
    """The signed mean of each map over its positions, ``sum over positions of a / (height width)``.

    It is the only transform here under which a network without nonlinearities is a linear SCM exactly (up to
    the borders of its convolutions).
    """

    name: str = "mean"

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return the means, in float32 for half precision maps."""
        return maps.mean(dim=(2, 3), dtype=wide(maps))
