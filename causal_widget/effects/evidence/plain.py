"""What all evidence shares: arrays by name, and which images a mean is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from causal_widget.effects.statistics import EffectMoments
from causal_widget.errors import ArgumentError, DataError, UnknownNameError, nearest

__all__ = ["Arrays", "about", "check_part", "moments_arrays", "moments_from", "need"]

Arrays = Mapping[str, NDArray[np.generic]]


def check_part(part: str, parts: Sequence[str]) -> None:
    """Refuse a word that names no part of the images.

    Raises
    ------
    UnknownNameError
        Carries the nearest name.
    """
    if part not in parts:
        raise UnknownNameError(
            f'part "{part}" does not exist; expected one of {", ".join(parts)}.{nearest(part, parts)}'
        )


def about(
    population: str | int | None, given: Int64[np.ndarray, "*question"]
) -> int | Int64[np.ndarray, "*question"] | None:
    """Give the number of images that a mean is about; "given" stands for those that there are.

    Raises
    ------
    ArgumentError
        If it is another word.
    """
    if isinstance(population, str):
        if population != "given":
            raise ArgumentError(f'population must be a whole number, "given" or None, got {population!r:.80}')
        return given
    return population


def moments_arrays(name: str, moments: EffectMoments) -> dict[str, NDArray[np.generic]]:
    """Give moments as arrays, each under the moments' name."""
    return {f"{name}.{part}": getattr(moments, part) for part in ("n", "mean", "squares")}


def moments_from(arrays: Mapping[str, NDArray[np.generic]], name: str) -> EffectMoments:
    """Make the moments of what `moments_arrays` gave."""
    return EffectMoments(*(need(arrays, f"{name}.{part}") for part in ("n", "mean", "squares")))


def need(arrays: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """Give an array by name.

    Raises
    ------
    DataError
        If it is not there.
    """
    if name not in arrays:
        raise DataError(f"evidence needs the array {name!r}, got {', '.join(sorted(arrays)) or 'none'}")
    return arrays[name]
