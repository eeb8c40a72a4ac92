"""Intervals of accuracies and of their changes."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import stdtrit

__all__ = ["Change", "Interval", "changed", "mean_gap", "wilson"]

Interval = tuple[float, float]
Change = tuple[float, float]


def wilson(right: int, n: int, level: float) -> Interval:
    """Give the interval of a share (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    middle, spread = right + z * z / 2, z * math.sqrt(right * (n - right) / n + z * z / 4)
    return max(0.0, (middle - spread) / (n + z * z)), min(1.0, (middle + spread) / (n + z * z))


def changed(before: Bool[np.ndarray, " image"], after: Bool[np.ndarray, " image"]) -> Change:
    """Give the change of an accuracy on the same images, and its standard error.

    The change is the plain one. The standard error is that of Agresti and Min (2005, "Simple improved
    confidence intervals for comparing matched proportions", Statistics in Medicine 24): a half is added to
    each of the four counts of pairs, so that no change in few images is not taken for none in all.
    """
    n, gained, lost = len(before), int((after & ~before).sum()), int((before & ~after).sum())
    b, c, total = gained + 0.5, lost + 0.5, n + 2
    return (gained - lost) / n, math.sqrt((b + c) - (b - c) ** 2 / total) / total


def mean_gap(
    one: Bool[np.ndarray, " image"], draws: Bool[np.ndarray, "draw image"], level: float
) -> tuple[float, float, float]:
    """Give how much more accurate random draws are than one choice, in the mean, with its interval.

    The variance is that over images of an image's mean difference, over their number, plus that over draws of
    a draw's mean difference, over theirs; t with the fewer degrees of freedom.
    """
    difference = draws.astype(np.float64) - one
    n, times = difference.shape[1], len(difference)
    images = difference.mean(0).var(ddof=1) / n if n > 1 else np.nan
    between = difference.mean(1).var(ddof=1) / times if times > 1 else np.nan
    mean, se = float(difference.mean()), float(np.sqrt(images + between))
    half = float(stdtrit(max(min(n, times) - 1, 1), 0.5 + level / 2)) * se
    return mean, mean - half, mean + half


def spread(draws: Bool[np.ndarray, "draw image"], level: float) -> Float64[np.ndarray, " 3"]:
    """Give the mean accuracy over random draws with its interval, over images and draws."""
    mean, low, high = mean_gap(np.zeros(draws.shape[1], bool), draws, level)
    return np.array([mean, max(low, 0.0), min(high, 1.0)])
