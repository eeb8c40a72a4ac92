"""When to stop: a unit's interval is narrow enough, or its place in the top k is settled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.checks import Array, check_positive, check_whole
from causal_widget.effects.statistics.ranks import ORDERS
from causal_widget.errors import ArgumentError, UnknownNameError, nearest

__all__ = ["Settled", "settled"]


@dataclass(frozen=True, repr=False, eq=False)
class Settled:
    """Which units need no more images.

    Attributes
    ----------
    precise : array of bool, shape (unit,)
        Half of the interval's width is at most the precision.
    inside, outside : array of bool, shape (unit,)
        Surely among the k first; surely not.
    """

    precise: Bool[np.ndarray, " unit"]
    inside: Bool[np.ndarray, " unit"]
    outside: Bool[np.ndarray, " unit"]

    @property
    def done(self) -> Bool[np.ndarray, " unit"]:
        """Settled for one reason or another."""
        return np.asarray(self.precise | self.inside | self.outside)

    @property
    def open(self) -> Bool[np.ndarray, " unit"]:
        """Needs more images: the `where` of the next update."""
        return ~self.done

    def __repr__(self) -> str:
        return (
            f"Settled: {int(self.done.sum()):,} of {self.done.size:,} units "
            f"({int(self.precise.sum()):,} precise, {int(self.inside.sum()):,} surely in the top, "
            f"{int(self.outside.sum()):,} surely not)"
        )


def settled(
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    precision: float | None = None,
    top: int | None = None,
    by: str = "abs",
) -> Settled:
    """Judge by intervals that hold for all units at all looks together.

    A unit is surely among the `top` first if fewer than `top` others might be before it (their upper end is
    not below its lower one), and surely not if at least `top` others surely are (their lower end above its
    upper one). With intervals of a confidence sequence under a union bound, all that is said here is true
    together with the sequence's probability, however often one looks.

    Parameters
    ----------
    lower, upper : array, shape (unit,)
        Ends of the intervals of one outcome's effects.
    precision : float, optional
        Largest half-width, in the outcome's unit. None: no unit is done for being precise.
    top : int, optional
        Places that matter. None: no unit is done for its place.
    by : str
        "abs" (largest absolute effect first), "high" or "low" (largest or smallest effect first).

    Raises
    ------
    ArgumentError
        If neither precision nor top is given, the ends have not one shape (unit,) or are the wrong way round.
    UnknownNameError
        If there is no such order.
    """
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    if low.ndim != 1 or low.shape != high.shape:
        raise ArgumentError(f"lower and upper must both be (unit,), got {low.shape} and {high.shape}")
    if not (low <= high).all():
        raise ArgumentError("every lower end must be at most its upper end, and neither NaN")
    if precision is None and top is None:
        raise ArgumentError("give precision or top: without either no unit is ever settled")
    if by not in ORDERS:
        raise UnknownNameError(
            f'order "{by}" does not exist; expected one of {", ".join(ORDERS)}.{nearest(by, ORDERS)}'
        )
    never = np.zeros(low.shape, bool)
    precise = never
    if precision is not None:
        precise = (high - low) / 2 <= check_positive(precision, "precision", zero=True)
    if top is None:
        return Settled(precise, never, never)
    inside, outside = _places(*_ordered(low, high, by), check_whole(top, "top", 1))
    return Settled(precise, inside, outside)


def _ordered(low: Array, high: Array, by: str) -> tuple[Array, Array]:
    """Give the intervals of what is ordered, largest first."""
    if by == "high":
        return low, high
    if by == "low":
        return -high, -low
    return np.maximum(np.maximum(low, -high), 0.0), np.maximum(np.abs(low), np.abs(high))


def _places(low: Array, high: Array, top: int) -> tuple[Bool[np.ndarray, " unit"], Bool[np.ndarray, " unit"]]:
    """Count, by sorting, the others that might be or surely are before each unit."""
    count = len(low)
    might = (
        count - np.searchsorted(np.sort(high), low, side="left") - 1
    )  # but for itself: its high >= its low
    surely = count - np.searchsorted(np.sort(low), high, side="right")  # its own low is not above its high
    return might < top, surely >= top
