"""`fit` from moments against scikit-learn's multi-output fits of the raw responses: VGG-19-BN, all units.

The ridge by cross-validation (20 penalties, 4 folds) is fitted for all equations by `fit`, and for one layer
of 512 units with 512 parents by `fit` and by a loop over folds and penalties with scikit-learn's `Ridge`.
"""

from __future__ import annotations

import json
import statistics

import numpy as np
from sklearn.linear_model import LinearRegression, Ridge

from causal_widget.responses import Collection, ResponseTable, collect
from causal_widget.scm import StructuralCausalModel, fit
from causal_widget.scm.evidence import Evidence
from causal_widget.scm.fit import LAMBDAS
from causal_widget.scm.layerwise import LinearFitter
from causal_widget.scm.solvers import CrossValidated
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
    ways = {
        "linear": lambda: fit(collection, "linear"),
        "ridge": lambda: fit(collection, ridge=0.01),
        "by folds": lambda: fit(collection),
        "scikit": lambda: scikit(collection, raw),
        "one layer": lambda: one_layer(collection),
        "scikit one layer": lambda: scikit_by_folds(collection, raw),
    }
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            runs[name].append(harness.seconds(way))
    took = {name: harness.medians(times)[0] for name, times in runs.items()}
    ours, loop = one_layer(collection), scikit_by_folds(collection, raw)
    scm = fit(collection, "linear")
    worst, typical = difference(scm, scikit(collection, raw))
    return {
        "equations": sum(one.n_units for one in scm.equations.values()),
        "linear s": took["linear"],
        "ridge s": took["ridge"],
        "scikit-learn linear s": took["scikit"],
        "times faster": took["scikit"] / took["linear"],
        "ridge by folds s": took["by folds"],
        "one layer by folds s": took["one layer"],
        "scikit-learn one layer s": took["scikit one layer"],
        "times faster by folds": took["scikit one layer"] / took["one layer"],
        "same penalty": float((ours == loop).mean()),
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


def one_layer(collection: Collection) -> np.ndarray:
    """The penalties of the last convolution, by `fit`'s own way."""
    layer = collection.graph.layers[-2].name
    solver = CrossValidated(LAMBDAS, "unit", lambda: None)
    return LinearFitter(Evidence(collection, "observational"), solver).layer(layer).penalty


def scikit_by_folds(collection: Collection, raw: dict[str, np.ndarray]) -> np.ndarray:
    """The same by one multi-output `Ridge` a fold and penalty, on parents in deviations."""
    parents, target = collection.graph.layers[-3].name, collection.graph.layers[-2].name
    x, y = raw[parents], raw[target]
    assert collection.source is not None
    fold = collection.source.split.fold(np.arange(len(x)))
    errors = np.zeros((len(LAMBDAS), y.shape[1]))
    for apart in (fold == i for i in range(collection.source.folds)):
        scale = x[~apart].std(axis=0)
        scale = np.where(scale > 0, scale, np.inf)
        for i, penalty in enumerate(LAMBDAS):
            model = Ridge(alpha=penalty * (~apart).sum()).fit(x[~apart] / scale, y[~apart])
            errors[i] += ((y[apart] - model.predict(x[apart] / scale)) ** 2).sum(axis=0)
    return LAMBDAS[errors.argmin(axis=0)]


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
