"""Do 95 % intervals hold 95 % of the time? Over repeated subsamples, against all 10,000 images.

Each row draws images again and again, gives them to the evidence that plans keep, and counts how often the
interval holds the mean effect over all images. "exact": effects on the drawn images alone. "controlled": on
these and first-order estimates on all. "two-phase": estimates on 2,000 drawn images, exact on some of these.
Units that are active in fewer than one image in ten are counted apart.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from causal_widget.effects.evidence import ControlledEvidence, ExactEvidence
from causal_widget.effects.statistics.estimate import Estimate
from tests.benchmarks import harness, real
from tests.benchmarks.effects_table import OUTCOMES, STEPS, Table, table

FRAME = 2000
SIZES = (100, 300, 1000)

Rows = Int64[np.ndarray, " image"]


def exact(found: Table, rows: Rows, known: ControlledEvidence) -> Estimate:
    """Exact effects on the drawn images."""
    empty = ExactEvidence.empty(*found.truth.shape, draws=0)
    evidence = empty.update(found.exact[rows], found.changed[rows], rows, 0)
    return evidence.estimate(len(found.exact))


def controlled(found: Table, rows: Rows, known: ControlledEvidence) -> Estimate:
    """Exact effects on the drawn images, estimates on all."""
    every, half = np.ones(len(found.truth), bool), len(rows) // 2
    for part, pilot in ((rows[:half], True), (rows[half:], False)):
        known = known.with_exact(
            found.exact[part], found.cheap[part], found.changed[part], every, pilot=pilot
        )
    return known.estimate(len(found.exact))


def two_phase(found: Table, rows: Rows, known: ControlledEvidence) -> Estimate:
    """Estimates on more images than the drawn ones, which are among them."""
    others = np.setdiff1d(np.arange(len(found.exact)), rows)
    more = np.random.default_rng(int(rows.sum())).choice(others, FRAME - len(rows), replace=False)
    return controlled(found, rows, estimated(found, np.concatenate([rows, more])))


def estimated(found: Table, rows: Rows) -> ControlledEvidence:
    """Evidence of the first-order estimates on some images."""
    return ControlledEvidence.empty(*found.truth.shape).with_cheap(found.cheap[rows], found.changed[rows])


WAYS: dict[str, tuple[Callable[[Table, Rows, ControlledEvidence], Estimate], int]] = {
    "exact": (exact, 1000),
    "controlled": (controlled, 500),
    "two-phase": (two_phase, 100),
}


def held(
    found: Table, way: str, n: int, known: ControlledEvidence
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the draws whose interval holds the truth, and mean half-width, both (unit, outcome)."""
    generator, truth, (judge, repeats) = np.random.default_rng(n), found.truth, WAYS[way]
    inside, width = np.zeros(truth.shape), np.zeros(truth.shape)
    for _ in range(repeats):
        rows = generator.choice(len(found.exact), n, replace=False)
        estimate = judge(found, rows, known)
        low, high = estimate.low, estimate.high
        inside += (low - 1e-12 <= truth) & (truth <= high + 1e-12)
        width += (high - low) / 2
    return inside / repeats, width / repeats


def rows_of(name: str) -> list[dict[str, object]]:
    """Coverage for one network."""
    found = table(name)
    active = found.changed.any(axis=0)
    kinds: dict[str, Bool[np.ndarray, " unit"]] = {"usual": active & ~found.rare, "rare": active & found.rare}
    known, rows = estimated(found, np.arange(len(found.exact))), []
    for way in WAYS:
        for n in SIZES:
            share, width = held(found, way, n, known)
            for kind, mask in kinds.items():
                if mask.any():
                    rows.append(_row((name, way, n, kind), share[mask], width[mask]))
    return rows


def _row(
    what: tuple[str, str, int, str], share: NDArray[np.float64], width: NDArray[np.float64]
) -> dict[str, object]:
    name, way, n, kind = what
    row: dict[str, object] = {"network": name, "way": way, "exact images": n, "units": f"{len(share)} {kind}"}
    for column, outcome in enumerate(OUTCOMES):
        row[outcome] = float(share[:, column].mean())
        row[f"least {outcome}"] = float(share[:, column].min())
    return row | {"median half-width (loss)": float(np.median(width[:, 0]))}


def test_bench_coverage() -> None:
    """Print the table."""
    if real.there():
        rows = [row for name in STEPS for row in harness.apart("bench_coverage", name, threads=1)]
        harness.show("share of 95 % intervals that hold the mean over 10,000 images", rows)


if __name__ == "__main__":
    print(json.dumps(rows_of(sys.argv[1])))
