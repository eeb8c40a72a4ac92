"""Asymptotic confidence sequences: for effects without bounds, valid at every look after enough images."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.checks import (
    Array,
    check_population,
    check_positive,
    check_share,
    check_whole,
)

__all__ = ["asymptotic_half_width", "asymptotic_interval", "effective_images", "mixture_variance"]

FIRST = 64


def asymptotic_half_width(
    sd: ArrayLike,
    n: ArrayLike,
    *,
    level: float = 0.95,
    questions: int = 1,
    population: ArrayLike | None = None,
    tuned_at: float = 500,
    first: int = FIRST,
) -> Float64[np.ndarray, "*question"]:
    """Give the half-width of an asymptotic confidence sequence of the mean at each count of images.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024, "Time-uniform central limit theory and asymptotic
    confidence sequences", Annals of Statistics 52, theorem 2.2), s the standard deviation so far:

        s sqrt( 2 (t r**2 + 1) / (t r)**2  log(sqrt(t r**2 + 1) / alpha) ).

    It assumes a finite variance of effects over images and no bounds, and holds at all looks together in the
    limit of a late first look: before `first` images it is infinite. It is no guarantee for few images with
    very heavy tails, and none where no effect was seen yet (s = 0 gives width 0). Where effects are bounded
    (probability, correctness), `BernsteinSequence` is a guarantee.

    For images drawn without replacement from N, ``N (S_t - t mean) / (N - t)`` is a martingale with the
    variance of the sum of t' = t / (1 - t/N) independent draws; so t' takes the place of t, and the width
    goes to 0 as t goes to N.

    Parameters
    ----------
    sd, n : array, shape (question...)
        Standard deviation over images, and images seen.
    level : float
        Probability that all hold at all looks.
    questions : int
        For the union bound: each has alpha = (1 - level) / questions.
    population : int or array of int, optional
        Images that the mean is about, drawn without replacement. None: all there might ever be.
    tuned_at : float
        The number of images at which the width is least; any is valid if chosen before looking.
    first : int
        Images before the first look.
    """
    counts = np.asarray(n, dtype=np.float64)
    size = check_population(population, n)
    alpha = (1 - check_share(level, "level")) / check_whole(questions, "questions", 1)
    t = effective_images(counts, size)
    r2 = mixture_variance(alpha, tuned_at, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.isfinite(t) & (t > 0)
        safe = np.where(known, t, 1.0)
        margin = np.sqrt(2 * (safe * r2 + 1) / (safe * safe * r2) * np.log(np.sqrt(safe * r2 + 1) / alpha))
    half = np.asarray(sd, dtype=np.float64) * margin
    early = counts < check_whole(first, "first (images before the first look)", 2)
    return np.where(np.isinf(t), 0.0, np.where(early, np.inf, half))


def asymptotic_interval(
    mean: ArrayLike,
    sd: ArrayLike,
    n: ArrayLike,
    *,
    level: float = 0.95,
    questions: int = 1,
    population: ArrayLike | None = None,
    tuned_at: float = 500,
    first: int = FIRST,
) -> tuple[Float64[np.ndarray, "*question"], Float64[np.ndarray, "*question"]]:
    """Give lower and upper ends of the asymptotic confidence sequence; see `asymptotic_half_width`.

    With a control variate, `mean` is that of ``c g`` over all images plus that of ``e - c g`` over the exact
    ones, and `sd` is that of ``e - c g`` (`PairMoments.residual`), with c fixed before the first look.
    """
    half = asymptotic_half_width(
        sd, n, level=level, questions=questions, population=population, tuned_at=tuned_at, first=first
    )
    centre = np.asarray(mean, dtype=np.float64)
    return centre - half, centre + half


def effective_images(n: Array, population: Array) -> Array:
    """Give how many independent draws are worth n without replacement: infinitely many when n is all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n >= population, np.inf, n / (1 - n / population))


def mixture_variance(alpha: float, tuned_at: float, population: Array) -> Array:
    """Give r**2 that makes the width least at so many images, by the paper's closed approximation (B.2)."""
    size = np.maximum(population, 2)
    best = np.minimum(check_positive(tuned_at, "tuned_at (images)"), size / 2)
    numerator = -2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1
    return np.asarray(numerator / effective_images(best, size))
