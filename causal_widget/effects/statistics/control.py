"""Control variates: exact effects on some images, a cheap estimate on all, the mean over all, unbiased."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from causal_widget.effects.statistics.checks import check_population, check_share
from causal_widget.effects.statistics.moments import EffectMoments, spread_of_mean
from causal_widget.effects.statistics.pairs import PairMoments
from causal_widget.errors import ArgumentError

__all__ = ["Controlled", "controlled", "controlled_both_ways"]


@dataclass(frozen=True, repr=False, eq=False)
class Controlled:
    """Mean effects estimated with a control variate, for each question.

    Attributes
    ----------
    mean, se : array, shape (question...)
        The estimate and its standard error.
    df : array, shape (question...)
        Degrees of freedom of the standard error.
    n : array of int, shape (question...)
        Images with an exact effect.
    cheap : array of int, shape (question...)
        Images with a cheap estimate.
    population : array, shape () or (question...)
        Images that the mean is about; infinite: all there might ever be.
    coefficient : array, shape (question...)
    plain_se : array, shape (question...)
        Standard error that the exact effects alone, on the same images, would have.
    """

    mean: Float64[np.ndarray, "*question"]
    se: Float64[np.ndarray, "*question"]
    df: Float64[np.ndarray, "*question"]
    n: Int64[np.ndarray, "*question"]
    cheap: Int64[np.ndarray, "*question"]
    population: Float64[np.ndarray, "*question"]
    coefficient: Float64[np.ndarray, "*question"]
    plain_se: Float64[np.ndarray, "*question"]

    @property
    def reduction(self) -> Float64[np.ndarray, "*question"]:
        """How many times less variance than by the exact effects alone; NaN where both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((self.plain_se / self.se) ** 2)

    def interval(
        self, level: float = 0.95
    ) -> tuple[Float64[np.ndarray, "*question"], Float64[np.ndarray, "*question"]]:
        """Give Student's confidence interval: lower and upper ends."""
        half = stdtrit(np.maximum(self.df, 1), 0.5 + check_share(level, "level") / 2) * self.se
        return self.mean - half, self.mean + half

    def scaled(self, factor: ArrayLike) -> Controlled:
        """Give the estimates times a known factor: A/N, where they are about the A active of N images."""
        by = np.asarray(factor, dtype=np.float64)
        return replace(self, mean=by * self.mean, se=by * self.se, plain_se=by * self.plain_se)

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """One row a question: mean effect, standard error, interval, images, coefficient, reduction."""
        low, high = self.interval(level)
        columns: dict[str, Any] = {
            "effect": self.mean, "se": self.se, "low": low, "high": high, "n": self.n,
            "coefficient": self.coefficient, "reduction": self.reduction,
        }  # fmt: skip
        return pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})

    def __repr__(self) -> str:
        finite = self.reduction[np.isfinite(self.reduction)]
        less = f"{np.median(finite):.1f} times less variance (median)" if finite.size else "no variance left"
        about = (
            "all images there might be"
            if np.isinf(self.population).any()
            else f"{_span(self.population)} images"
        )
        return (
            f"Controlled: {self.mean.size:,} questions about {about}, exact on {_span(self.n)}, "
            f"cheap on {_span(self.cheap)}; {less} than by the exact effects alone"
        )


def controlled(
    pilot: PairMoments,
    main: PairMoments,
    cheap: EffectMoments,
    *,
    population: ArrayLike | None = None,
    unseen: ArrayLike = 0.0,
) -> Controlled:
    """Estimate mean effects from exact ones on some images and cheap ones on all, without bias.

    The coefficient c comes from the pilot images P alone (`PairMoments.coefficient_near_one`). Of the other
    images, the main ones S are a simple random sample. With M images that have a cheap estimate, p of them in
    P, R = M - p, n in S:

        mean = p/M mean_P(e) + R/M [c mean_R(g) + mean_S(e - c g)],

    the regression estimator of survey sampling (Cochran 1977, section 7.3) on the images that are not pilot,
    whose own exact effects count as they are. Given the pilot, c is a constant, so the mean over the M images
    is estimated without bias whatever c is; its variance is ``(R/M)**2 (1/n - 1/R) S_d**2`` with S_d**2 the
    variance of e - c g over images: none is left when all images are exact. Where the M images are themselves
    drawn from `population` images, ``(1/M - 1/population) S_e**2`` is added (two-phase sampling, Cochran,
    ch. 12). With fewer than 2 main images, and some left, the standard error is infinite.

    Parameters
    ----------
    pilot, main : PairMoments
        Of two separate sets of images.
    cheap : EffectMoments
        The cheap estimate on all images, those of pilot and main among them.
    population : int or array of int, optional
        Images that the answer is about: ``cheap.n`` for just these. None: all there might ever be.
    unseen : array, shape (question...)
        What images not seen might add to the squares of e - c g: see `unseen_squares`.

    Raises
    ------
    ArgumentError
        If the shapes differ, or there are fewer cheap estimates than exact effects.
    """
    total = _check_parts(pilot, main, cheap)
    c = pilot.coefficient_near_one(cheap)
    rest = total - pilot.n
    mean_rest = (total * cheap.mean - pilot.n * pilot.cheap.mean) / np.maximum(rest, 1)
    residual = main.residual(c).with_squares(unseen)
    share = rest / np.maximum(total, 1)
    mean = (1 - share) * pilot.exact.mean + share * (c * mean_rest + residual.mean)
    inner = share * residual.se(rest)
    return _result(mean, inner, residual, pilot.merge(main), total, population, c)


def controlled_both_ways(
    first: PairMoments,
    second: PairMoments,
    cheap: EffectMoments,
    *,
    population: ArrayLike | None = None,
    unseen: ArrayLike = 0.0,
) -> Controlled:
    """Use each part as pilot of the other, so that no exact effect is spent on the coefficient.

    The two estimates of `controlled`, each without bias, are averaged, the one that measures on n_k images
    with weight n_k / n. Each one's error is ``(1 - n/M) (mean_k(d) - mean_unmeasured(d))``, so the average
    has the variance of one sample of n images, ``(1/n - 1/M) S_d**2``, but for the difference of the two
    coefficients.

    Parameters and errors as for `controlled`.
    """
    total = _check_parts(first, second, cheap)
    one = controlled(first, second, cheap, population=population)
    two = controlled(second, first, cheap, population=population)
    n = first.n + second.n
    weight = second.n / np.maximum(n, 1)
    by_first, by_second = second.residual(one.coefficient), first.residual(two.coefficient)
    # Each part's squares are about its own mean: one degree of freedom goes with each.
    pooled = EffectMoments(np.maximum(n - 1, 0), by_first.mean, by_first.squares + by_second.squares)
    pooled = pooled.with_squares(unseen)
    mean = weight * one.mean + (1 - weight) * two.mean
    c = weight * one.coefficient + (1 - weight) * two.coefficient
    inner = spread_of_mean(pooled.sd, n, total)
    return _result(mean, inner, pooled, first.merge(second), total, population, c)


def _result(
    mean: Float64[np.ndarray, "*question"],
    inner: Float64[np.ndarray, "*question"],
    residual: EffectMoments,
    both: PairMoments,
    total: Int64[np.ndarray, "*question"],
    population: ArrayLike | None,
    c: Float64[np.ndarray, "*question"],
) -> Controlled:
    """Put the two phases' variances together; what cannot be known is infinite."""
    outer = spread_of_mean(both.exact.sd, total, population)
    se = np.sqrt(inner * inner + outer * outer)
    size = check_population(population, total)
    plain = both.exact.se(population)
    return Controlled(mean, np.where(np.isnan(se), np.inf, se), residual.df, both.n, total, size, c, plain)


def _check_parts(
    pilot: PairMoments, main: PairMoments, cheap: EffectMoments
) -> Int64[np.ndarray, "*question"]:
    shapes = {pilot.n.shape, main.n.shape, cheap.n.shape}
    if len(shapes) > 1:
        raise ArgumentError(f"pilot, main and cheap must have one shape, got {sorted(shapes)}")
    if not pilot.n.size:
        raise ArgumentError("there must be one question or more, got none")
    exact = pilot.n + main.n
    if (exact > cheap.n).any():
        worst = int((exact - cheap.n).argmax())
        raise ArgumentError(
            f"{int(exact.flat[worst]):,} exact effects but cheap estimates on {int(cheap.n.flat[worst]):,} "
            "images: the cheap estimate must be on all images"
        )
    return cheap.n


def _span(values: ArrayLike) -> str:
    low, high = int(np.min(values)), int(np.max(values))
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
