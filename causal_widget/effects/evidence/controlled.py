"""What was measured where exact effects are on some images, and a cheap estimate is on all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike, NDArray

from causal_widget.effects.evidence.found import (
    Counts,
    Found,
    Values,
    doubt_beyond,
    spread_of_one_more,
    spread_with_zeros,
    with_questions,
)
from causal_widget.effects.evidence.plain import about, check_part, moments_arrays, moments_from, need
from causal_widget.effects.statistics import (
    EffectMoments,
    PairMoments,
    controlled,
    controlled_both_ways,
)
from causal_widget.effects.statistics.anytime import Looks
from causal_widget.effects.statistics.asymptotic import FIRST
from causal_widget.effects.statistics.checks import check_population
from causal_widget.effects.statistics.estimate import Estimate
from causal_widget.effects.statistics.masked import moments_where, pairs_where
from causal_widget.effects.statistics.moments import chosen_questions, spread_of_mean
from causal_widget.effects.statistics.unseen import size_of_one, unseen_squares

__all__ = ["ControlledEvidence"]

PARTS = ("all", "pilot", "main")


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
    carried : array of int, shape (2, question, column)
        In how many images of each part the exact effect is not zero.
    """

    pilot: PairMoments
    main: PairMoments
    cheap: EffectMoments
    images: Int64[np.ndarray, " question"]
    carried: Int64[np.ndarray, "2 question column"]

    @staticmethod
    def empty(n_questions: int, n_columns: int) -> ControlledEvidence:
        """Give the evidence of no images."""
        shape = n_questions, n_columns
        pairs, images = PairMoments.empty(shape), np.zeros(n_questions, np.int64)
        return ControlledEvidence(pairs, pairs, pairs.cheap, images, np.zeros((2, *shape), np.int64))

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
        grown = with_questions(part, chosen, part.take(chosen).merge(pairs_where(exact, cheap, changed)))
        carried = self.carried.copy()
        there = (np.asarray(exact) != 0) & np.asarray(changed)[..., None]
        carried[0 if pilot else 1, chosen] += np.count_nonzero(there, axis=0)
        if pilot:
            return replace(self, pilot=grown, carried=carried)
        return replace(self, main=grown, carried=carried)

    def merge(self, other: ControlledEvidence) -> ControlledEvidence:
        """Give the evidence of both parts' images, which must not overlap."""
        return ControlledEvidence(
            self.pilot.merge(other.pilot), self.main.merge(other.main), self.cheap.merge(other.cheap),
            self.images + other.images, self.carried + other.carried,
        )  # fmt: skip

    @property
    def changed(self) -> Int64[np.ndarray, " question"]:
        """Images in which the question's edit changes anything."""
        return np.asarray(self.cheap.n[:, 0])

    @property
    def moments(self) -> EffectMoments:
        """Moments of the exact effects over the images that have one and in which anything changes."""
        return self.pilot.exact.merge(self.main.exact)

    @property
    def usual(self) -> Float64[np.ndarray, " column"]:
        """How large an effect is where there is one, of the question where it is largest; 0 without any."""
        return np.asarray(size_of_one(self.moments, self.carried.sum(axis=0)).max(axis=0, initial=0.0))

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
        usual: ArrayLike | None = None,
    ) -> Estimate:
        """Say what is known of the mean effects.

        With a number of images fixed before, each part is the other's pilot (`controlled_both_ways`); where
        one looks again and again, only the pilot gives the coefficient (`controlled_looks`). Standard errors
        reckon with what images not seen might add (`unseen_squares`).

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
        usual : array, shape (column,), optional
            How large an effect is to be thought of where none was seen. None: `usual`.

        Raises
        ------
        UnknownNameError
            If there is no such part.
        """
        check_part(part, PARTS)
        given = self._given
        size = about(population, given)
        unseen = self._unseen(part, anytime, self.usual if usual is None else usual)
        if part == "pilot":
            found = Found.by_regression(self.pilot, self.cheap, unseen)
        else:
            found = self._main(part, anytime, unseen)
        share = self.changed[:, None] / np.maximum(self.images, 1)[:, None]
        exact = self.pilot.exact if part == "pilot" else self.main.exact if part == "main" else self.moments
        sd = spread_with_zeros(exact, share)
        whole = spread_with_zeros(exact.with_squares(unseen), share)
        outer = doubt_beyond(share * found.outer, whole, unseen, given, size)
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

    def _unseen(self, part: str, anytime: bool, usual: ArrayLike) -> Values:
        """Give what images not seen might add, by those whose residuals are looked at."""
        if part == "pilot":
            return unseen_squares(self.pilot.exact, self.carried[0], usual)
        if part == "main" or anytime:
            return unseen_squares(self.main.exact, self.carried[1], usual)
        return unseen_squares(self.moments, self.carried.sum(axis=0), usual)

    def _main(self, part: str, anytime: bool, unseen: Values) -> Found:
        total, rest = self.cheap.n, self.cheap.n - self.pilot.n
        if part == "all" and not anytime:
            both = controlled_both_ways(self.pilot, self.main, self.cheap, population=total, unseen=unseen)
            return Found.of(both, np.zeros(total.shape), rest)
        found = controlled(self.pilot, self.main, self.cheap, population=total, unseen=unseen)
        residual = self.main.residual(found.coefficient)
        spread = spread_of_one_more(residual, unseen, rest)
        if part == "all":
            return Found.of(found, rest / np.maximum(total, 1) * spread, rest)
        mean_rest = (total * self.cheap.mean - self.pilot.n * self.pilot.cheap.mean) / np.maximum(rest, 1)
        # The images that are not the pilot's are a sample of all given.
        inner = residual.with_squares(unseen).se(rest)
        outer = spread_of_mean(self.main.exact.with_squares(unseen).sd, rest, total)
        return Found(
            found.coefficient * mean_rest + residual.mean, np.where(np.isnan(inner), np.inf, inner),
            np.where(np.isnan(outer), np.inf, outer), residual.df, spread, rest,
        )  # fmt: skip

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give everything as arrays by name; `from_arrays` makes the same evidence of them."""
        found: dict[str, NDArray[np.generic]] = {"images": self.images, "carried": self.carried}
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
        cheap = moments_from(arrays, "cheap")
        return ControlledEvidence(pilot, main, cheap, need(arrays, "images"), need(arrays, "carried"))

    def __repr__(self) -> str:
        exact = self.moments.n
        span = f"{exact.min(initial=0):,} to {exact.max(initial=0):,}"
        return (
            f"ControlledEvidence: {len(self.images):,} questions, {exact.shape[1]} columns, "
            f"{self.images.max(initial=0):,} images, exact effects on {span} of those it changes"
        )
