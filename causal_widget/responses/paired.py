"""Statistics of paired differences: the same images, without and with an intervention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64

__all__ = ["Paired", "paired"]


@dataclass(frozen=True)
class Paired:
    """A mean before and after, and the standard error of their paired difference.

    Attributes
    ----------
    n : int
        Number of images.
    before, after : float
        The mean over the images; NaN without images.
    change : float
        ``after - before``.
    se : float
        Standard error of `change`: the standard deviation (n - 1) of the images' differences over the square
        root of n. NaN below two images.
    """

    n: int
    before: float
    after: float
    change: float
    se: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Give the normal-approximation confidence interval of `change`."""
        half = NormalDist().inv_cdf(0.5 + level / 2) * self.se
        return self.change - half, self.change + half


def paired(before: Float64[np.ndarray, " image"], after: Float64[np.ndarray, " image"]) -> Paired:
    """Compare one number an image, without and with an intervention.

    Formula: ``d = after - before``; change = mean(d); se = sqrt(sum((d - mean(d))**2) / (n - 1) / n).
    Whatever varies from image to image and is the same in both drops out, which is why pairing is so much
    more precise than comparing two means.
    """
    n = len(before)
    if n == 0:
        return Paired(0, math.nan, math.nan, math.nan, math.nan)
    difference = after - before
    se = float(difference.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Paired(n, float(before.mean()), float(after.mean()), float(difference.mean()), se)
