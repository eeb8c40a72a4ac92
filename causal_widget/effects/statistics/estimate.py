"""What is known of mean effects: the estimate, how sure it is, and p-values against any edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from causal_widget.effects.statistics.checks import Array, check_share

__all__ = ["Estimate"]


@dataclass(frozen=True, repr=False, eq=False)
class Estimate:
    """Mean effects with their standard errors, for each question.

    Attributes
    ----------
    mean, se : array, shape (question...)
        The estimate and its standard error.
    sd : array, shape (question...)
        Standard deviation of the effect over images; NaN below two.
    df : array, shape (question...)
        Degrees of freedom of the standard error.
    n : array of int, shape (question...)
        Images whose effect was measured.
    changed : array of int, shape (question...)
        Images in which anything changes; in the others the effect is zero for certain.
    images : array of int, shape (question...)
        Images looked at.
    population : array, shape (question...)
        Images that the mean is about; infinite: all there might ever be.
    """

    mean: Float64[np.ndarray, "*question"]
    se: Float64[np.ndarray, "*question"]
    sd: Float64[np.ndarray, "*question"]
    df: Float64[np.ndarray, "*question"]
    n: Int64[np.ndarray, "*question"]
    changed: Int64[np.ndarray, "*question"]
    images: Int64[np.ndarray, "*question"]
    population: Float64[np.ndarray, "*question"]

    @property
    def whole(self) -> Bool[np.ndarray, "*question"]:
        """Whether nothing is left to measure."""
        return np.asarray((self.se == 0) & (self.images >= self.population))

    def half_width(self, level: float = 0.95) -> Float64[np.ndarray, "*question"]:
        """Give half of the width of the interval of each mean; infinite where nothing is known."""
        half = stdtrit(np.maximum(self.df, 1), 0.5 + check_share(level, "level") / 2) * self.se
        return np.where(np.isnan(half), np.inf, half)

    def interval(
        self, level: float = 0.95
    ) -> tuple[Float64[np.ndarray, "*question"], Float64[np.ndarray, "*question"]]:
        """Give lower and upper ends of the interval of each mean, for this question alone."""
        half = self.half_width(level)
        return self.mean - half, self.mean + half

    def p_above(self, edge: ArrayLike, sign: ArrayLike = 1) -> Float64[np.ndarray, "*question"]:
        """Give p-values of the hypothesis that ``sign * mean`` is no larger than the edge."""
        distance = ratio(np.asarray(sign) * self.mean - edge, self.se)
        return np.asarray(stdtr(np.maximum(self.df, 1), -distance))


def ratio(difference: Array, se: Array) -> Array:
    """Give difference / se, infinite with the difference's sign where se is 0; 0 where nothing is known."""
    safe = np.where(se > 0, se, 1.0)
    endless = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    return np.where(se > 0, difference / safe, endless)
