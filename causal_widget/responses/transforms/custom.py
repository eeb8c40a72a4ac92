"""A transform given as a plain function."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causal_widget.errors import DataError
from causal_widget.responses.transforms.base import MapFunction, Transform

__all__ = ["Custom"]


@dataclass(frozen=True)
class Custom:
    """A transform given as a plain function; its answer's shape is checked at every call."""

    function: MapFunction
    name: str

    scalar = False

    def components(self, height: int, width: int) -> int:
        """Return how many numbers a unit the function answers with, by asking it about a map of zeros."""
        answer = self(torch.zeros(1, 1, height, width))
        return int(answer.shape[2]) if answer.ndim == 3 else 1

    def at(self, layer: str) -> Transform:
        """Return the transform itself: it is the same function at every layer."""
        return self

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit ..."]:
        """Return the function's answer.

        Raises
        ------
        DataError
            The answer is no tensor of shape (image, unit) or (image, unit, component).
        """
        answer = self.function(maps)
        expected = tuple(maps.shape[:2])
        wanted = f"(image, unit) = {expected} or (image, unit, k) = ({expected[0]}, {expected[1]}, k)"
        if not isinstance(answer, Tensor):
            raise DataError(
                f"The transform {self.name!r} returned {type(answer).__name__}; "
                f"expected a tensor of shape {wanted}."
            )
        if tuple(answer.shape[:2]) != expected or answer.ndim not in (2, 3) or not answer.numel():
            raise DataError(
                f"The transform {self.name!r} returned shape {tuple(answer.shape)} for maps of shape "
                f"{tuple(maps.shape)}; expected {wanted}."
            )
        return answer
