"""The tables of Narendra et al. 2018 (arXiv:1811.04376), theirs beside ours.

ResNet-32 and LeNet-5 on CIFAR-10 of ../shared/data: equations fitted on training images, judged on lossless
test images. There are no weights of a VGG-19 on CIFAR-10 here, so its rows are theirs alone. The networks are
not theirs either: same architectures, trained by others. Nothing here asserts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pandas as pd
from torch import nn

from causal_widget.effects import evaluate
from causal_widget.evaluation import network_effects, predict_accuracy, predict_removal
from causal_widget.responses import Collection, collect
from causal_widget.scm import fit
from causal_widget.scm.error_table import error_table
from tests.benchmarks.bench_fidelity import batched, images_of, shared

NAMES = {"LeNet-5": "cifar_lenet5", "ResNet-32": "cifar_resnet32"}
TRAIN = {"LeNet-5": 4000, "ResNet-32": 1000}
REMOVED = {"LeNet-5": 200, "ResNet-32": 40}
BITS = {"ResNet-32": ("logistic",), "LeNet-5": ("logistic", "svm", "random_forest")}
ACCURACY = {"LeNet-5": (0.706, 0.830), "VGG-19": (0.91, 0.902), "ResNet-32": (0.924, 0.727)}
ERRORS = {
    ("ResNet-32", "linear"): (3.44, 307.3),
    ("ResNet-32", "ridge"): (3.43, 298.3),
    ("ResNet-32", "lasso"): (3.56, 296.4),
    ("LeNet-5", "linear"): (22.2, 375.9),
    ("LeNet-5", "ridge"): (22.1, 376.9),
    ("LeNet-5", "lasso"): (22.2, 381.9),
    ("VGG-19", "linear"): (0.361, 12.9),
    ("VGG-19", "ridge"): (0.365, 13.4),
    ("VGG-19", "lars"): (73.1, 2028.7),
}
BINARY = {"logistic": (0.926, 0.526), "svm": (0.848, 0.659), "random_forest": (0.987, 0.722)}
NONE = float("nan")


class Network:
    """A network with its images and moments."""

    def __init__(self, networks: ModuleType, name: str) -> None:
        self.name = name
        self.model: nn.Module
        self.model, x, y = images_of(networks, NAMES[name], "test", None)
        _, train_x, train_y = images_of(networks, NAMES[name], "train", TRAIN[name])
        self.train, self.test = batched(train_x, train_y), batched(x, y)

    def collected(self, transform: str, **options: Any) -> Collection:
        """Moments over the training images, with 10 % of a random layer silenced as in the paper."""
        return collect(self.model, self.train, transform=transform, intervene=0.10, seed=0, **options)


def table(title: str, rows: Sequence[dict[str, object]]) -> None:
    """Print a table."""
    print(f"\n{title}\n{pd.DataFrame(rows).to_string(index=False, float_format='{:.4g}'.format)}", flush=True)


def table_1(found: Sequence[Network]) -> None:
    """Accuracy of the networks."""
    ours = {one.name: evaluate(one.model, one.test).accuracy for one in found}
    rows = [
        {"model": name, "theirs": theirs, "ours": ours.get(name, NONE)}
        for name, (theirs, _) in ACCURACY.items()
    ]
    table("Table 1: accuracy of the networks (ours: 1,017 lossless test images)", rows)


def table_2(found: Sequence[Network]) -> None:
    """Accuracy of the equations of binary responses."""
    rows: list[dict[str, object]] = [
        {"model": "VGG-19", "estimator": name, "theirs average": a, "theirs least": b}
        for name, (a, b) in BINARY.items()
    ]
    for one in found:
        images = 1000
        part = collect(
            one.model,
            one.train,
            transform="binary",
            intervene=0.10,
            seed=0,
            raw=True,
            max_batches=images // 100,
        )
        rows += [
            {
                "model": one.name,
                "estimator": row["estimator"],
                "ours average": row["average_accuracy"],
                "ours least": row["least_accuracy"],
                "held out average": row["heldout_average_accuracy"],
                "held out least": row["heldout_least_accuracy"],
            }
            for row in error_table(part, BITS[one.name]).rows
        ]
    table("Table 2: accuracy of the equations, binary transform (ours: 1,000 training images)", rows)


def estimators(collection: Collection) -> list[Any]:
    """The paper's for each network; of LASSO the penalty is given, for the folds' paths take minutes."""
    sparse = [fit(collection, "lasso", alpha=0.01)]
    return ["linear", "ridge", *sparse]


def tables_3_to_5(found: Sequence[Network], moments: dict[str, Collection]) -> None:
    """Mean squared errors of the equations of Frobenius norms."""
    rows: list[dict[str, object]] = []
    ours = {
        (one.name, str(row["estimator"])): row
        for one in found
        for row in error_table(moments[one.name], estimators(moments[one.name])).rows
    }
    for key in dict.fromkeys([*ERRORS, *ours]):
        theirs, row = ERRORS.get(key, (NONE, NONE)), ours.get(key, {})
        rows.append(
            {
                "model": key[0],
                "estimator": key[1],
                "theirs average": theirs[0],
                "theirs largest": theirs[1],
                "ours average": row.get("average_mse", NONE),
                "ours largest": row.get("largest_mse", NONE),
                "held out average": row.get("heldout_average_mse", NONE),
                "held out largest": row.get("heldout_largest_mse", NONE),
                "relative": row.get("heldout_relative_mse", NONE),
            }
        )
    table("Tables 3 to 5: mean squared error of the equations, Frobenius norm", rows)


def table_6(found: Sequence[Network], moments: dict[str, dict[str, Collection]]) -> None:
    """Accuracy of the causal models, and how often they agree with the networks."""
    rows: list[dict[str, object]] = [
        {"model": name, "transform": "theirs", "network": network, "one step": theirs}
        for name, (network, theirs) in ACCURACY.items()
    ]
    for one in found:
        for transform, collection in moments[one.name].items():
            for data in ("observational", "both"):
                check = predict_accuracy(fit(collection, data=data), one.test).checks["images"]
                accuracy, agreement, middle = check.accuracy, check.agreement, len(check.depths) // 2
                assert accuracy is not None
                rows.append(
                    {
                        "model": one.name,
                        "transform": f"{transform}, {data}",
                        "network": check.network.accuracy,
                        "one step": accuracy[-1],
                        "agrees": agreement[-1],
                        "from the middle": agreement[middle],
                        "from the first layer": agreement[0],
                    }
                )
    table("Table 6: accuracy of the causal model; agreement with the network by depth (ridge)", rows)


def table_7(one: Network, collection: Collection, layers: int = 6) -> None:
    """Least and most important filters, by the equations, by local coefficients and by the network."""
    scm, test = fit(collection), one.test[:3]
    chosen = [layer.name for layer in scm.graph.hidden_conv_layers]
    chosen = chosen[:: max(1, len(chosen) // layers)]
    effects = network_effects(one.model, scm.graph, chosen, test, "accuracy")
    rows = []
    for layer in chosen:
        ranked = {
            "equations": scm.ranking(
                layer, "accuracy", test, answer="equations", effects={layer: effects[layer]}
            ),
            "equations, loss": scm.ranking(layer, "loss", test, answer="equations"),
        }
        order = effects[layer].argsort(kind="stable")
        row: dict[str, object] = {"layer": layer}
        for name, ranking in ranked.items():
            row[f"least ({name})"] = ", ".join(map(str, ranking.least(3)[layer]))
            row[f"most ({name})"] = ", ".join(map(str, ranking.most(3)[layer]))
        row["least (network)"] = ", ".join(map(str, order[:3]))
        row["most (network)"] = ", ".join(map(str, order[::-1][:3]))
        rows.append(row)
    table(f"Table 7: least and most important filters of {one.name}, by the drop in accuracy", rows)


def uses(one: Network, collection: Collection) -> None:
    """Accuracy after removal and on another data set, foreseen."""
    scm = fit(collection)
    removal = predict_removal(scm, one.test, images=REMOVED[one.name])
    print(f"\n{one.name}, filters removed from every convolution\n{removal}")
    noisy = [(x + 0.3 * x.std() * (x * 1e4).sin(), y) for x, y in one.test]
    dark = [(0.5 * x, y) for x, y in one.test]
    found = predict_accuracy(scm, {"test": one.test, "noisy": noisy, "half the contrast": dark})
    print(f"\n{one.name}, other images\n{found}", flush=True)


def test_reproduce_narendra() -> None:
    """Print the tables of both networks."""
    networks = shared()
    if networks is None:
        return
    pd.set_option("display.width", 220)
    began = time.perf_counter()
    found = [Network(networks, name) for name in NAMES]
    table_1(found)
    moments = {one.name: {t: one.collected(t) for t in ("frobenius", "mean")} for one in found}
    print(f"  moments: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    table_6(found, moments)
    for one in found:
        table_7(one, moments[one.name]["frobenius"])
        uses(one, moments[one.name]["mean"])
        print(f"  {one.name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    tables_3_to_5(found, {name: by["frobenius"] for name, by in moments.items()})
    table_2(found)
    print(f"  all: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    test_reproduce_narendra()
