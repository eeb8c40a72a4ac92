"""What was measured where exact effects are on some images, and a cheap estimate is on all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike, NDArray

from causal_widget.effects.evidence.plain import about, moments_arrays, moments_from, need
from causal_widget.effects.statistics import Controlled, EffectMoments, PairMoments, controlled
from causal_widget.effects.statistics.anytime import Looks
from causal_widget.effects.statistics.asymptotic import FIRST
from causal_widget.effects.statistics.checks import check_population
from causal_widget.effects.statistics.control import controlled_both_ways
from causal_widget.effects.statistics.estimate import Estimate
from causal_widget.effects.statistics.masked import moments_where, pairs_where
from causal_widget.effects.statistics.moments import chosen_questions, spread_of_mean
from causal_widget.errors import UnknownNameError, nearest

__all__ = ["ControlledEvidence"]

PARTS = ("all", "pilot", "main")
Counts = Int64[np.ndarray, "question column"]
Values = Float64[np.ndarray, "question column"]


@dataclass(frozen=True, repr=False, eq=False)
class ControlledEvidence:
    """Exact effects on some images and cheap estimates on all, of one group's questions.

    All moments are over the images in which a question's edit changes anything: A of the N images. In the
    others both effects are zero for certain, so the mean over all is A/N times the mean over these, and none
    of its doubt is about the others (post-stratification, Cochran 1977, section 5A.9).

    Attributes
    ----------
    pilot, main : PairMoments, questions (question, column)
        Of two separate parts of the images with exact effects: the first gives the coefficient of the cheap
        estimate, and may choose what is asked; the second may grow.
    cheap : EffectMoments, questions (question, column)
        The cheap estimate on all images given.
    images : array of int, shape (question,)
        Images given.
    """

    pilot: PairMoments
    main: PairMoments
    cheap: EffectMoments
    images: Int64[np.ndarray, " question"]

    @staticmethod
    def empty(n_questions: int, n_columns: int) -> ControlledEvidence:
        """Give the evidence of no images."""
        pairs, images = PairMoments.empty((n_questions, n_columns)), np.zeros(n_questions, np.int64)
        return ControlledEvidence(pairs, pairs, pairs.cheap, images)

    def with_cheap(self, cheap: ArrayLike, changed: ArrayLike) -> ControlledEvidence:
        """Give the evidence with the cheap estimate on some images more.

        Parameters
        ----------
        cheap : array, shape (image, question, column)
            0 where there is no cheap estimate: then the exact effects stand alone.
        changed : array of bool, shape (image, question)
            Whether the question's edit changes anything in the image.

        Raises
        ------
        ArgumentError
            If the shapes do not fit.
        NonFiniteError
            If an estimate is NaN or infinite.
        """
        batch = moments_where(cheap, changed)
        return replace(self, cheap=self.cheap.merge(batch), images=self.images + len(np.asarray(changed)))

    def with_exact(
        self, exact: ArrayLike, cheap: ArrayLike, changed: ArrayLike, where: ArrayLike, *, pilot: bool = False
    ) -> ControlledEvidence:
        """Give the evidence with exact effects on some images more, which have a cheap estimate already.

        Parameters
        ----------
        exact, cheap : array, shape (image, k, column)
            For the k questions of `where`.
        changed : array of bool, shape (image, k)
        where : array of bool, shape (question,)
            The questions still open.
        pilot : bool
            Whether the images are of the pilot part.

        Raises
        ------
        ArgumentError
            If the shapes do not fit.
        NonFiniteError
            If an effect is NaN or infinite.
        """
        chosen = chosen_questions(where, self.images.shape)
        part = self.pilot if pilot else self.main
        grown = _put(part, chosen, part.take(chosen).merge(pairs_where(exact, cheap, changed)))
        return replace(self, pilot=grown) if pilot else replace(self, main=grown)

    def merge(self, other: ControlledEvidence) -> ControlledEvidence:
        """Give the evidence of both parts' images, which must not overlap."""
        return ControlledEvidence(
            self.pilot.merge(other.pilot), self.main.merge(other.main), self.cheap.merge(other.cheap),
            self.images + other.images,
        )  # fmt: skip

    @property
    def changed(self) -> Int64[np.ndarray, " question"]:
        """Images in which the question's edit changes anything."""
        return np.asarray(self.cheap.n[:, 0])

    @property
    def moments(self) -> EffectMoments:
        """Moments of the exact effects over the images that have one and in which anything changes."""
        return self.pilot.exact.merge(self.main.exact)

    def estimate(
        self,
        population: str | int | None = "given",
        part: str = "all",
        *,
        level: float = 0.95,
        questions: int = 1,
        anytime: bool = False,
        tuned_at: float = 500,
        first: int = FIRST,
    ) -> Estimate:
        """Say what is known of the mean effects.

        With a number of images fixed before, each part is the other's pilot (`controlled_both_ways`); where
        one looks again and again, only the pilot gives the coefficient (`controlled_looks`).

        Parameters
        ----------
        population : int or "given", optional
            Images that the mean is about: a number, or just those given. None: all there might ever be.
        part : {"all", "pilot", "main"}
            "pilot": what the pilot alone says, for choosing; "main": what the others say, where the pilot
            chose.
        level, questions : float, int
            Of the intervals, so many of which hold together.
        anytime : bool
            Whether everything must hold at every look.
        tuned_at, first
            As for `asymptotic_half_width`.

        Raises
        ------
        UnknownNameError
            If there is no such part.
        """
        if part not in PARTS:
            raise UnknownNameError(
                f'part "{part}" does not exist; expected one of {", ".join(PARTS)}.{nearest(part, PARTS)}'
            )
        given = self._given
        size = about(population, given)
        found = self._pilot_alone() if part == "pilot" else self._main(part, anytime)
        share = self.changed[:, None] / np.maximum(self.images, 1)[:, None]
        exact = self.pilot.exact if part == "pilot" else self.main.exact if part == "main" else self.moments
        sd = _with_zeros(exact, share)
        outer = np.sqrt((share * found.outer) ** 2 + spread_of_mean(sd, given, size) ** 2)
        outer = np.where(np.isnan(outer), np.inf, outer)
        se = np.sqrt((share * found.inner) ** 2 + outer**2)
        looks = None
        if anytime and part != "pilot":
            alpha = (1 - level) / questions
            looks = Looks.of(
                share * found.spread, self.main.n, found.rest, outer,
                alpha=alpha, tuned_at=tuned_at, first=first,
            )  # fmt: skip
        frame = np.where(check_population(size, given) <= given, self.cheap.n, np.inf)
        mean = np.where(exact.n > 0, found.mean, self.cheap.mean)  # nothing better; its error is unknown
        return Estimate(
            share * mean, se, sd, found.df, exact.n, self.cheap.n, given, frame, level, questions, looks
        )

    @property
    def _given(self) -> Counts:
        return np.repeat(self.images[:, None], self.cheap.n.shape[1], axis=1)

    def _main(self, part: str, anytime: bool) -> _Found:
        total, rest = self.cheap.n, self.cheap.n - self.pilot.n
        if part == "all" and not anytime:
            both = controlled_both_ways(self.pilot, self.main, self.cheap, population=total)
            return _Found.of(both, np.zeros(total.shape), rest)
        found = controlled(self.pilot, self.main, self.cheap, population=total)
        spread = self.main.residual(found.coefficient).sd
        spread = np.where(np.isnan(spread), np.where(self.main.n >= rest, 0.0, np.inf), spread)
        if part == "all":
            return _Found.of(found, rest / np.maximum(total, 1) * spread, rest)
        return self._without_pilot(found, spread, rest)

    def _without_pilot(self, found: Controlled, spread: Values, rest: Counts) -> _Found:
        """Estimate from the images that are not the pilot's: those are a sample of all given."""
        total = self.cheap.n
        mean_rest = (total * self.cheap.mean - self.pilot.n * self.pilot.cheap.mean) / np.maximum(rest, 1)
        residual = self.main.residual(found.coefficient)
        inner = residual.se(rest)
        outer = spread_of_mean(self.main.exact.sd, rest, total)
        return _Found(
            found.coefficient * mean_rest + residual.mean, np.where(np.isnan(inner), np.inf, inner),
            np.where(np.isnan(outer), np.inf, outer), residual.df, spread, rest,
        )  # fmt: skip

    def _pilot_alone(self) -> _Found:
        """Estimate by regression within the pilot (Cochran 1977, eq. 7.28)."""
        total, c = self.cheap.n, self.pilot.coefficient
        residual = self.pilot.residual(c)
        fitted = (self.pilot.cheap.squares > 0) & (c != 0)
        df = residual.df - fitted
        sd = np.where(df > 0, np.sqrt(residual.squares / np.maximum(df, 1)), np.nan)
        inner = spread_of_mean(sd, self.pilot.n, total)
        return _Found(
            residual.mean + c * self.cheap.mean, np.where(np.isnan(inner), np.inf, inner),
            np.zeros(total.shape), df, np.zeros(total.shape), total,
        )  # fmt: skip

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give everything as arrays by name; `from_arrays` makes the same evidence of them."""
        found: dict[str, NDArray[np.generic]] = {"images": self.images}
        for name, pairs in (("pilot", self.pilot), ("main", self.main)):
            found |= moments_arrays(f"{name}.exact", pairs.exact) | moments_arrays(
                f"{name}.cheap", pairs.cheap
            )
            found[f"{name}.products"] = pairs.products
        return found | moments_arrays("cheap", self.cheap)

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> ControlledEvidence:
        """Make the evidence of what `arrays` gave.

        Raises
        ------
        DataError
            If an array is missing.
        """
        pilot, main = (
            PairMoments(
                moments_from(arrays, f"{name}.exact"), moments_from(arrays, f"{name}.cheap"),
                need(arrays, f"{name}.products"),
            )
            for name in ("pilot", "main")
        )  # fmt: skip
        return ControlledEvidence(pilot, main, moments_from(arrays, "cheap"), need(arrays, "images"))

    def __repr__(self) -> str:
        exact = self.moments.n
        span = f"{exact.min(initial=0):,} to {exact.max(initial=0):,}"
        return (
            f"ControlledEvidence: {len(self.images):,} questions, {exact.shape[1]} columns, "
            f"{self.images.max(initial=0):,} images, exact effects on {span} of those it changes"
        )


@dataclass(frozen=True)
class _Found:
    """Of the images in which anything changes: mean, standard errors within and beyond, spread, the rest."""

    mean: Values
    inner: Values
    outer: Values
    df: Values
    spread: Values
    rest: Counts

    @staticmethod
    def of(one: Controlled, spread: Values, rest: Counts) -> _Found:
        return _Found(one.mean, one.se, np.zeros(rest.shape), one.df, spread, rest)


def _put(whole: PairMoments, where: NDArray[np.bool_], part: PairMoments) -> PairMoments:
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


def _with_zeros(exact: EffectMoments, share: Float64[np.ndarray, "question 1"]) -> Values:
    """Give the standard deviation over all images, where a share of them changes anything and was sampled."""
    variance = np.where(exact.n > 1, exact.squares / np.maximum(exact.n - 1, 1), 0.0)
    whole = share * variance + share * (1 - share) * exact.mean**2
    return np.where((exact.n > 1) | (share == 0), np.sqrt(whole), np.nan)
