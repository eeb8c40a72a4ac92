"""Estimates that borrow from one another: noisy ones without bias, drawn to ones that are sure but biased."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.checks import Array
from causal_widget.errors import ArgumentError

__all__ = ["shrunken", "spread_of_bias"]

_MOST = 1.5  # standard errors that an estimate is drawn away by
_FREE = 2
_STEPS = 100
_CLOSE = 1e-9

Values = Float64[np.ndarray, " question"]


def shrunken(mean: ArrayLike, se: ArrayLike, cheap: ArrayLike, scale: ArrayLike) -> Values:
    """Draw unbiased estimates to cheap ones, as far as their noise and the errors of all the others say.

    For question i let m be the unbiased estimate with standard error s, and g the cheap one, without noise.
    With true errors of g of the standard deviation tau v,

        shrunken = g + tau**2 v**2 / (tau**2 v**2 + s**2) (m - g),

    tau by the differences m - g of all questions, `spread_of_bias` (empirical Bayes; of a direct and a
    synthetic estimate: Fay and Herriot 1979; Morris 1983). Where s is in proportion to v, this is the
    estimator of James and Stein (1961) in its positive part, all differences times one factor. And none is
    drawn away from m by more than 1.5 standard errors, so that one whose g is far off is not lost among many
    whose g is good (limited translation: Efron and Morris 1972). The result is biased, and that of a single
    question may be worse than m: no interval or test is about it.

    Parameters
    ----------
    mean, se : array, shape (question,)
        0 where it is known without noise: then the mean stays; infinite where nothing is: then the cheap
        estimate stands.
    cheap : array, shape (question,)
        NaN where there is none: then the mean stays.
    scale : array, shape (question,)
        v: how large errors of the cheap estimates are expected to be, against one another.

    Raises
    ------
    ArgumentError
        If the shapes differ, or a standard error or scale is below 0 or NaN.
    """
    m, s, g, v = _checked(mean, se, cheap, scale)
    told = np.isfinite(m - g) & np.isfinite(s) & (s > 0)
    tau = spread_of_bias((m - g)[told], s[told], v[told])
    weight = np.zeros(m.shape)
    weight[told] = 1.0 if np.isinf(tau) else 1 - s[told] ** 2 / ((tau * v[told]) ** 2 + s[told] ** 2)
    found = np.where(np.isinf(s), g, g + weight * (m - g))
    return np.where(np.isnan(g) | (s == 0), m, np.clip(found, m - _MOST * s, m + _MOST * s))


def spread_of_bias(difference: ArrayLike, se: ArrayLike, scale: ArrayLike) -> float:
    """Say how large true differences are, of which noisy values are given: their standard deviation over v.

    By moments (Fay and Herriot 1979; Paule and Mandel 1982): tau for which, of k questions,

        sum (m - g)**2 / (tau**2 v**2 + s**2) = k - 2,

    0 where that of tau = 0 is less already: noise explains the differences. k - 2, as 1 / chi-square of k
    degrees of freedom has the mean 1 / (k - 2). Of two questions or fewer nothing can be learnt, and tau is
    infinite. The sum is convex in tau**2 and falls, so Newton's steps from 0 rise to the root.

    Parameters
    ----------
    difference, se, scale : array, shape (question,)
        All finite, standard errors above 0.

    Raises
    ------
    ArgumentError
        If the shapes differ, or a standard error or scale is out of its range.
    """
    d, s, _, v = _checked(difference, se, difference, scale)
    if not (np.isfinite([d, s, v]).all() and (s > 0).all()):
        raise ArgumentError(f"differences must be finite with se above 0, got {d!r:.80} and {s!r:.80}")
    if len(d) <= _FREE or not v.any():
        return float("inf") if v.any() else 0.0
    squares, noise, sizes = d**2, s**2, v**2
    found = 0.0
    for _ in range(_STEPS):
        whole = found * sizes + noise
        over = float((squares / whole).sum()) - (len(d) - _FREE)
        if over <= _CLOSE * len(d):
            break
        found += over / float((squares * sizes / whole**2).sum())
    return float(np.sqrt(found))


def _checked(
    mean: ArrayLike, se: ArrayLike, cheap: ArrayLike, scale: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    m, s, g = (np.asarray(one, np.float64) for one in (mean, se, cheap))
    v = np.asarray(scale, np.float64)
    if m.ndim != 1 or s.shape != m.shape or g.shape != m.shape or v.shape != m.shape:
        raise ArgumentError(
            f"mean, se, cheap and scale must be (question,), got {m.shape}, {s.shape}, {g.shape}, {v.shape}"
        )
    for name, one in (("se", s), ("scale", v)):
        if not (one >= 0).all():
            raise ArgumentError(f"{name} must be 0 or more, got {float(one[~(one >= 0)].ravel()[0]):g}")
    return m, s, g, v
