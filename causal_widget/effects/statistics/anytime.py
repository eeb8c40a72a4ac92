"""p-values that hold whenever one stops: an asymptotic confidence sequence, inverted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtri_exp

from causal_widget.effects.statistics.asymptotic import FIRST, effective_images, mixture_variance
from causal_widget.effects.statistics.checks import Array, check_share, check_whole

__all__ = ["Looks"]

_STEPS = 60
_LEAST = -700.0  # log of the smallest p-value that is told apart from 0


@dataclass(frozen=True, eq=False)
class Looks:
    """What is left to measure of means that were looked at again and again, image by image.

    Attributes
    ----------
    spread : array, shape (question...)
        Standard deviation of what one image more adds, in the outcome's unit.
    images : array, shape (question...)
        How many independent images those measured are worth; infinite where all are measured, 0 before the
        first look.
    outer : array, shape (question...)
        Standard error that no exact effect takes away: of the images given as a sample of more.
    variance : array, shape (question...)
        Of the mixture over which the evidence is spread: chosen before the first look.
    """

    spread: Float64[np.ndarray, "*question"]
    images: Float64[np.ndarray, "*question"]
    outer: Float64[np.ndarray, "*question"]
    variance: Float64[np.ndarray, "*question"]

    @staticmethod
    def of(
        spread: ArrayLike,
        n: ArrayLike,
        frame: ArrayLike,
        outer: ArrayLike,
        *,
        alpha: float,
        tuned_at: float = 500,
        first: int = FIRST,
    ) -> Looks:
        """Describe n images of `frame`, drawn one after another without replacement.

        Parameters
        ----------
        spread, outer : array, shape (question...)
        n, frame : array of int, shape (question...)
        alpha : float
            Error of one question for which the width is least.
        tuned_at : float
            Images at which it is least.
        first : int
            Images before the first look.
        """
        counts, size = np.asarray(n, np.float64), np.asarray(frame, np.float64)
        worth = effective_images(counts, size)
        early = (counts < check_whole(first, "first (images before the first look)", 2)) & np.isfinite(worth)
        return Looks(
            np.asarray(spread, np.float64), np.where(early, 0.0, worth), np.asarray(outer, np.float64),
            mixture_variance(alpha, tuned_at, size),
        )  # fmt: skip

    def half_width(self, level: float) -> Float64[np.ndarray, "*question"]:
        """Give half of the width of the interval of each question at every look."""
        alpha = 1 - check_share(level, "level")
        return self._half(np.full(self.spread.shape, np.log(alpha)))

    def p_above(self, distance: Float64[np.ndarray, "*question"]) -> Float64[np.ndarray, "*question"]:
        """Give p-values of means no larger than an edge, from which the estimates are so far.

        With t images, standard deviation s, z = distance sqrt(t) / s and mixture variance r**2, the
        half-normal mixture of the likelihood ratios of all means above the edge is

            M = 2 Phi(z k) exp(z**2 k**2 / 2) / sqrt(t r**2 + 1),    k**2 = t r**2 / (t r**2 + 1),

        in the limit a supermartingale of mean 1 or less for every mean up to the edge (Robbins 1970,
        "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics
        41; asymptotic by Waudby-Smith and others 2024). So 1/M is a p-value at any look and M an e-value:
        Benjamini and Hochberg's procedure on these p-values is e-BH, which controls false discoveries under
        any dependence (Wang and Ramdas 2022, JRSS B 84). Where the images given are a sample of more, the
        doubt about these has half of the error.
        """
        found = np.exp(np.minimum(self._log_p(distance), 0.0))
        if not (self.outer > 0).any():
            return np.asarray(found)
        return np.where(self.outer > 0, self._both(distance), found)

    def quantile(self, p: Float64[np.ndarray, "*question"]) -> Float64[np.ndarray, "*question"]:
        """Give how many standard errors from an edge an estimate has a p-value, at so many images."""
        known = (self.images > 0) & np.isfinite(self.images)
        grown = np.where(known, self.images, 1 / self.variance) * self.variance + 1
        return np.asarray(np.sqrt(grown / (grown - 1) * np.maximum(np.log(grown) - 2 * np.log(2 * p), 0.0)))

    def _log_p(self, distance: Array) -> Array:
        known = (self.images > 0) & np.isfinite(self.images)
        t = np.where(known, self.images, 1.0)
        grown = t * self.variance + 1
        k = np.sqrt(t * self.variance / grown)
        safe = np.where(self.spread > 0, self.spread, 1.0)
        z = k * distance * np.sqrt(t) / safe
        log_p = np.where(z > 0, np.log(grown) / 2 - z * z / 2 - np.log(2.0) - log_ndtr(z), 0.0)
        certain = np.where(distance > 0, -np.inf, 0.0)
        log_p = np.where(known & (self.spread > 0), log_p, certain)
        return np.asarray(np.where(self.images > 0, log_p, 0.0))

    def _half(self, log_alpha: Array) -> Array:
        outer = self.outer > 0
        log_alpha = np.where(outer, log_alpha - np.log(2.0), log_alpha)
        known = (self.images > 0) & np.isfinite(self.images)
        t = np.where(known, self.images, 1.0)
        grown = t * self.variance + 1
        margin = np.sqrt(2 * grown / (t * t * self.variance) * np.maximum(np.log(grown) / 2 - log_alpha, 0.0))
        inner = np.where(known, self.spread * margin, np.where(self.images > 0, 0.0, np.inf))
        return inner + np.where(
            outer, -ndtri_exp(log_alpha - np.log(2.0)) * np.where(outer, self.outer, 0.0), 0.0
        )

    def _both(self, distance: Array) -> Array:
        """Find by halving the error at which the interval's end reaches the edge."""
        low, high = np.full(self.spread.shape, _LEAST), np.zeros(self.spread.shape)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            reached = self._half(middle) <= distance
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return np.where(self._half(np.zeros(self.spread.shape)) <= distance, np.exp(high), 1.0)
