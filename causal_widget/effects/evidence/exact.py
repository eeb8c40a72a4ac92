"""What an exact sweep measured of one group's questions: mergeable, without a table of all images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike, NDArray

from causal_widget.effects.evidence.plain import about, check_part, moments_arrays, moments_from, need
from causal_widget.effects.statistics import EffectMoments
from causal_widget.effects.statistics.checks import as_effects, check_population, check_whole
from causal_widget.effects.statistics.counters import in_selection, poisson_weights
from causal_widget.effects.statistics.estimate import Estimate
from causal_widget.effects.statistics.moments import column_sums
from causal_widget.errors import ArgumentError

__all__ = ["ExactEvidence"]

DRAWS = 200
PLAIN = ("changed", "sizes", "largest", "drawn", "weights")
PARTS = ("all", "selection", "estimation")


@dataclass(frozen=True, repr=False, eq=False)
class ExactEvidence:
    """Exact effects of one group's questions on every image.

    Attributes
    ----------
    selection, estimation : EffectMoments, questions (question, column)
        Of two random halves of the images: what is chosen on one is judged on the other.
    changed : array of int, shape (2, question)
        Images of each half in which anything changes; in the others the effect is zero for certain.
    sizes : array, shape (2, question, column)
        Sum of the absolute effects over each half.
    largest : array, shape (question, column)
        Largest absolute effect on an image.
    drawn : array, shape (draw, question, column)
        Sum of the effects over the images of each draw of the Poisson bootstrap.
    weights : array, shape (draw,)
        How many images each draw has.
    """

    selection: EffectMoments
    estimation: EffectMoments
    changed: Int64[np.ndarray, "2 question"]
    sizes: Float64[np.ndarray, "2 question column"]
    largest: Float64[np.ndarray, "question column"]
    drawn: Float64[np.ndarray, "draw question column"]
    weights: Float64[np.ndarray, " draw"]

    @staticmethod
    def empty(n_questions: int, n_columns: int, *, draws: int = DRAWS) -> ExactEvidence:
        """Give the evidence of no images; `draws` of the bootstrap, 0 for none."""
        shape, count = (n_questions, n_columns), check_whole(draws, "draws", 0)
        return ExactEvidence(
            EffectMoments.empty(shape), EffectMoments.empty(shape), np.zeros((2, n_questions), np.int64),
            np.zeros((2, *shape)), np.zeros(shape), np.zeros((count, *shape)), np.zeros(count),
        )  # fmt: skip

    def update(self, effects: ArrayLike, changed: ArrayLike, index: ArrayLike, seed: int) -> ExactEvidence:
        """Give the evidence with some images more.

        Parameters
        ----------
        effects : array, shape (image, question, column)
        changed : array of bool, shape (image, question)
            Whether the question's edit changes anything in the image.
        index : array of int, shape (image,)
            The images' numbers, each once.
        seed : int
            Of the halves and the draws; the same in every call.

        Raises
        ------
        ArgumentError
            If the shapes do not fit.
        NonFiniteError
            If an effect is NaN or infinite.
        """
        values, alive, numbers = as_effects(effects), np.asarray(changed), np.asarray(index)
        self._check(values, alive, numbers)
        first = in_selection(seed, numbers)
        weights = poisson_weights(seed, numbers, len(self.weights))
        drawn = np.tensordot(weights, values, axes=(0, 0))
        counts = np.stack([alive[first].sum(axis=0), alive[~first].sum(axis=0)])
        size = np.abs(values)
        sizes = np.stack([column_sums(size[first]), column_sums(size[~first])])
        return ExactEvidence(
            self.selection.update(values[first]), self.estimation.update(values[~first]),
            self.changed + counts, self.sizes + sizes,
            np.maximum(self.largest, size.max(axis=0, initial=0.0)),
            self.drawn + drawn, self.weights + weights.sum(axis=0),
        )  # fmt: skip

    def _check(
        self, values: Float64[np.ndarray, "..."], alive: NDArray[np.bool_], index: NDArray[np.int64]
    ) -> None:
        shape = (len(index), *self.selection.n.shape)
        if values.shape != shape or alive.shape != shape[:2] or alive.dtype != np.bool_:
            raise ArgumentError(
                f"effects must be {shape} (image, question, column) and changed bool {shape[:2]}, "
                f"got {values.shape} and {alive.dtype} {alive.shape}"
            )

    def merge(self, other: ExactEvidence) -> ExactEvidence:
        """Give the evidence of both parts' images, which must not overlap; neither changes.

        Raises
        ------
        ArgumentError
            If they are about other numbers of questions, or have other numbers of draws.
        """
        if self.drawn.shape != other.drawn.shape:
            raise ArgumentError(
                f"evidence of {self.drawn.shape} and {other.drawn.shape} (draws, questions, columns) "
                "cannot be merged"
            )
        return ExactEvidence(
            self.selection.merge(other.selection), self.estimation.merge(other.estimation),
            self.changed + other.changed, self.sizes + other.sizes,
            np.maximum(self.largest, other.largest),
            self.drawn + other.drawn, self.weights + other.weights,
        )  # fmt: skip

    @property
    def moments(self) -> EffectMoments:
        """Both halves together, questions (question, column)."""
        return self.selection.merge(self.estimation)

    @property
    def usual(self) -> Float64[np.ndarray, " column"]:
        """How large an effect is where there is one, of the question where it is largest; 0 without any."""
        return np.asarray(_jumps(self.moments, self.sizes.sum(axis=0)).max(axis=0, initial=0.0))

    def estimate(
        self,
        population: str | int | None = None,
        part: str = "all",
        *,
        level: float = 0.95,
        questions: int = 1,
        largest: ArrayLike | None = None,
        usual: ArrayLike | None = None,
    ) -> Estimate:
        """Say what is known of the mean effects.

        Where few images are changed, the standard error is known from these alone: the degrees of freedom
        are one fewer than the changed images, not than all. And it reckons with one image more, not seen,
        whose effect is as large as those seen are where there are any, ``b = sum(e**2) / sum(|e|)``: were
        there only those seen, a unit that turns no answer among a hundred would be known to turn none at all
        (for answers right or wrong, the image that Agresti and Min add: see `half_width_of_share`).

        Parameters
        ----------
        population : int or "given", optional
            Images that the mean is about: a number, or just those measured. None: all there might ever be.
        part : {"all", "selection", "estimation"}
            All images, or one of the halves.
        level, questions : float, int
            Of the intervals, so many of which hold together.
        largest : array, shape (column,), optional
            An effect on one image that may be thought of where none was seen. None: the largest of these
            questions.
        usual : array, shape (column,), optional
            How large an effect is to be thought of where none was seen. None: `usual`.

        Raises
        ------
        UnknownNameError
            If there is no such part.
        """
        moments, changed, sizes = self._part(part)
        alive = np.broadcast_to(changed[:, None], moments.n.shape)
        size = about(population, self.moments.n)
        df = np.minimum(moments.df, np.maximum(alive - 1.0, 1.0))
        frame = np.broadcast_to(check_population(size, moments.n), alive.shape)
        jump = _jumps(moments, sizes)
        one = np.where(jump > 0, jump, self.usual if usual is None else np.asarray(usual, np.float64))
        most = self.largest.max(axis=0, initial=0.0) if largest is None else np.asarray(largest, np.float64)
        return Estimate(
            moments.mean, moments.with_squares(one * one).se(size), moments.sd, df, moments.n, alive,
            moments.n, frame, level, questions, jump=np.where(jump > 0, jump, most),
        )  # fmt: skip

    def _part(
        self, part: str
    ) -> tuple[EffectMoments, Int64[np.ndarray, " question"], Float64[np.ndarray, "question column"]]:
        check_part(part, PARTS)
        if part == "all":
            return self.moments, self.changed.sum(axis=0), self.sizes.sum(axis=0)
        half = PARTS.index(part) - 1
        return (self.selection, self.estimation)[half], self.changed[half], self.sizes[half]

    def draws(self) -> Float64[np.ndarray, "draw question column"]:
        """Give the mean effects of every draw of the bootstrap that has images."""
        kept = self.weights > 0
        return np.asarray(self.drawn[kept] / self.weights[kept, None, None])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give everything as arrays by name; `from_arrays` makes the same evidence of them."""
        found: dict[str, NDArray[np.generic]] = {name: getattr(self, name) for name in PLAIN}
        for name in ("selection", "estimation"):
            found |= moments_arrays(name, getattr(self, name))
        return found

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> ExactEvidence:
        """Make the evidence of what `arrays` gave.

        Raises
        ------
        DataError
            If an array is missing.
        """
        return ExactEvidence(
            moments_from(arrays, "selection"), moments_from(arrays, "estimation"),
            *(need(arrays, name) for name in PLAIN),
        )  # fmt: skip

    def __repr__(self) -> str:
        n = int(self.moments.n.max(initial=0))
        return (
            f"ExactEvidence: {self.drawn.shape[1]:,} questions, {self.drawn.shape[2]} columns, {n:,} images"
        )


def _jumps(
    moments: EffectMoments, sizes: Float64[np.ndarray, "question column"]
) -> Float64[np.ndarray, "question column"]:
    """Give how large an effect is, weighed by its size: ``sum(e**2) / sum(|e|)``; 0 without any."""
    squares = moments.squares + moments.n * moments.mean**2
    return np.where(sizes > 0, squares / np.where(sizes > 0, sizes, 1.0), 0.0)
