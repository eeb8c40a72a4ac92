"""What the units of one layer are to a class: by the paper's z-test, or against a least effect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from causal_widget.effects.statistics import EffectMoments, images_needed, verdicts
from causal_widget.effects.statistics.verdicts import LEAST_IMAGES, UNDECIDED, Verdicts

__all__ = ["LEAST_IMAGES", "Judged", "by_least_effect", "by_z_test"]

_POWER = 0.8


@dataclass(frozen=True, eq=False)
class Judged:
    """Verdicts on some units, with what they stand on.

    Attributes
    ----------
    verdict : array of str (unit,)
        "critical": removing the unit's paths lowers the class's output; "detrimental": it raises it;
        "neutral"; "undecided".
    effect, se, low, high : array (unit,)
        Mean effect of eq. (2), its standard error, and the ends of its interval, for this unit alone.
    p, corrected : array (unit,)
        p-value of the verdict nearest, and the same corrected for how many were asked.
    needed : array (unit,)
        Images that would settle an undecided unit; NaN where it is decided.
    n : array of int (unit,)
        Images.
    """

    verdict: NDArray[np.str_]
    effect: Float64[np.ndarray, " unit"]
    se: Float64[np.ndarray, " unit"]
    low: Float64[np.ndarray, " unit"]
    high: Float64[np.ndarray, " unit"]
    p: Float64[np.ndarray, " unit"]
    corrected: Float64[np.ndarray, " unit"]
    needed: Float64[np.ndarray, " unit"]
    n: Int64[np.ndarray, " unit"]

    def where(self, verdict: str) -> NDArray[np.int64]:
        """Positions of the units with a verdict."""
        return np.flatnonzero(self.verdict == verdict)

    @staticmethod
    def of(found: Verdicts) -> Judged:
        """Give verdicts of `effects.statistics` as judgement."""
        return Judged(
            np.asarray(found.verdict, dtype="<U11"), found.effect, found.se, found.low, found.high,
            found.p, found.corrected, found.needed, found.n,
        )  # fmt: skip


def by_z_test(
    effects: Float64[np.ndarray, "image unit"], alpha: float, level: float, least: int = LEAST_IMAGES
) -> Judged:
    """Judge as Ahmad et al. (2023, section 3.3, "Test of Significance") write.

    With mean m, standard deviation s (n - 1) of the paired effects of n images: z = m / (s / sqrt(n)), and
    the hypothesis that the effect is zero is rejected where P(|Z| > |z|) < alpha. m below zero: critical;
    above: detrimental; not rejected: neutral. Nothing is corrected for the number of units, as in the paper.

    Parameters
    ----------
    effects : float64 array (image, unit)
    alpha, level : float
        The threshold, and the level of the intervals.
    least : int
        Fewer images give no verdict: the null distribution is only "approximately Gaussian, given the
        sufficiently large number of samples".
    """
    found = EffectMoments.of(effects)
    mean, sd = found.mean, np.nan_to_num(found.sd)
    se = sd / np.sqrt(np.maximum(found.n, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(mean == 0, 0.0, np.abs(mean) / se)
    p = np.minimum(2 * ndtr(-z), 1.0)
    few = found.n < least
    named = np.where(p < alpha, np.where(mean < 0, "critical", "detrimental"), "neutral")
    verdict = np.where(few, UNDECIDED, named).astype("<U11")
    quantile = ndtri(1 - alpha / 2) + ndtri(_POWER)
    enough = np.maximum(images_needed(sd, np.abs(mean), quantile, None), least)
    half = ndtri(0.5 + level / 2) * se
    needed = np.where(few, enough, np.nan)
    p = np.where(few, np.nan, p)
    return Judged(verdict, mean, se, mean - half, mean + half, p, p.copy(), needed, found.n)


def by_least_effect(
    effects: Float64[np.ndarray, "image unit"],
    alpha: float,
    level: float,
    min_effect: float,
    least: int = LEAST_IMAGES,
) -> Judged:
    """Judge by paired t-tests against a least effect, false discoveries among a layer's units controlled.

    Parameters
    ----------
    effects, level, least
        As for `by_z_test`.
    alpha : float
        Rate of false discoveries (Benjamini and Hochberg), for each kind of verdict.
    min_effect : float
        Least effect that matters, in units of the class's output.
    """
    found = EffectMoments.of(effects)
    return Judged.of(verdicts(found, worse=-1, min_effect=min_effect, fdr=alpha, level=level, least=least))
