"""The maximum of a map."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from causal_widget.responses.transforms.base import OneNumber, wide

__all__ = ["Maximum"]


@dataclass(frozen=True)
class Maximum(OneNumber):
    """The signed maximum of each map over its positions, ``max over positions of a``."""

    name: str = "maximum"

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return the maxima, in float32 for half precision maps."""
        return maps.amax(dim=(2, 3)).to(wide(maps))
