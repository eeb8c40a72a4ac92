"""Mergeable moments of paired effects: count, mean and centred squares a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from causal_widget.effects.statistics.checks import Array, as_effects, check_population, check_share
from causal_widget.errors import ArgumentError

__all__ = [
    "EffectMoments",
    "chosen_questions",
    "column_sums",
    "images_needed",
    "left_without",
    "spread_of_mean",
]


@dataclass(frozen=True, repr=False, eq=False)
class EffectMoments:
    """How many images, their mean effect and centred squares, for each question (unit, outcome, ...).

    Two sets are merged by the pairwise formula of Chan, Golub and LeVeque (1983, "Algorithms for Computing
    the Sample Variance", eq. 2.1). With counts n_a, n_b, means m_a, m_b, centred squares S_a, S_b and
    d = m_b - m_a:

        n = n_a + n_b,    m = m_a + d n_b / n,    S = S_a + S_b + d**2 n_a n_b / n.

    Batches may be measured in any order, anywhere; merged in a fixed order (`merge_all`) they give the same
    bits, and a question's bits do not depend on which questions stand beside it.

    Attributes
    ----------
    n : array of int, shape (question...)
        Images; questions may have different numbers.
    mean : array, shape (question...)
        Mean effect; 0 without images.
    squares : array, shape (question...)
        Sum of squared differences from the mean.
    """

    n: Int64[np.ndarray, "*question"]
    mean: Float64[np.ndarray, "*question"]
    squares: Float64[np.ndarray, "*question"]

    @staticmethod
    def empty(shape: tuple[int, ...]) -> EffectMoments:
        """Give the moments of no images."""
        return EffectMoments(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape))

    @staticmethod
    def of(effects: ArrayLike) -> EffectMoments:
        """Give the moments of one batch.

        Parameters
        ----------
        effects : array, shape (image, question...)

        Raises
        ------
        NonFiniteError
            If an effect is NaN or infinite.
        """
        values = as_effects(effects)
        count, shape = len(values), values.shape[1:]
        if not count:
            return EffectMoments.empty(shape)
        mean = column_sums(values) / count
        centred = values - mean
        return EffectMoments(np.full(shape, count), mean, column_sums(centred * centred))

    @staticmethod
    def zeros(n: ArrayLike) -> EffectMoments:
        """Give the moments of images whose effect is known to be exactly zero (the unit is silent there).

        Parameters
        ----------
        n : array of int, shape (question...)
            How many such images each question has.
        """
        counts = np.array(n, dtype=np.int64)
        return EffectMoments(counts, np.zeros(counts.shape), np.zeros(counts.shape))

    def update(self, effects: ArrayLike, where: ArrayLike | None = None) -> EffectMoments:
        """Give the moments with one batch more; `where` names the questions that the batch answers.

        Parameters
        ----------
        effects : array, shape (image, question...), or (image, k) for k questions named by `where`
        where : array of bool, shape (question...), optional
            The questions still open, as for units that stopped early.
        """
        if where is None:
            return self.merge(EffectMoments.of(effects))
        chosen = chosen_questions(where, self.n.shape)
        part = self.take(chosen).merge(EffectMoments.of(effects))
        n, mean, squares = self.n.copy(), self.mean.copy(), self.squares.copy()
        n[chosen], mean[chosen], squares[chosen] = part.n, part.mean, part.squares
        return EffectMoments(n, mean, squares)

    def merge(self, other: EffectMoments) -> EffectMoments:
        """Give the moments of both parts' images; neither changes.

        Raises
        ------
        ArgumentError
            If they are about other numbers of questions.
        """
        if self.n.shape != other.n.shape:
            raise ArgumentError(f"moments of {self.n.shape} and {other.n.shape} questions cannot be merged")
        n = self.n + other.n
        share = other.n / np.maximum(n, 1)
        step = other.mean - self.mean
        squares = self.squares + other.squares + step * step * (self.n * share)
        return EffectMoments(n, self.mean + step * share, squares)

    @staticmethod
    def merge_all(parts: Mapping[int, EffectMoments]) -> EffectMoments:
        """Merge parts in the order of their numbers, whatever the order in which they were measured.

        Raises
        ------
        ArgumentError
            If there is none.
        """
        if not parts:
            raise ArgumentError("there must be one part or more to merge, got none")
        first, *rest = sorted(parts)
        merged = parts[first]
        for number in rest:
            merged = merged.merge(parts[number])
        return merged

    def take(self, questions: ArrayLike) -> EffectMoments:
        """Give the moments of chosen questions: a mask, or numbers along the first axis."""
        index = np.asarray(questions)
        return EffectMoments(self.n[index], self.mean[index], self.squares[index])

    def without_zeros(self, zeros: ArrayLike) -> EffectMoments:
        """Give the moments of the images that are left when so many without effect are taken out.

        A unit that is silent on most images has an effect on few, and the mean over a sample of all images is
        far from normal. Where it is known on how many of the N images a unit is active (A), the mean over all
        is A/N times the mean over the active ones: ``m.without_zeros(m.n - active seen).scaled(A / N)`` with
        ``population=A`` has intervals that hold much better, and none of its doubt is about silent images
        (post-stratification, Cochran 1977, section 5A.9).

        Parameters
        ----------
        zeros : array of int, shape (question...)
            How many of the images seen have an effect of exactly zero because the unit is silent.

        Raises
        ------
        ArgumentError
            If they are more than were seen.
        """
        left = left_without(zeros, self.n)
        mean = self.mean * (self.n / np.maximum(left, 1))
        squares = self.squares - mean * mean * (left * ((self.n - left) / np.maximum(self.n, 1)))
        return EffectMoments(
            left, np.where(left > 0, mean, 0.0), np.where(left > 1, np.maximum(squares, 0.0), 0.0)
        )

    def scaled(self, factor: ArrayLike) -> EffectMoments:
        """Give the moments of the effects times a known factor, one or one a question."""
        by = np.asarray(factor, dtype=np.float64)
        return replace(self, mean=by * self.mean, squares=by * by * self.squares)

    def with_squares(self, more: ArrayLike) -> EffectMoments:
        """Give the moments with more squares: what images not seen might add to them."""
        return replace(self, squares=self.squares + np.asarray(more, np.float64))

    @property
    def variance(self) -> Float64[np.ndarray, "*question"]:
        """Sample variance of the effects over images (n - 1); NaN below two images."""
        return np.where(self.n > 1, self.squares / np.maximum(self.n - 1, 1), np.nan)

    @property
    def sd(self) -> Float64[np.ndarray, "*question"]:
        """Standard deviation of the effects over images."""
        return np.asarray(np.sqrt(self.variance))

    @property
    def df(self) -> Float64[np.ndarray, "*question"]:
        """Degrees of freedom of `variance`."""
        return self.n - 1.0

    def se(self, population: ArrayLike | None = None) -> Float64[np.ndarray, "*question"]:
        """Give the standard error of the mean; see `spread_of_mean`."""
        return spread_of_mean(self.sd, self.n, population)

    def interval(
        self, level: float = 0.95, population: ArrayLike | None = None
    ) -> tuple[Float64[np.ndarray, "*question"], Float64[np.ndarray, "*question"]]:
        """Give Student's confidence interval of the mean: lower and upper ends.

        Parameters
        ----------
        level : float
        population : int or array of int, optional
            The mean over so many images is meant, of which these were drawn without replacement. None: the
            mean over all images there might ever be.
        """
        half = stdtrit(np.maximum(self.df, 1), 0.5 + check_share(level, "level") / 2) * self.se(population)
        return self.mean - half, self.mean + half

    def __repr__(self) -> str:
        if not self.n.size:
            return "EffectMoments of no questions"
        images = f"{self.n.min():,}" + ("" if self.n.min() == self.n.max() else f" to {self.n.max():,}")
        return f"EffectMoments: {self.n.size:,} questions, {images} images each"


def chosen_questions(where: ArrayLike, shape: tuple[int, ...]) -> Bool[np.ndarray, "*question"]:
    """Give the mask of the questions that a batch answers.

    Raises
    ------
    ArgumentError
        If it is no bool array of the questions' shape.
    """
    chosen = np.asarray(where)
    if chosen.dtype != np.bool_ or chosen.shape != shape:
        raise ArgumentError(
            f"where must be bool of shape {shape}, got {chosen.dtype} of shape {chosen.shape}"
        )
    return chosen


def left_without(zeros: ArrayLike, n: Int64[np.ndarray, "*question"]) -> Int64[np.ndarray, "*question"]:
    """Give how many images are left without the silent ones."""
    silent = np.asarray(zeros)
    if silent.dtype.kind not in "iu" or (silent < 0).any() or (silent > n).any():
        raise ArgumentError("zeros must be whole numbers, from 0 to the number of images seen")
    return np.asarray(n - silent)


def column_sums(values: Float64[np.ndarray, "image *question"]) -> Float64[np.ndarray, "*question"]:
    """Sum over images, image by image, so that a column's bits do not depend on its neighbours.

    NumPy sums a single column pairwise and several row by row; a lone column therefore gets a twin.
    """
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    if flat.shape[1] == 1:
        return np.asarray(np.add.reduce(np.repeat(flat, 2, axis=1), axis=0)[:1].reshape(values.shape[1:]))
    return np.asarray(np.add.reduce(np.ascontiguousarray(flat), axis=0).reshape(values.shape[1:]))


def spread_of_mean(sd: ArrayLike, n: ArrayLike, population: ArrayLike | None) -> Array:
    """Give the standard error of a mean: ``sd * sqrt(1/n - 1/N)``.

    N is the number of images that the mean is about, of which n were drawn without replacement (Cochran 1977,
    "Sampling Techniques", eq. 2.20): at n = N nothing is left to be unsure of. None: N is infinite. NaN
    without images.
    """
    counts = np.asarray(n, dtype=np.float64)
    size = check_population(population, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.asarray(sd, dtype=np.float64) * np.sqrt(np.maximum(1 / counts - 1 / size, 0.0))
    spread = np.where(counts > 0, spread, np.nan)
    return np.where(counts == size, 0.0, spread)


def images_needed(
    sd: ArrayLike, half_width: ArrayLike, quantile: ArrayLike, population: ArrayLike | None
) -> Array:
    """Give how many images make ``quantile * standard error`` as small as `half_width`.

    Solved from `spread_of_mean`: ``1/n = (half_width / (quantile sd))**2 + 1/N``. Infinite where no number
    does; at most the population, of which all images leave no doubt.
    """
    spread = np.asarray(quantile, dtype=np.float64) * np.asarray(sd, dtype=np.float64)
    size = check_population(population, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = (np.asarray(half_width, dtype=np.float64) / spread) ** 2 + 1 / size
        needed = np.where(spread == 0, 1.0, 1 / inverse)
    return np.minimum(np.ceil(needed - 1e-9), size)
