"""Verdicts: critical, neutral, detrimental or undecided, by tests against a least effect."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64
from numpy.typing import ArrayLike, NDArray

from causal_widget.effects.statistics.checks import Array, check_share, check_whole
from causal_widget.effects.statistics.control import Controlled
from causal_widget.effects.statistics.corrections import corrected, harmonic
from causal_widget.effects.statistics.estimate import Estimate
from causal_widget.effects.statistics.minimum import minimum_effect
from causal_widget.effects.statistics.moments import EffectMoments
from causal_widget.effects.statistics.three_tests import images_to_settle, three_tests
from causal_widget.errors import ArgumentError

__all__ = ["KINDS", "LEAST_IMAGES", "UNDECIDED", "VERDICTS", "Verdicts", "verdicts"]

KINDS = ("critical", "neutral", "detrimental")
UNDECIDED = "undecided"
VERDICTS = (*KINDS, UNDECIDED)
LEAST_IMAGES = 30


@dataclass(frozen=True, repr=False, eq=False)
class Verdicts:
    """What each unit is to the network, with effect, interval and corrected p-value.

    Attributes
    ----------
    verdict : array of str, shape (question...)
        "critical": removing hurts by more than the least effect; "detrimental": removing helps by more;
        "neutral": the effect lies within plus or minus it; "undecided": none of these is shown.
    effect, se, low, high : array, shape (question...)
        Mean effect, its standard error, and the ends of its interval (for this question alone), in the
        outcome's unit.
    n : array of int, shape (question...)
        Images.
    p, corrected : array, shape (question...)
        p-value of the nearest verdict, and the same corrected over all questions; NaN where none was asked.
    nearest : array of str, shape (question...)
        The verdict that the p-value is for.
    needed : array, shape (question...)
        Images that would settle an undecided question with a chance of 80 %, if its effect is as estimated;
        NaN where decided, infinite where no number would.
    min_effect : array, shape (question...)
        Least effect that matters, in the outcome's unit.
    fdr, level : float
    correction : str
    names : tuple of str
        One a question, in the order of `table`; empty where they have none.
    """

    verdict: NDArray[np.str_]
    effect: Float64[np.ndarray, "*question"]
    se: Float64[np.ndarray, "*question"]
    low: Float64[np.ndarray, "*question"]
    high: Float64[np.ndarray, "*question"]
    n: Int64[np.ndarray, "*question"]
    p: Float64[np.ndarray, "*question"]
    corrected: Float64[np.ndarray, "*question"]
    nearest: NDArray[np.str_]
    needed: Float64[np.ndarray, "*question"]
    min_effect: Float64[np.ndarray, "*question"]
    fdr: float
    level: float
    correction: str
    names: tuple[str, ...] = ()

    def where(self, verdict: str) -> Bool[np.ndarray, "*question"]:
        """Say which questions have a verdict."""
        return np.asarray(self.verdict == verdict)

    @property
    def counts(self) -> dict[str, int]:
        """How many questions have each verdict."""
        return {verdict: int(self.where(verdict).sum()) for verdict in VERDICTS}

    def table(self) -> pd.DataFrame:
        """One row a question: verdict, effect, se, interval, n, p, corrected p, needed images."""
        columns: dict[str, Any] = {
            "verdict": self.verdict, "effect": self.effect, "se": self.se, "low": self.low, "high": self.high,
            "n": self.n, "p": self.p, "corrected p": self.corrected, "needed": self.needed,
        }  # fmt: skip
        table = pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})
        if self.names:
            table.insert(0, "question", list(self.names))
        return table

    def __repr__(self) -> str:
        said = ", ".join(f"{count:,} {verdict}" for verdict, count in self.counts.items())
        least = _span(self.min_effect)
        how = {"bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli", "none": "not corrected"}
        lines = [
            f"Verdicts: {said}",
            f"  against a least effect of {least}; false discoveries of each verdict at most {self.fdr:.0%} "
            f"({how[self.correction]}, {int(np.isfinite(self.p).sum()):,} questions)",
        ]
        waiting = self.needed[self.where(UNDECIDED)]
        if waiting.size:
            finite = waiting[np.isfinite(waiting)]
            most = (
                f"{int(np.median(finite)):,} images would settle half of the undecided" if finite.size else ""
            )
            lines.append(f"  {most or 'no number of images would settle the undecided'}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "<br>".join(html.escape(line) for line in repr(self).splitlines())
        table = self.table().to_html(float_format="{:.4g}".format, escape=True, max_rows=40)
        return f"<p>{head}</p>{table}"


def verdicts(
    found: EffectMoments | Controlled | Estimate,
    *,
    worse: ArrayLike,
    min_effect: object,
    scale: ArrayLike | None = None,
    fdr: float = 0.05,
    correction: str = "bh",
    level: float = 0.95,
    population: ArrayLike | None = None,
    selection: EffectMoments | Controlled | Estimate | None = None,
    asked: ArrayLike | None = None,
    least: int = LEAST_IMAGES,
    images: ArrayLike | None = None,
    names: Sequence[str] = (),
) -> Verdicts:
    """Judge every question by paired tests against a least effect.

    With harm h = worse * mean effect, standard error s, least effect d and Student's T:

        critical      H0: h <= d      p = P(T > (h - d) / s)
        detrimental   H0: h >= -d     p = P(T < (h + d) / s)
        neutral       H0: |h| >= d    p = the larger of P(T > (h + d) / s) and P(T < (h - d) / s)

    neutral by two one-sided tests (Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15). p-values
    are corrected over all questions, each verdict by itself: of the units called critical at most `fdr` are
    expected not to be, and many easy neutral ones do not make critical ones easier. Where all images seen
    have the same effect, and more images are meant, the p-value is at least 1 / (n + 1): the chance that the
    one image that differs would be the next. Of an `Estimate` that knows how large effects on an image are,
    neutral has at least the p-value of `Estimate.p_rare`.

    Parameters
    ----------
    found : EffectMoments, Controlled or Estimate
        Mean effects and how sure they are.
    worse : int or array
        1 where a larger outcome is worse for the network, -1 where a smaller one is: `Outcome.worse`.
    min_effect : number, array or str
        In the outcome's unit, or a share ``"2%"`` of `scale`, the mean logit.
    scale : number or array, optional
    fdr : float
        Nominal rate of false discoveries.
    correction : str
        "bh" (Benjamini-Hochberg), "by" (Benjamini-Yekutieli: any dependence) or "none".
    level : float
        Of the intervals.
    population : int, optional
        As for `EffectMoments.se`; a `Controlled` and an `Estimate` have their own.
    selection : EffectMoments, Controlled or Estimate, optional
        The same questions on separate images: each is asked only for the verdict that these point to, so that
        choosing and estimating do not share an image. None: all three are asked.
    asked : array of bool, shape (question...), optional
        Questions to ask, chosen without a look at `found`; the others stay undecided and are not counted.
    least : int
        Fewer images than these give no verdict.
    images : int or array of int, optional
        Images looked at, where `found` is about the active ones among them. None: those measured; where all
        in which anything changes were, those looked at.
    names : sequence of str
        One a question.

    Raises
    ------
    ArgumentError
        If an argument is outside its range, or shapes differ.
    UnknownNameError
        If there is no such correction.
    """
    one = as_estimate(found, population)
    sign, margin = _sign(worse, one.mean.shape), minimum_effect(min_effect, scale)
    margin = np.broadcast_to(margin, one.mean.shape).astype(np.float64)
    enough = check_whole(least, "least (images for a verdict)", 2)
    _check_names(names, one.mean.size)
    rate = check_share(fdr, "fdr")
    raw = three_tests(one, sign, margin)
    allowed = _allowed(raw.shape, selection, population, sign, margin, asked)
    kind = np.where(allowed, raw, 2.0).argmin(axis=0)
    looked = np.where(one.whole, one.images, one.n) if images is None else np.asarray(images)
    few = looked < enough
    raw = np.where(allowed, np.where(few, 1.0, raw), np.nan)
    fixed = np.stack([corrected(p, correction) for p in raw])
    best, best_fixed = (np.take_along_axis(x, kind[None], axis=0)[0] for x in (raw, fixed))
    decided = best_fixed <= rate
    verdict = np.where(decided, np.array(KINDS)[kind], UNDECIDED)
    share = np.array([_threshold(fixed[k], rate, correction) for k in range(3)])[kind]
    needed = np.where(decided, np.nan, images_to_settle(one, sign, margin, share, enough))
    about = one.at(check_share(level, "level"))
    return Verdicts(
        verdict, one.mean, one.se, about.low, about.high, one.n, best, best_fixed,
        np.array(KINDS)[kind], needed, margin, rate, level, correction, tuple(names),
    )  # fmt: skip


def as_estimate(found: EffectMoments | Controlled | Estimate, population: ArrayLike | None) -> Estimate:
    """Give moments, or what a control variate found, as an estimate; one that is none already."""
    if isinstance(found, Estimate):
        return found
    return Estimate.of(found, population) if isinstance(found, EffectMoments) else Estimate.by_control(found)


def _allowed(
    shape: tuple[int, ...],
    selection: EffectMoments | Controlled | Estimate | None,
    population: ArrayLike | None,
    sign: Array,
    margin: Array,
    asked: ArrayLike | None,
) -> NDArray[np.bool_]:
    """Say which verdicts are asked for, (kind, question...)."""
    allowed = np.ones(shape, bool)
    if selection is not None:
        chooser = as_estimate(selection, population)
        if chooser.mean.shape != shape[1:]:
            raise ArgumentError(f"selection is about {chooser.mean.shape} questions, found about {shape[1:]}")
        harm = sign * chooser.mean
        pointed = np.where(harm > margin, 0, np.where(harm < -margin, 2, 1))
        allowed = np.arange(3).reshape(3, *([1] * pointed.ndim)) == pointed
    if asked is not None:
        mask = np.asarray(asked)
        if mask.dtype != np.bool_ or mask.shape != shape[1:]:
            raise ArgumentError(f"asked must be bool of shape {shape[1:]}, got {mask.dtype} {mask.shape}")
        allowed = allowed & mask
    return allowed


def _threshold(fixed: Array, rate: float, correction: str) -> float:
    """Give the p-value that one discovery more would have to reach."""
    m = max(int((~np.isnan(fixed)).sum()), 1)
    if correction == "none":
        return rate
    more = min(int((fixed <= rate).sum()) + 1, m)
    return rate * more / (m * (harmonic(m) if correction == "by" else 1.0))


def _sign(worse: ArrayLike, shape: tuple[int, ...]) -> Array:
    sign = np.asarray(worse, dtype=np.float64)
    if not np.isin(sign, (-1, 1)).all():
        raise ArgumentError(
            f"worse must be 1 (larger is worse) or -1 (smaller is worse), got {worse!r:.80}: "
            "without a direction an effect is neither critical nor detrimental"
        )
    return np.broadcast_to(sign, shape)


def _check_names(names: Sequence[str], size: int) -> None:
    if names and len(names) != size:
        raise ArgumentError(f"there are {size:,} questions but {len(names):,} names")


def _span(values: Array) -> str:
    if not values.size:
        return "none"
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
