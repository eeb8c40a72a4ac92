"""What a transform is, and the arithmetic that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["MapFunction", "Transform", "wide"]

MapFunction = Callable[[Tensor], Tensor]


@runtime_checkable
class Transform(Protocol):
    """A named function from activation maps to one response a unit, or a short vector of them."""

    @property
    def name(self) -> str:
        """The name under which results say what they were made of."""
        ...

    @property
    def scalar(self) -> bool:
        """Whether a response is one number whatever the size of the map."""
        ...

    def components(self, height: int, width: int) -> int:
        """Return how many numbers a unit's response has for maps of that size."""
        ...

    def at(self, layer: str) -> Transform:
        """Return the transform as it is used at a layer: itself, unless it learned something there."""
        ...

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit ..."]:
        """Return the response of every unit for every image: (image, unit) or (image, unit, component)."""
        ...


class OneNumber:
    """What all transforms to one number a unit share."""

    scalar = True

    def components(self, height: int, width: int) -> int:
        """Return 1: a response is one number."""
        return 1

    def at(self, layer: str) -> Transform:
        """Return the transform itself: it learned nothing of the layer."""
        return self  # type: ignore[return-value]


def wide(maps: Tensor) -> torch.dtype:
    """Half precision overflows at 65504, which a squared map reaches easily: accumulate in float32."""
    return torch.float32 if maps.dtype in (torch.float16, torch.bfloat16) else maps.dtype
