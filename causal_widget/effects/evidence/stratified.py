"""What was measured where images with large effects are drawn more often: evidence stratum by stratum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import ArrayLike, NDArray

from causal_widget.effects.evidence.controlled import PARTS, ControlledEvidence
from causal_widget.effects.evidence.found import doubt_beyond
from causal_widget.effects.evidence.layers import Layers, merged, spread_over_images
from causal_widget.effects.evidence.plain import about, check_part
from causal_widget.effects.statistics import EffectMoments
from causal_widget.effects.statistics.anytime import Looks
from causal_widget.effects.statistics.asymptotic import FIRST, effective_images
from causal_widget.effects.statistics.checks import check_population
from causal_widget.effects.statistics.estimate import Estimate
from causal_widget.effects.statistics.unseen import size_of_one

__all__ = ["StratifiedEvidence", "at_least_measured"]

Values = Float64[np.ndarray, "question column"]


@dataclass(frozen=True, repr=False, eq=False)
class StratifiedEvidence:
    """Exact effects on some images of each stratum and cheap estimates on all, of one group's questions.

    Each stratum is a part of the images, of which the exact ones are a random sample. With W_h the share of
    the images that a stratum has, the mean is the sum of ``W_h mean_h``, and its variance that of
    ``W_h**2 se_h**2`` (Cochran 1977, section 5.3), without bias whatever share of each stratum is measured.
    All strata have one coefficient of the cheap estimate, from their pilots: a few images of each would not
    do for its own.

    Attributes
    ----------
    strata : tuple of ControlledEvidence
        Of images that they do not share.
    """

    strata: tuple[ControlledEvidence, ...]

    @staticmethod
    def of(
        cheap: Float64[np.ndarray, "image question column"],
        changed: Bool[np.ndarray, "image question"],
        stratum: Int64[np.ndarray, " image"],
        count: int,
    ) -> StratifiedEvidence:
        """Give the evidence of cheap estimates on all images, each in its stratum."""
        empty = ControlledEvidence.empty(*cheap.shape[1:])
        return StratifiedEvidence(
            tuple(empty.with_cheap(cheap[stratum == h], changed[stratum == h]) for h in range(count))
        )

    def with_exact(
        self,
        exact: Float64[np.ndarray, "image k column"],
        cheap: Float64[np.ndarray, "image k column"],
        changed: Bool[np.ndarray, "image k"],
        where: Bool[np.ndarray, " question"],
        stratum: Int64[np.ndarray, " image"],
        *,
        pilot: bool = False,
    ) -> StratifiedEvidence:
        """Give the evidence with exact effects on some images more; see `ControlledEvidence.with_exact`."""
        grown = list(self.strata)
        for h in np.unique(stratum).tolist():
            of = stratum == h
            grown[h] = grown[h].with_exact(exact[of], cheap[of], changed[of], where, pilot=pilot)
        return StratifiedEvidence(tuple(grown))

    @property
    def images(self) -> Int64[np.ndarray, " question"]:
        """Images given."""
        return np.asarray(sum(one.images for one in self.strata))

    @property
    def changed(self) -> Int64[np.ndarray, " question"]:
        """Images in which the question's edit changes anything."""
        return np.asarray(sum(one.changed for one in self.strata))

    @property
    def moments(self) -> EffectMoments:
        """Moments of the exact effects as they were drawn: more of the images with large ones."""
        return merged(one.moments for one in self.strata)

    @property
    def usual(self) -> Float64[np.ndarray, " column"]:
        """How large an effect is where there is one, of the question where it is largest; 0 without any."""
        carried = np.sum([one.carried.sum(axis=0) for one in self.strata], axis=0)
        return np.asarray(size_of_one(self.moments, carried).max(axis=0, initial=0.0))

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
        """Say what is known of the mean effects; parameters and errors as for `ControlledEvidence.estimate`.

        Degrees of freedom by Satterthwaite. Looked at again and again: with n images drawn, the errors of a
        stratum at two looks have the later one's variance as covariance, and so has their sum over strata
        whatever is drawn of each. So the error is, in the limit, a Brownian motion at time 1/V divided by
        this time, as it is for one sample of the variance V, and the same confidence sequence holds of it,
        with the spread ``sqrt(V t')`` at ``t' = n / (1 - n/N)`` draws.
        """
        check_part(part, PARTS)
        layers = Layers.of(self.strata, self.usual if usual is None else usual)
        found = layers.estimated(part, anytime)
        exact = layers.exact(part)
        given = np.repeat(self.images[:, None], exact.n.shape[2], axis=1)
        size, share = about(population, given), layers.changed / given
        sd, unseen = spread_over_images(exact, share), layers.unseen(part)
        whole = np.sqrt(sd**2 + unseen / np.maximum(exact.n.sum(axis=0) - 1, 1))
        outer = doubt_beyond(found.outer, whole, unseen, given, size)
        looks = None
        if anytime and part != "pilot":
            n, rest = layers.main.n.sum(axis=0), layers.rest.sum(axis=0)
            worth = np.where(n < rest, effective_images(n, rest), 0.0)
            with np.errstate(invalid="ignore"):
                spread = found.inner * np.sqrt(worth)
            spread = np.where(n < rest, np.where(n > 0, spread, np.inf), 0.0)
            looks = Looks.of(
                spread, n, rest, outer,
                alpha=(1 - level) / questions, tuned_at=tuned_at, first=first,
            )  # fmt: skip
        total = layers.changed.sum(axis=0)
        frame = np.where(check_population(size, given) <= given, total, np.inf)
        return Estimate(
            found.mean, np.sqrt(found.inner**2 + outer**2), sd, found.df, exact.n.sum(axis=0), total, given,
            frame, level, questions, looks,
        )  # fmt: skip

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give everything as arrays by name; `from_arrays` makes the same evidence of them."""
        return {
            f"{h}/{name}": array for h, one in enumerate(self.strata) for name, array in one.arrays().items()
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> StratifiedEvidence:
        """Make the evidence of what `arrays` gave.

        Raises
        ------
        DataError
            If an array is missing.
        """
        numbers = sorted({int(name.partition("/")[0]) for name in arrays})
        return StratifiedEvidence(tuple(_strata(arrays, numbers)))

    def at_least_measured(self) -> StratifiedEvidence:
        """Count as changed no fewer images than were measured so; see the function."""
        return StratifiedEvidence(tuple(at_least_measured(one) for one in self.strata))

    def __repr__(self) -> str:
        exact, images = self.moments.n, f"{self.images.max(initial=0):,} images"
        return (
            f"StratifiedEvidence: {len(self.images):,} questions, {exact.shape[1]} columns, {images} "
            f"in {len(self.strata)} strata, exact effects on {exact.min(initial=0):,} to "
            f"{exact.max(initial=0):,} of those it changes"
        )


def _strata(
    arrays: Mapping[str, NDArray[np.generic]], numbers: Sequence[int]
) -> Iterator[ControlledEvidence]:
    for h in numbers:
        own = {n.removeprefix(f"{h}/"): one for n, one in arrays.items() if n.startswith(f"{h}/")}
        yield ControlledEvidence.from_arrays(own)


def at_least_measured(evidence: ControlledEvidence) -> ControlledEvidence:
    """Count as changed no fewer images than were measured so.

    In another batch a map may differ by rounding, and with it, very rarely, whether anything changes.
    """
    cheap, exact = evidence.cheap, evidence.pilot.n + evidence.main.n
    if not (exact > cheap.n).any():
        return evidence
    return replace(evidence, cheap=EffectMoments(np.maximum(cheap.n, exact), cheap.mean, cheap.squares))
