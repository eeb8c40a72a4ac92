"""p-values corrected for having asked many questions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.checks import Array
from causal_widget.errors import ArgumentError, UnknownNameError, nearest

__all__ = ["CORRECTIONS", "benjamini_hochberg", "benjamini_yekutieli", "corrected", "harmonic"]


def harmonic(m: int) -> float:
    """Give 1 + 1/2 + ... + 1/m."""
    return float((1 / np.arange(1, m + 1)).sum())


def benjamini_hochberg(p: ArrayLike) -> Float64[np.ndarray, "*question"]:
    """Give p-values that, cut at q, keep the rate of false discoveries at q.

    ``min over j >= i of m p_(j) / j`` in the order of size (Benjamini and Hochberg 1995, JRSS B 57). Holds
    where the questions are independent or positively dependent, as effects on the same images mostly are.

    Parameters
    ----------
    p : array, shape (question...)
        All questions asked; NaN where none was asked, which stays NaN and does not count.

    Raises
    ------
    ArgumentError
        If a p-value is outside 0..1.
    """
    return _step_up(p, lambda m: 1.0)


def benjamini_yekutieli(p: ArrayLike) -> Float64[np.ndarray, "*question"]:
    """Give the same, holding under any dependence: 1 + 1/2 + ... + 1/m times larger.

    Benjamini and Yekutieli (2001, Annals of Statistics 29, theorem 1.3).
    """
    return _step_up(p, harmonic)


def _step_up(p: ArrayLike, factor: Callable[[int], float]) -> Array:
    values = np.asarray(p, dtype=np.float64)
    asked = ~np.isnan(values)
    flat = values[asked]
    if flat.size and not (flat.min() >= 0 and flat.max() <= 1):
        raise ArgumentError(f"p-values must be from 0 to 1, got {flat.min():.6g} to {flat.max():.6g}")
    m = flat.size
    order = np.argsort(flat, kind="stable")
    scaled = flat[order] * (m * factor(m)) / np.arange(1, m + 1)
    rising = np.minimum.accumulate(scaled[::-1])[::-1]
    result = np.full(values.shape, np.nan)
    back = np.empty(m)
    back[order] = np.minimum(rising, 1.0)
    result[asked] = back
    return result


CORRECTIONS: dict[str, Callable[[ArrayLike], Array]] = {
    "bh": benjamini_hochberg,
    "by": benjamini_yekutieli,
    "none": lambda p: np.array(p, dtype=np.float64),
}


def corrected(p: ArrayLike, correction: str) -> Float64[np.ndarray, "*question"]:
    """Correct p-values by the name of the method: "bh", "by" or "none".

    Raises
    ------
    UnknownNameError
        If there is no such correction.
    """
    if correction not in CORRECTIONS:
        known = ", ".join(CORRECTIONS)
        hint = nearest(correction, CORRECTIONS)
        raise UnknownNameError(f'correction "{correction}" does not exist; expected one of {known}.{hint}')
    return CORRECTIONS[correction](p)
