"""Confidence sequences for bounded effects: valid at every look, whatever the reason to stop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike, NDArray

from causal_widget.effects.statistics.checks import (
    Array,
    as_effects,
    check_share,
    check_whole,
)
from causal_widget.effects.statistics.moments import chosen_questions
from causal_widget.errors import ArgumentError, DataError

__all__ = ["BernsteinSequence"]

MOST = 0.5
Mask = NDArray[np.bool_]


@dataclass(frozen=True, repr=False, eq=False)
class BernsteinSequence:
    """Empirical-Bernstein confidence sequences of the mean effects of many questions at once.

    The predictable plug-in sequence of Waudby-Smith and Ramdas (2024, "Estimating means of bounded random
    variables by betting", JRSS B 86, theorem 2). For X_t in [0, 1], with v_t = 4 (X_t - m_{t-1})**2 and
    psi(l) = (-log(1 - l) - l) / 4:

        sum(l_t X_t) / sum(l_t)  +-  (log(2/alpha) + sum(v_t psi(l_t))) / sum(l_t),
        l_t = min(1/2, sqrt(2 log(2/alpha) / (s2_{t-1} t log(1 + t)))),

    with m and s2 the running mean and variance, begun at 1/2 and 1/4. It holds at all t together with
    probability 1 - alpha, so a unit may stop at any look, and the ends so far are intersected.

    Where images are drawn without replacement from `population` images, X_t is set against the mean of those
    not yet drawn (the same paper, section 4), and the sum of what was seen bounds the mean for certain: at
    the last image the interval is a point. The union bound gives every question alpha / questions, so all
    intervals hold at all looks together.

    Attributes
    ----------
    low, high : array, shape (question...)
        Least and largest possible effect.
    alpha : float
        For one question, after the union bound.
    population : int or None
        Images that the mean is about; None: all there might ever be.
    n : array of int, shape (question...)
        Images seen.
    sums : array, shape (5, question...)
        What the formulas sum up, of effects scaled to [0, 1].
    floor, ceiling : array, shape (question...)
        The highest lower end and the lowest upper end so far, in the outcome's unit.
    """

    low: Float64[np.ndarray, "*question"]
    high: Float64[np.ndarray, "*question"]
    alpha: float
    population: int | None
    n: Int64[np.ndarray, "*question"]
    sums: Float64[np.ndarray, "5 *question"]
    floor: Float64[np.ndarray, "*question"]
    ceiling: Float64[np.ndarray, "*question"]

    @staticmethod
    def start(
        shape: tuple[int, ...],
        low: ArrayLike,
        high: ArrayLike,
        *,
        level: float = 0.95,
        population: int | None = None,
        questions: int | None = None,
    ) -> BernsteinSequence:
        """Begin with no images.

        Parameters
        ----------
        shape : tuple of int
            Questions: (unit,), (unit, outcome), ...
        low, high : number or array, shape (question...)
            Bounds of an effect, as of `Outcome.effect_bounds`: known before, never read off the effects.
        level : float
            Probability that all intervals hold at all looks.
        population : int, optional
            Images that the mean is about, drawn without replacement.
        questions : int, optional
            For the union bound. None: as many as `shape` holds.

        Raises
        ------
        ArgumentError
            If a bound is not finite (use `asymptotic_interval`), or none lies between.
        """
        bottom, top = (np.broadcast_to(np.asarray(x, np.float64), shape).copy() for x in (low, high))
        if not (np.isfinite(bottom).all() and np.isfinite(top).all()):
            raise ArgumentError(
                "an empirical-Bernstein sequence needs effects with finite bounds, "
                f"got {bottom.min() if bottom.size else low} to {top.max() if top.size else high}: "
                "for logits, margins and losses use asymptotic_interval, which says what it assumes"
            )
        if not (bottom < top).all():
            raise ArgumentError("the lower bound of effects must be below the upper one")
        size = max(int(np.prod(shape)), 1)
        asked = size if questions is None else check_whole(questions, "questions", size)
        alpha = (1 - check_share(level, "level")) / asked
        whole = None if population is None else check_whole(population, "population (images)", 1)
        sums = np.zeros((5, *shape))
        return BernsteinSequence(bottom, top, alpha, whole, np.zeros(shape, np.int64), sums, bottom, top)

    def update(self, effects: ArrayLike, where: ArrayLike | None = None) -> BernsteinSequence:
        """Give the sequence with more images; the same bits however they are cut into batches.

        Parameters
        ----------
        effects : array, shape (image, question...), or (image, k) for the k questions of `where`
            In the order in which they were drawn.
        where : array of bool, shape (question...), optional
            The questions still open.

        Raises
        ------
        DataError
            If an effect lies outside its bounds, or more images come than the population has.
        """
        chosen = chosen_questions(np.ones(self.n.shape, bool) if where is None else where, self.n.shape)
        values = as_effects(effects)
        wanted = self.n.shape if where is None else (int(chosen.sum()),)
        if values.shape[1:] != wanted:
            raise ArgumentError(f"effects must be (image, ...) with {wanted}, got {values.shape[1:]}")
        if not len(values) or not chosen.any():
            return self
        scaled = self._scaled(values.reshape(len(values), -1), chosen)
        n, sums = self.n.copy(), self.sums.copy()
        count, state, low, high = self._advance(n[chosen], sums[:, chosen], scaled)
        n[chosen], sums[:, chosen] = count, state
        width, floor, ceiling = (self.high - self.low)[chosen], self.floor.copy(), self.ceiling.copy()
        floor[chosen] = np.maximum(floor[chosen], self.low[chosen] + width * low)
        ceiling[chosen] = np.minimum(ceiling[chosen], self.low[chosen] + width * high)
        return replace(self, n=n, sums=sums, floor=floor, ceiling=ceiling)

    def _scaled(self, values: Array, chosen: Mask) -> Array:
        low, high = self.low[chosen], self.high[chosen]
        slack = 1e-9 * (high - low)
        if (values < low - slack).any() or (values > high + slack).any():
            row, column = np.argwhere((values < low - slack) | (values > high + slack))[0]
            raise DataError(
                f"effect {values[row, column]:.6g} lies outside its bounds "
                f"{low[column]:.6g} to {high[column]:.6g}: the interval would not hold"
            )
        seen = int(self.n[chosen].max()) + len(values)
        if self.population is not None and seen > self.population:
            raise DataError(f"{seen:,} images of a population of {self.population:,}")
        return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0))

    def _advance(
        self, n: Int64[np.ndarray, " q"], state: Array, x: Array
    ) -> tuple[NDArray[np.int64], Array, Array, Array]:
        """Add images one by one in running sums; give counts, sums, and the ends at their narrowest."""
        t = n + np.arange(1, len(x) + 1)[:, None]
        total = _running(state[0], x)
        mean = (0.5 + total[1:]) / (t + 1)
        before = (0.5 + total[:-1]) / t
        squares = _running(state[1], (x - mean) ** 2)
        variance = (0.25 + squares[:-1]) / t
        bet = np.minimum(np.sqrt(2 * np.log(2 / self.alpha) / (variance * t * np.log1p(t))), MOST)
        left = np.ones(t.shape) if self.population is None else self.population / (self.population - t + 1)
        seen = np.zeros(t.shape) if self.population is None else total[:-1] / (self.population - t + 1)
        weighted = _running(state[2], bet * (x + seen))
        weight = _running(state[3], bet * left)
        doubt = _running(state[4], 4 * (x - before) ** 2 * (-np.log1p(-bet) - bet) / 4)
        centre = weighted[1:] / weight[1:]
        half = (np.log(2 / self.alpha) + doubt[1:]) / weight[1:]
        low, high = centre - half, centre + half
        if self.population is not None:
            low = np.maximum(low, total[1:] / self.population)
            high = np.minimum(high, (total[1:] + self.population - t) / self.population)
        sums = np.stack([r[-1] for r in (total, squares, weighted, weight, doubt)])
        return n + len(x), sums, low.max(axis=0), high.min(axis=0)

    @property
    def lower(self) -> Float64[np.ndarray, "*question"]:
        """Lower end of each interval; spans the gap should floor and ceiling cross (chance below alpha)."""
        return np.asarray(np.minimum(self.floor, self.ceiling))

    @property
    def upper(self) -> Float64[np.ndarray, "*question"]:
        """Upper end of each interval."""
        return np.asarray(np.maximum(self.floor, self.ceiling))

    @property
    def half_width(self) -> Float64[np.ndarray, "*question"]:
        """Half of each interval's width."""
        return np.asarray((self.upper - self.lower) / 2)

    @property
    def mean(self) -> Float64[np.ndarray, "*question"]:
        """Mean effect over the images seen; NaN without any."""
        share = np.where(self.n > 0, self.sums[0] / np.maximum(self.n, 1), np.nan)
        return np.asarray(self.low + (self.high - self.low) * share)

    def __repr__(self) -> str:
        if not self.n.size:
            return "BernsteinSequence of no questions"
        return (
            f"BernsteinSequence: {self.n.size:,} questions, {self.n.min():,} to {self.n.max():,} images, "
            f"half-widths {self.half_width.min():.3g} to {self.half_width.max():.3g} at all looks together"
        )


def _running(start: Array, steps: Array) -> Array:
    """Give the running sums from `start` on, added one by one: the same bits however cut into batches."""
    return np.cumsum(np.concatenate([start[None], steps]), axis=0)
