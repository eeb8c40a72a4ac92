"""Places of units: largest effect first, by size or by sign."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from causal_widget.effects.statistics.checks import Array, check_whole
from causal_widget.errors import UnknownNameError, nearest

__all__ = ["ORDERS", "first_units", "ranks_of", "scores_of", "top_overlap"]

ORDERS = ("abs", "high", "low")


def ranks_of(effects: ArrayLike, by: str = "abs") -> Float64[np.ndarray, "*draw unit"]:
    """Give each unit's place along the last axis, 1 first; equals share the mean of their places.

    Raises
    ------
    UnknownNameError
        If there is no such order.
    """
    return np.asarray(rankdata(-scores_of(np.asarray(effects, np.float64), by), axis=-1), dtype=np.float64)


def scores_of(effects: Array, by: str) -> Array:
    """Give what is ranked, largest first."""
    if by not in ORDERS:
        known = ", ".join(ORDERS)
        raise UnknownNameError(f'order "{by}" does not exist; expected one of {known}.{nearest(by, ORDERS)}')
    return np.abs(effects) if by == "abs" else effects if by == "high" else -effects


def first_units(effects: Array, by: str, k: int) -> Bool[np.ndarray, "*draw unit"]:
    """Mark the k first units of each draw; of equals, those that come first."""
    order = np.argsort(-scores_of(effects, by), axis=-1, kind="stable")[..., :k]
    chosen = np.zeros(effects.shape, bool)
    np.put_along_axis(chosen, order, True, axis=-1)
    return chosen


def top_overlap(first: ArrayLike, second: ArrayLike, top: int, by: str = "abs") -> float:
    """Give the share of the `top` first units that two rankings have in common.

    Parameters
    ----------
    first, second : array, shape (unit,)
        Effects.
    """
    both = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    k = check_whole(top, "top", 1, both.shape[-1])
    one, two = first_units(both, by, k)
    return float((one & two).sum() / k)
