"""What every statistic of effects asks of its arguments."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from causal_widget.errors import ArgumentError, NonFiniteError

__all__ = ["Array", "as_effects", "check_population", "check_positive", "check_share", "check_whole"]

Array = NDArray[np.float64]


def check_share(value: object, what: str) -> float:
    """Give a number strictly between 0 and 1.

    Raises
    ------
    ArgumentError
        If it is none.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < 1:
        raise ArgumentError(f"{what} must be a number between 0 and 1, got {value!r:.80}")
    return float(value)


def check_positive(value: object, what: str, *, zero: bool = False) -> float:
    """Give a finite number above 0, or from 0 on where `zero`.

    Raises
    ------
    ArgumentError
        If it is none.
    """
    wrong = not isinstance(value, Real) or isinstance(value, bool) or not np.isfinite(float(value))
    if wrong or float(value) < 0 or (float(value) == 0 and not zero):  # type: ignore[arg-type]
        raise ArgumentError(f"{what} must be a number {'from' if zero else 'above'} 0, got {value!r:.80}")
    return float(value)  # type: ignore[arg-type]


def check_whole(value: object, what: str, least: int, most: int | None = None) -> int:
    """Give a whole number from `least` to `most`.

    Raises
    ------
    ArgumentError
        If it is none.
    """
    inside = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
    if not inside or (most is not None and int(value) > most):  # type: ignore[call-overload]
        upto = "" if most is None else f" to {most:,}"
        raise ArgumentError(f"{what} must be a whole number from {least:,}{upto}, got {value!r:.80}")
    return int(value)  # type: ignore[call-overload, no-any-return]


def check_population(population: ArrayLike | None, n: ArrayLike) -> Array:
    """Give the number of images that an answer is about, one or one a question; None: infinitely many.

    Raises
    ------
    ArgumentError
        If one is no whole number, or below the number of images measured.
    """
    if population is None:
        return np.asarray(np.inf)
    size, counts = np.asarray(population), np.asarray(n)
    if size.dtype.kind not in "iu" or (size < counts).any() or (size < 0).any():
        raise ArgumentError(
            "population (images that the answer is about) must be whole numbers, no less than the images "
            f"measured (up to {int(counts.max(initial=0)):,}), got {population!r:.80}"
        )
    return size.astype(np.float64)


def as_effects(values: ArrayLike, what: str = "effects") -> Array:
    """Give effects as float64 (image, question...).

    Raises
    ------
    ArgumentError
        If there is no axis of images.
    NonFiniteError
        If one is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        raise ArgumentError(f"{what} must be (image, ...), got the single number {array!r:.40}")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise NonFiniteError(f"{what} must be finite, got {array[where]} at (image, ...) = {where}")
    return array
