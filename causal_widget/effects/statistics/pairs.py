"""Moments of exact effects and cheap estimates together, and the coefficient of one on the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.checks import as_effects
from causal_widget.effects.statistics.moments import (
    EffectMoments,
    chosen_questions,
    column_sums,
    left_without,
)
from causal_widget.errors import ArgumentError

__all__ = ["PairMoments"]

LEAST = 3
BELIEVED = 10  # images that say as much as the cheap estimate does for itself


@dataclass(frozen=True, repr=False, eq=False)
class PairMoments:
    """Moments of exact effects e and cheap estimates g on the same images, for each question; mergeable.

    Merged like `EffectMoments`, the products by Pebay (2008, SAND2008-6212, eq. 3.7).

    Attributes
    ----------
    exact, cheap : EffectMoments
        Each by itself.
    products : array, shape (question...)
        Sum of (e - mean e)(g - mean g).
    """

    exact: EffectMoments
    cheap: EffectMoments
    products: Float64[np.ndarray, "*question"]

    @staticmethod
    def empty(shape: tuple[int, ...]) -> PairMoments:
        """Give the moments of no images."""
        return PairMoments(EffectMoments.empty(shape), EffectMoments.empty(shape), np.zeros(shape))

    @staticmethod
    def of(exact: ArrayLike, cheap: ArrayLike) -> PairMoments:
        """Give the moments of one batch, both (image, question...).

        Raises
        ------
        ArgumentError
            If the shapes differ.
        """
        e, g = as_effects(exact, "exact effects"), as_effects(cheap, "cheap estimates")
        if e.shape != g.shape:
            raise ArgumentError(f"exact effects {e.shape} and cheap estimates {g.shape} must have one shape")
        first, second = EffectMoments.of(e), EffectMoments.of(g)
        return PairMoments(first, second, column_sums((e - first.mean) * (g - second.mean)))

    def update(self, exact: ArrayLike, cheap: ArrayLike, where: ArrayLike | None = None) -> PairMoments:
        """Give the moments with one batch more; `where` names the questions that it answers.

        Parameters
        ----------
        exact, cheap : array, shape (image, question...), or (image, k) for the k questions of `where`
        where : array of bool, shape (question...), optional
        """
        batch = PairMoments.of(exact, cheap)
        if where is None:
            return self.merge(batch)
        chosen = chosen_questions(where, self.n.shape)
        part = self.take(chosen).merge(batch)
        products = self.products.copy()
        products[chosen] = part.products
        return PairMoments(self.exact.update(exact, chosen), self.cheap.update(cheap, chosen), products)

    def take(self, questions: ArrayLike) -> PairMoments:
        """Give the moments of chosen questions: a mask, or numbers along the first axis."""
        index = np.asarray(questions)
        return PairMoments(self.exact.take(index), self.cheap.take(index), self.products[index])

    def merge(self, other: PairMoments) -> PairMoments:
        """Give the moments of both parts' images; neither changes."""
        n = self.exact.n + other.exact.n
        weight = self.exact.n * (other.exact.n / np.maximum(n, 1))
        shift = (other.exact.mean - self.exact.mean) * (other.cheap.mean - self.cheap.mean)
        products = self.products + other.products + shift * weight
        return PairMoments(self.exact.merge(other.exact), self.cheap.merge(other.cheap), products)

    @property
    def n(self) -> Int64[np.ndarray, "*question"]:
        """Images a question."""
        return self.exact.n

    @property
    def coefficient(self) -> Float64[np.ndarray, "*question"]:
        """Least-squares c of e on g, ``cov(e, g) / var(g)``; 0 where g does not vary or is one image's."""
        varies = (self.cheap.squares > 0) & (self.n >= LEAST)
        return np.where(varies, self.products / np.where(varies, self.cheap.squares, 1.0), 0.0)

    def coefficient_near_one(self, cheap: EffectMoments) -> Float64[np.ndarray, "*question"]:
        """Give the least-squares c of e on g, as if ten images more had e = g.

        An estimate of the effect is worth what it says until images say otherwise, and a coefficient of few
        images, of which few carry anything, is mostly noise: ``(S_eg + 10 v) / (S_gg + 10 v)``, v the
        variance of g over all images that have one (a normal prior about 1). Where g does not vary, as
        `coefficient`.

        Parameters
        ----------
        cheap : EffectMoments, questions (question...)
            The cheap estimate on all images.
        """
        told = BELIEVED * cheap.squares / np.maximum(cheap.n, 1)
        varies = told > 0
        below = np.where(varies, self.cheap.squares + told, 1.0)
        return np.where(varies, (self.products + told) / below, self.coefficient)

    @property
    def correlation(self) -> Float64[np.ndarray, "*question"]:
        """Correlation of e and g over images; NaN where either does not vary."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.products / np.sqrt(self.exact.squares * self.cheap.squares))

    def without_zeros(self, zeros: ArrayLike) -> PairMoments:
        """Give the moments without images whose effect and estimate are both zero: see `EffectMoments`."""
        left = left_without(zeros, self.n)
        exact, cheap = self.exact.without_zeros(zeros), self.cheap.without_zeros(zeros)
        shift = exact.mean * cheap.mean * (left * ((self.n - left) / np.maximum(self.n, 1)))
        return PairMoments(exact, cheap, np.where(left > 1, self.products - shift, 0.0))

    def residual(self, coefficient: ArrayLike) -> EffectMoments:
        """Give the moments of ``e - c g``."""
        c = np.asarray(coefficient, dtype=np.float64)
        squares = self.exact.squares - 2 * c * self.products + c * c * self.cheap.squares
        return EffectMoments(self.n, self.exact.mean - c * self.cheap.mean, np.maximum(squares, 0.0))
