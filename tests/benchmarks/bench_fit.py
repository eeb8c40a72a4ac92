"""`fit` from moments against scikit-learn's multi-output fit of the raw responses: VGG-19-BN, all units."""

from __future__ import annotations

import json
import statistics

import numpy as np
from sklearn.linear_model import LinearRegression

from causal_widget.responses import Collection, ResponseTable, collect
from causal_widget.scm import StructuralCausalModel, fit
from tests.benchmarks import harness

RUNS = 3
IMAGES = 2048
NETWORK = "VGG-19-BN, 32 x 32"


def measure() -> dict[str, float]:
    """Collect once, then fit in turn."""
    model, loader = harness.prepared(NETWORK, IMAGES, distinct=None)
    with ResponseTable() as table:
        collection = collect(model, loader, holdout=0, sinks=[table])
        raw = {name: np.array(table[name], dtype=np.float64) for name in table}
    ours = {name: [] for name in ("linear", "ridge")}
    scikit_seconds = []
    for _ in range(RUNS):
        for estimator, times in ours.items():
            times.append(harness.seconds(lambda estimator=estimator: fit(collection, estimator)))
        scikit_seconds.append(harness.seconds(lambda: scikit(collection, raw)))
    linear, ridge = (harness.medians(times)[0] for times in ours.values())
    theirs = harness.medians(scikit_seconds)[0]
    scm = fit(collection, "linear")
    worst, typical = difference(scm, scikit(collection, raw))
    return {
        "equations": sum(one.n_units for one in scm.equations.values()),
        "linear s": linear,
        "ridge s": ridge,
        "scikit-learn s": theirs,
        "times faster": theirs / linear,
        "largest difference": worst,
        "median difference": typical,
    }


def scikit(collection: Collection, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One multi-output regression a layer, on the live units."""
    found = {}
    for layer in collection.graph.layers:
        parents = [wiring.source for wiring in collection.graph.parents(layer.name)]
        if parents:
            x = np.concatenate([raw[source] for source in parents], axis=1)
            found[layer.name] = LinearRegression().fit(x, raw[layer.name]).coef_
    return found


def difference(scm: StructuralCausalModel, theirs: dict[str, np.ndarray]) -> tuple[float, float]:
    """Largest and median difference of coefficients, relative to the largest coefficient of the equation."""
    relative = []
    for name, expected in theirs.items():
        scale = np.abs(expected).max(axis=1, keepdims=True)
        found = np.abs(scm[name].coefficients - expected)
        relative.append((found / np.where(scale > 0, scale, 1)).ravel())
    together = np.concatenate(relative)
    return float(together.max()), float(statistics.median(together.tolist()))


def test_bench_fit() -> None:
    """Print the table."""
    harness.show(f"fit, {NETWORK}, {IMAGES} images, median of {RUNS}", [harness.apart("bench_fit")])


if __name__ == "__main__":
    print(json.dumps(measure()))
