"""Do 95 % intervals hold 95 % of the time? Over repeated subsamples, against all 10,000 images.

Each row draws images again and again, gives them to the evidence that plans keep, and counts how often the
interval holds the mean effect over all images. "exact": effects on the drawn images alone. "controlled": on
these and first-order estimates on all. "two-phase": estimates on 2,000 drawn images, exact on some of these.

The last two draw exact images as plans do with ``exact=n``: from enough images on by strata, those that are
expected to move much more often; the first half is the pilot, and each half serves the other. Units that are
active in fewer than one image in ten are counted apart.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from causal_widget.effects.evidence import ControlledEvidence, ExactEvidence, StratifiedEvidence
from causal_widget.effects.remembered import Remembered
from causal_widget.effects.statistics.estimate import Estimate
from causal_widget.effects.strata import Strata, allocation, interleaved
from tests.benchmarks import harness, real
from tests.benchmarks.effects_table import OUTCOMES, STEPS, Table, table

FRAME = 2000
SIZES = (100, 300, 1000)

Images = Int64[np.ndarray, " image"]
Evidence = ControlledEvidence | StratifiedEvidence


@dataclass(frozen=True, eq=False)
class Frame:
    """Images with first-order estimates, of which some are drawn for exact effects.

    Attributes
    ----------
    rows : array of int, shape (image,)
        Their rows in the table.
    known : Evidence
        What the estimates say.
    stratum : array of int, shape (image,)
        All 0 where there are too few exact images for strata.
    shares : array, shape (stratum,)
        Of the exact images.
    """

    rows: Images
    known: Evidence
    stratum: Images
    shares: Float64[np.ndarray, " stratum"]

    @staticmethod
    def of(found: Table, rows: Images, exact: int) -> Frame:
        """Put images in strata, as a plan does that measures so many of them exactly."""
        cheap, changed, index = found.cheap[rows], found.changed[rows], np.arange(len(rows))
        alone = {"values": {"": cheap.astype(np.float32)}, "changed": {"": changed}}
        remembered = Remembered(0, index, **alone, hardness=np.zeros(len(rows)))
        strata = Strata.of(remembered, len(rows), exact, index)
        if strata is None:
            plain = ControlledEvidence.empty(*cheap.shape[1:]).with_cheap(cheap, changed)
            return Frame(rows, plain, np.zeros_like(index), np.ones(1))
        known = StratifiedEvidence.of(cheap, changed, strata.stratum, strata.count)
        return Frame(rows, known, strata.stratum, allocation(remembered, strata.stratum))

    def drawn(self, found: Table, n: int, generator: np.random.Generator) -> Evidence:
        """Draw images and measure them exactly."""
        order = interleaved(generator.permutation(len(self.rows)), self.stratum, self.shares)
        every, known = np.ones(len(found.truth), bool), self.known
        for part, pilot in ((order[: n // 2], True), (order[n // 2 : n], False)):
            rows = self.rows[part]
            given = found.exact[rows], found.cheap[rows], found.changed[rows], every
            if isinstance(known, StratifiedEvidence):
                known = known.with_exact(*given, self.stratum[part], pilot=pilot)
            else:
                known = known.with_exact(*given, pilot=pilot)
        return known


def exact(found: Table, n: int, generator: np.random.Generator, every: Frame) -> Estimate:
    """Exact effects on the drawn images."""
    rows = generator.choice(len(found.exact), n, replace=False)
    evidence = ExactEvidence.empty(*found.truth.shape, draws=0)
    evidence = evidence.update(found.exact[rows], found.changed[rows], rows, 0)
    return evidence.estimate(len(found.exact))


def controlled(found: Table, n: int, generator: np.random.Generator, every: Frame) -> Estimate:
    """Exact effects on the drawn images, estimates on all."""
    return every.drawn(found, n, generator).estimate(len(found.exact))


def two_phase(found: Table, n: int, generator: np.random.Generator, every: Frame) -> Estimate:
    """Estimates on more images than the drawn ones, which are among them."""
    rows = generator.choice(len(found.exact), FRAME, replace=False)
    return Frame.of(found, rows, n).drawn(found, n, generator).estimate(len(found.exact))


WAYS: dict[str, tuple[Callable[[Table, int, np.random.Generator, Frame], Estimate], int]] = {
    "exact": (exact, 1000),
    "controlled": (controlled, 500),
    "two-phase": (two_phase, 100),
}


@dataclass(frozen=True, eq=False)
class Held:
    """Of the draws, (unit, outcome): how many intervals hold the truth or are infinite, and their widths.

    Attributes
    ----------
    share, infinite : array, shape (unit, outcome)
        An infinite interval holds the truth, and says nothing.
    width : array, shape (unit, outcome)
        Mean half-width of those that are not; NaN without any.
    """

    share: NDArray[np.float64]
    infinite: NDArray[np.float64]
    width: NDArray[np.float64]

    def take(self, units: Bool[np.ndarray, " unit"]) -> Held:
        """Give some units."""
        return Held(self.share[units], self.infinite[units], self.width[units])


def held(found: Table, way: str, n: int, every: Frame) -> Held:
    """Draw again and again, and compare with the truth."""
    generator, truth, (judge, repeats) = np.random.default_rng(n), found.truth, WAYS[way]
    inside, known, width = np.zeros(truth.shape), np.zeros(truth.shape), np.zeros(truth.shape)
    for _ in range(repeats):
        estimate = judge(found, n, generator, every)
        low, high = estimate.low, estimate.high
        finite = np.isfinite(high - low)
        inside += (low - 1e-12 <= truth) & (truth <= high + 1e-12)
        known += finite
        width += np.where(finite, (high - low) / 2, 0.0)
    mean = np.where(known > 0, width / np.maximum(known, 1), np.nan)
    return Held(inside / repeats, 1 - known / repeats, mean)


def rows_of(name: str) -> list[dict[str, object]]:
    """Coverage for one network."""
    found = table(name)
    active = found.changed.any(axis=0)
    kinds: dict[str, Bool[np.ndarray, " unit"]] = {"usual": active & ~found.rare, "rare": active & found.rare}
    frames = {n: Frame.of(found, np.arange(len(found.exact)), n) for n in SIZES}
    rows = []
    for way in WAYS:
        for n in SIZES:
            seen = held(found, way, n, frames[n])
            for kind, mask in kinds.items():
                if mask.any():
                    rows.append(_row((name, way, n, kind), seen.take(mask)))
    return rows


def _row(what: tuple[str, str, int, str], seen: Held) -> dict[str, object]:
    name, way, n, kind = what
    units = f"{len(seen.share)} {kind}"
    row: dict[str, object] = {"network": name, "way": way, "exact images": n, "units": units}
    for column, outcome in enumerate(OUTCOMES):
        row[outcome] = float(seen.share[:, column].mean())
        row[f"least {outcome}"] = float(seen.share[:, column].min())
    row["infinite (loss)"] = float(seen.infinite[:, 0].mean())
    return row | {"median half-width (loss)": float(np.nanmedian(seen.width[:, 0]))}


def test_bench_coverage() -> None:
    """Print the table."""
    if real.there():
        rows = [row for name in STEPS for row in harness.apart("bench_coverage", name, threads=1)]
        harness.show("share of 95 % intervals that hold the mean over 10,000 images", rows)


if __name__ == "__main__":
    print(json.dumps(rows_of(sys.argv[1])))
