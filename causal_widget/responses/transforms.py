"""Transforms (phi): what turns a unit's activation map into its response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from causal_widget.errors import ArgumentError, DataError, UnknownNameError, nearest

MapFunction = Callable[[Tensor], Tensor]


@runtime_checkable
class Transform(Protocol):
    """A named function from activation maps to one response a unit."""

    @property
    def name(self) -> str:
        """The name under which results say what they were made of."""
        ...

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return the response of every unit for every image."""
        ...


def _wide(maps: Tensor) -> torch.dtype:
    """Half precision overflows at 65504, which a squared map reaches easily: accumulate in float32."""
    return torch.float32 if maps.dtype in (torch.float16, torch.bfloat16) else maps.dtype


@dataclass(frozen=True)
class Frobenius:
    """The Frobenius norm of each map, ``sqrt(sum over positions of a**2)``.

    Source: Narendra et al. 2018, "Explaining Deep Learning Models using Causal Inference", section 3.
    """

    name: str = "frobenius"

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return the norms, in float32 for half precision maps."""
        norms: Tensor = torch.linalg.vector_norm(maps, dim=(2, 3), dtype=_wide(maps))
        return norms


@dataclass(frozen=True)
class Mean:
    """The signed mean of each map over its positions."""

    name: str = "mean"

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return the means, in float32 for half precision maps."""
        return maps.mean(dim=(2, 3), dtype=_wide(maps))


@dataclass(frozen=True)
class Custom:
    """A transform given as a plain function; its answer's shape is checked at every call."""

    function: MapFunction
    name: str

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return the function's answer.

        Raises
        ------
        DataError
            The answer is no tensor of shape (image, unit).
        """
        answer = self.function(maps)
        expected = tuple(maps.shape[:2])
        if not isinstance(answer, Tensor):
            raise DataError(
                f"The transform {self.name!r} returned {type(answer).__name__}; "
                f"expected a tensor of shape (image, unit) = {expected}."
            )
        if tuple(answer.shape) != expected:
            raise DataError(
                f"The transform {self.name!r} returned shape {tuple(answer.shape)} for maps of shape "
                f"{tuple(maps.shape)}; expected (image, unit) = {expected}."
            )
        return answer


frobenius = Frobenius()
mean = Mean()
TRANSFORMS: dict[str, Transform] = {one.name: one for one in (frobenius, mean)}


def get_transform(transform: str | Transform | MapFunction) -> Transform:
    """Return the transform of that name, or wrap a callable.

    Parameters
    ----------
    transform
        A name in ``TRANSFORMS``, or a function (image, unit, height, width) -> (image, unit).

    Raises
    ------
    UnknownNameError
        No transform has that name; the message carries the nearest one.
    ArgumentError
        Neither a name nor a callable.
    """
    if isinstance(transform, str):
        if transform not in TRANSFORMS:
            known = ", ".join(sorted(TRANSFORMS))
            raise UnknownNameError(
                f"There is no transform {transform!r} (known: {known}).{nearest(transform, TRANSFORMS)}"
            )
        return TRANSFORMS[transform]
    if isinstance(transform, Frobenius | Mean | Custom):
        return transform
    if not callable(transform):
        raise ArgumentError(
            f"transform is {type(transform).__name__} {transform!r}; expected a name or a callable "
            "(image, unit, height, width) -> (image, unit)."
        )
    name = getattr(transform, "name", None) or getattr(transform, "__name__", type(transform).__name__)
    return Custom(transform, str(name))
