"""What a control variate found of the images in which anything changes, on the way to an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from causal_widget.effects.statistics import Controlled, EffectMoments, PairMoments
from causal_widget.effects.statistics.moments import spread_of_mean

__all__ = ["Found", "doubt_beyond", "spread_of_one_more", "spread_with_zeros", "with_questions"]

Counts = Int64[np.ndarray, "question column"]
Values = Float64[np.ndarray, "question column"]


@dataclass(frozen=True, eq=False)
class Found:
    """Of the images in which anything changes.

    Attributes
    ----------
    mean : array, shape (question, column)
    inner, outer : array, shape (question, column)
        Standard errors: of the exact effects as a sample of these images, and beyond.
    df : array, shape (question, column)
        Degrees of freedom.
    spread : array, shape (question, column)
        Standard deviation of what one exact effect more adds.
    rest : array of int, shape (question, column)
        Images of which the exact ones were drawn.
    """

    mean: Values
    inner: Values
    outer: Values
    df: Values
    spread: Values
    rest: Counts

    @staticmethod
    def of(one: Controlled, spread: Values, rest: Counts) -> Found:
        """Give what an estimate with a control variate says."""
        return Found(one.mean, one.se, np.zeros(rest.shape), one.df, spread, rest)

    @staticmethod
    def by_regression(part: PairMoments, cheap: EffectMoments, unseen: Values) -> Found:
        """Estimate by regression within one part (Cochran 1977, eq. 7.28)."""
        total, c = cheap.n, part.coefficient
        residual = part.residual(c).with_squares(unseen)
        df = residual.df - ((part.cheap.squares > 0) & (c != 0))
        sd = np.where(df > 0, np.sqrt(residual.squares / np.maximum(df, 1)), np.nan)
        inner = spread_of_mean(sd, part.n, total)
        return Found(
            residual.mean + c * cheap.mean, np.where(np.isnan(inner), np.inf, inner),
            np.zeros(total.shape), df, np.zeros(total.shape), total,
        )  # fmt: skip


def spread_of_one_more(residual: EffectMoments, unseen: Values, rest: Counts) -> Values:
    """Give the standard deviation of one residual more: no less than what images not seen might add.

    Infinite below two images, 0 where none is left.
    """
    least = np.sqrt(unseen / np.maximum(residual.n - 1, 1))
    return np.where(residual.n > 1, np.maximum(residual.sd, least), np.where(residual.n >= rest, 0.0, np.inf))


def spread_with_zeros(exact: EffectMoments, share: Float64[np.ndarray, "question 1"]) -> Values:
    """Give the standard deviation over all images, where a share of them changes anything and was sampled."""
    variance = np.where(exact.n > 1, exact.squares / np.maximum(exact.n - 1, 1), 0.0)
    whole = share * variance + share * (1 - share) * exact.mean**2
    return np.where((exact.n > 1) | (share == 0), np.sqrt(whole), np.nan)


def doubt_beyond(
    own: Values, sd: Values, unseen: Values, given: Counts, size: int | Int64[np.ndarray, "*question"] | None
) -> Values:
    """Give the standard error that is left if every exact effect of the images given were known.

    Parameters
    ----------
    own : array, shape (question, column)
        What of it was found already.
    sd, unseen : array, shape (question, column)
        Standard deviation over images, and what images not seen might add to squares.
    given : array of int, shape (question, column)
        Images given.
    size : int, array or None
        How many the mean is about.
    """
    beyond = spread_of_mean(np.maximum(sd, np.sqrt(unseen / np.maximum(given, 1))), given, size)
    found = np.sqrt(own**2 + beyond**2)
    return np.where(np.isnan(found), np.inf, found)


def with_questions(
    whole: PairMoments, where: Bool[np.ndarray, " question"], part: PairMoments
) -> PairMoments:
    """Give the moments with those of some questions replaced."""

    def put(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.generic]:
        changed = a.copy()
        changed[where] = b
        return changed

    exact, cheap = (
        EffectMoments(*(put(getattr(a, name), getattr(b, name)) for name in ("n", "mean", "squares")))
        for a, b in ((whole.exact, part.exact), (whole.cheap, part.cheap))
    )
    return PairMoments(exact, cheap, put(whole.products, part.products))
