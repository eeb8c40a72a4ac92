"""What is known of mean effects: the estimate, how sure it is, and p-values against any edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import ArrayLike
from scipy.special import gammaincc, stdtr, stdtrit

from causal_widget.effects.statistics.anytime import Looks
from causal_widget.effects.statistics.checks import Array, check_share, check_whole
from causal_widget.effects.statistics.control import Controlled
from causal_widget.effects.statistics.moments import EffectMoments

__all__ = ["Estimate"]


@dataclass(frozen=True, repr=False, eq=False)
class Estimate:
    """Mean effects with their standard errors, for each question.

    Attributes
    ----------
    mean, se : array, shape (question...)
        The estimate and its standard error; where evidence says so, with what images not seen might add.
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
    frame : array, shape (question...)
        Images of which the n were drawn; infinite: more might come.
    level : float
        Of `low` and `high`.
    questions : int
        For a union bound: so many intervals hold together.
    looks : Looks, optional
        Where one looked again and again: then everything holds whenever one stops.
    jump : array, shape (question...), optional
        Size of an effect on one image, for units that few images change: see `p_rare`.
    """

    mean: Float64[np.ndarray, "*question"]
    se: Float64[np.ndarray, "*question"]
    sd: Float64[np.ndarray, "*question"]
    df: Float64[np.ndarray, "*question"]
    n: Int64[np.ndarray, "*question"]
    changed: Int64[np.ndarray, "*question"]
    images: Int64[np.ndarray, "*question"]
    frame: Float64[np.ndarray, "*question"]
    level: float = 0.95
    questions: int = 1
    looks: Looks | None = None
    jump: Float64[np.ndarray, "*question"] | None = None

    @staticmethod
    def of(found: EffectMoments, population: ArrayLike | None = None) -> Estimate:
        """Give the estimate of moments alone."""
        frame = np.inf if population is None else np.asarray(population, np.float64)
        return Estimate(
            found.mean, found.se(population), found.sd, found.df, found.n, found.n, found.n,
            np.broadcast_to(frame, found.n.shape),
        )  # fmt: skip

    @staticmethod
    def by_control(found: Controlled) -> Estimate:
        """Give the estimate of a control variate, which does not know the spread over images."""
        sd = np.full(found.mean.shape, np.nan)
        return Estimate(
            found.mean, found.se, sd, found.df, found.n, found.n, found.n,
            np.broadcast_to(found.population, found.n.shape),
        )  # fmt: skip

    @property
    def whole(self) -> Bool[np.ndarray, "*question"]:
        """Whether nothing is left to measure."""
        return np.asarray(self.n >= self.frame)

    @property
    def alike(self) -> Bool[np.ndarray, "*question"]:
        """Whether all images measured have the same effect."""
        return np.asarray((self.se == 0) | (self.sd == 0))

    @property
    def per_image(self) -> Float64[np.ndarray, "*question"]:
        """Standard deviation an image that `se` would come from: ``se / sqrt(1/n - 1/frame)``."""
        left = 1 / np.maximum(self.n, 1) - 1 / np.maximum(self.frame, 1)
        return np.where(left > 0, self.se / np.sqrt(np.where(left > 0, left, 1.0)), 0.0)

    @property
    def low(self) -> Float64[np.ndarray, "*question"]:
        """Lower ends of the intervals."""
        return np.asarray(self.mean - self.half_width())

    @property
    def high(self) -> Float64[np.ndarray, "*question"]:
        """Upper ends of the intervals."""
        return np.asarray(self.mean + self.half_width())

    def half_width(self) -> Float64[np.ndarray, "*question"]:
        """Give half of the width of the intervals; infinite where nothing is known."""
        alpha = (1 - check_share(self.level, "level")) / check_whole(self.questions, "questions", 1)
        if self.looks is not None:
            return self.looks.half_width(1 - alpha)
        half = stdtrit(np.maximum(self.df, 1), 1 - alpha / 2) * self.se
        return np.where(np.isnan(half), np.inf, half)

    def p_above(self, edge: ArrayLike, sign: ArrayLike = 1) -> Float64[np.ndarray, "*question"]:
        """Give p-values of the hypothesis that ``sign * mean`` is no larger than the edge."""
        distance = np.asarray(sign, np.float64) * self.mean - np.asarray(edge, np.float64)
        if self.looks is not None:
            return self.looks.p_above(distance)
        return np.asarray(stdtr(np.maximum(self.df, 1), -ratio(distance, self.se)))

    def p_rare(self, edge: ArrayLike) -> Float64[np.ndarray, "*question"]:
        """Give p-values of means at or beyond plus or minus an edge, for effects that few images carry.

        Student's test takes the spread from what was seen; where few images are changed, those not seen
        might carry the mean. With jumps of size b = sum(e**2) / sum(|e|), the sum over n images of effects
        whose mean is d is near b times a Poisson count of mean ``n d / b`` (the compound Poisson's first two
        moments); the p-value is the chance of a count no larger than the one seen, ``|sum(e)| / b``. Where
        no image is changed, b is the largest effect that may be thought of and the chance ``exp(-n d / b)``.
        0 where nothing is known of jumps, or nothing is left to measure.
        """
        if self.jump is None:
            return np.zeros(self.mean.shape)
        known = (self.jump > 0) & ~self.whole
        jump = np.where(known, self.jump, 1.0)
        return np.where(known, chance_of_few(self.n, self.mean, jump, np.asarray(edge, np.float64)), 0.0)

    def at(self, level: float) -> Estimate:
        """Give the same with intervals of another level, each for its question alone."""
        return replace(self, level=level, questions=1)

    def take(self, column: int) -> Estimate:
        """Give the estimates of one column, where questions are (question, column)."""
        arrays: dict[str, Any] = {
            one.name: getattr(self, one.name)[:, column]
            for one in fields(self)
            if isinstance(getattr(self, one.name), np.ndarray)
        }
        looks = None
        if self.looks is not None:
            looks = Looks(*(getattr(self.looks, one.name)[:, column] for one in fields(self.looks)))
        return replace(self, **arrays, looks=looks)

    @staticmethod
    def joined(parts: Sequence[Estimate]) -> Estimate:
        """Put estimates of several groups of questions after one another, along the first axis."""
        first = parts[0]
        arrays: dict[str, Any] = {
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(first)
            if isinstance(getattr(first, one.name), np.ndarray)
        }
        told = [part.looks for part in parts if part.looks is not None]
        looks = None
        if told:
            looks = Looks(
                *(np.concatenate([getattr(one, name.name) for one in told]) for name in fields(Looks))
            )
        return replace(first, **arrays, looks=looks)


def chance_of_few(n: ArrayLike, mean: Array, jump: Array, edge: Array) -> Array:
    """Give the chance of no more than ``n |mean| / jump`` jumps where ``n edge / jump`` are expected."""
    count = np.asarray(n, np.float64) / jump
    return np.asarray(gammaincc(count * np.abs(mean) + 1, count * edge))


def ratio(difference: Array, se: Array) -> Array:
    """Give difference / se, infinite with the difference's sign where se is 0."""
    safe = np.where(se > 0, se, 1.0)
    endless = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    return np.where(se > 0, difference / safe, endless)
