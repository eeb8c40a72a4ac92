"""Graphs of classes on MNIST LeNet-5: how long, how reliable, how faithful, and does blocking repair?

Graphs are found on training images of ../shared/data, masks and repairs are judged on test images. Processor
time of one thread. Nothing here asserts. Run alone: python -m tests.benchmarks.bench_class_graphs [part ...],
parts: time, reliability, masking, repair.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from causal_widget.evaluation import mask_classes, reliability, repair, repair_curve
from causal_widget.explanations.class_graphs import ClassGraphs, explain_classes
from tests.benchmarks.bench_fidelity import DATA, shared
from tests.benchmarks.harness import ROOT

MODES = ("paper", "sound")
EACH, ALONE = 500, 40
RUNS, BETAS, RELIABLE = 200, 50, 100
MASKED, SHARES, DRAWS = 5000, (0.1, 0.2, 0.3, 0.5), 10
BLOCKED = (0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Digits:
    """The network, and its images."""

    model: nn.Module
    found_on: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @staticmethod
    def of(networks: ModuleType) -> Digits:
        """Read them: so many training images of each digit, and all test images."""
        model, mean, std = networks.load("mnist_lenet5")
        kept = np.load(DATA / "mnist.npz", allow_pickle=False)
        labels = kept["train_labels"].astype(np.int64)
        rows = np.sort(np.concatenate([np.flatnonzero(labels == k)[:EACH] for k in range(10)]))
        train = networks.normalise(kept["train_images"][rows], mean, std)
        test = networks.normalise(kept["test_images"], mean, std)
        return Digits(
            model.eval(),
            (train, torch.as_tensor(labels[rows])),
            (test, torch.as_tensor(kept["test_labels"].astype(np.int64))),
        )


def alone(digits: Digits) -> float:
    """Seconds for a pair of unit and image where each is run by itself, with weights written to a copy."""
    written, images = copy.deepcopy(digits.model), digits.found_on[0][:ALONE]
    pairs, began = 0, time.process_time()
    # Units that each layer reads, and how many of its inputs one has.
    consumers = {
        "conv2": (6, 1),
        "fc1": (16, 25),
        "fc2": (120, 1),
        "fc3": (84, 1),
    }
    with torch.no_grad():
        for name, (units, width) in consumers.items():
            weight = written.get_submodule(name).weight
            # Of each layer in proportion to its units.
            for unit in range(0, units, 4):
                part = slice(unit * width, (unit + 1) * width)
                before = weight[:, part].clone()
                weight[:, part] = 0
                for image in images:
                    written(image[None])
                weight[:, part] = before
                pairs += len(images)
    return (time.process_time() - began) / pairs


def timed(digits: Digits) -> dict[str, ClassGraphs]:
    """Find the graphs of all ten digits, and say how long it takes."""
    graphs, seconds = {}, {}
    for mode in MODES:
        began = time.process_time()
        graphs[mode] = explain_classes(digits.model, digits.found_on, mode=mode)
        seconds[mode] = time.process_time() - began
    pair, units = alone(digits), sum(len(one.verdict) for one in graphs["paper"][0].layers)
    loop = pair * units * len(digits.found_on[0])
    table = pd.DataFrame(
        [
            {
                "mode": mode, "seconds": seconds[mode], "loop, seconds": loop, "times": loop / seconds[mode],
                "critical": sum(sum(map(len, g.units().values())) for g in graphs[mode].values()),
                "detrimental": sum(
                    sum(map(len, g.units("detrimental").values())) for g in graphs[mode].values()
                ),
            }
            for mode in MODES
        ]
    )  # fmt: skip
    print(f"\nGraphs of ten digits, {EACH} images each, {units} units (a pair by itself {pair * 1e6:.0f} us)")
    print(table.round(2).to_string(index=False), flush=True)
    return graphs


def reliable(digits: Digits) -> None:
    """Say how many units appear in at least 98 % of runs."""
    images, labels = digits.found_on
    for mode in MODES:
        began, parts, changed = time.process_time(), [], 0
        for k in range(10):
            found = reliability(
                digits.model, images[labels == k][:RELIABLE], k, runs=RUNS, betas=BETAS, mode=mode
            )
            changed += found.surprises
            for verdict in ("critical", "detrimental"):
                part = found.share(verdict=verdict)
                parts.append(part.assign(verdict=verdict, digit=k))
            if k == 3:
                save(f"reliability-{mode}", found.plot)
        table = pd.concat(parts)
        total = table.groupby(["verdict", "layer", "b"], sort=False)[["appearing", "always"]].sum()
        total["share"] = total["always"] / total["appearing"]
        print(
            f"\nReliability, {mode}: ten digits, {RELIABLE} images and {RUNS} runs each, {BETAS} betas; "
            f"units of those that ever appear that do so in at least 98 % of runs ({changed:,} surprises, "
            f"{time.process_time() - began:.0f} s)"
        )
        print(total["share"].unstack("b").round(3).to_string())
        print(total.xs("all", level="b").to_string(), flush=True)


def masked(digits: Digits, graphs: dict[str, ClassGraphs]) -> None:
    """Say what is left of a class's accuracy while what it stands on is masked."""
    test = digits.test[0][:MASKED], digits.test[1][:MASKED]
    for mode in MODES:
        began = time.process_time()
        found = mask_classes(digits.model, graphs[mode], test, shares=SHARES, draws=DRAWS)
        print(
            f"\nMasking, {mode}: mean of ten digits, share of the unmasked accuracy left, {MASKED:,} images"
        )
        mean = found.mean()
        print(mean.pivot(index=["layer", "share"], columns="rule", values="accuracy").round(3).to_string())
        at = found.gaps(0.2)
        for layer, gap in at.groupby("layer", sort=False)["gap"]:
            low, high = stats.t.interval(0.95, len(gap) - 1, gap.mean(), stats.sem(gap))
            own = mean[(mean["layer"] == layer) & (mean["share"] == 0.2) & (mean["rule"] == "critical")]
            print(
                f"  {layer}, 20 %: random minus critical {gap.mean():.3f} ({low:.3f} to {high:.3f}); "
                f"critical {own['accuracy'].item():.3f} ({own['low'].item():.3f} to {own['high'].item():.3f})"
            )
        print(at[at["layer"] == "all"].round(3).to_string(index=False))
        print(f"{time.process_time() - began:.0f} s", flush=True)
        save(f"masking-{mode}", found.plot)


def repaired(digits: Digits, graphs: dict[str, ClassGraphs]) -> None:
    """Say what blocking the paths that hurt a class does to it and to the others, on test images."""
    for mode in MODES:
        began = time.process_time()
        own = {k: g for k, g in graphs[mode].items() if g.units("detrimental")}
        found = repair_curve(digits.model, own, digits.test, shares=BLOCKED, found_on=digits.found_on)
        print(f"\nRepair, {mode}: {found!r}\n{found.mean().round(4).to_string(index=False)}")
        save(f"repair-{mode}", found.plot)
        for aim in ("class", "balanced"):
            rows = []
            for k, graph in own.items():
                fixed = repair(digits.model, graph, digits.test, shares=BLOCKED, aim=aim)
                if fixed.check is not None:
                    table = fixed.check.table(k)
                    rows += table[table["share"] == fixed.share].to_dict("records")
            table = pd.DataFrame(rows)
            print(f"  share chosen on one half for aim {aim!r}, judged on the other; shares "
                  f"{table[table['images'] == 'own']['share'].tolist()}")  # fmt: skip
            for images, part in table.groupby("images"):
                half = 1.96 * np.sqrt((part["se"] ** 2).sum()) / len(part)
                half = half if images == "own" else 1.96 * part["se"].mean()
                print(
                    f"    {images}: mean change {100 * part['change'].mean():+.2f} points "
                    f"(+- {100 * half:.2f}), {len(part)} classes"
                )
        print(f"{time.process_time() - began:.0f} s", flush=True)


def save(name: str, plot: Callable[[], object]) -> None:
    """Leave a figure in tests/artifacts."""
    folder = ROOT / "tests" / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    plot().savefig(folder / f"class-{name}.png", dpi=100)  # type: ignore[attr-defined]


def run(networks: ModuleType, parts: tuple[str, ...] = ("time", "reliability", "masking", "repair")) -> None:
    """Print the tables of some parts."""
    torch.set_num_threads(1)
    pd.set_option("display.width", 200)
    digits = Digits.of(networks)
    graphs = timed(digits)
    if "reliability" in parts:
        reliable(digits)
    if "masking" in parts:
        masked(digits, graphs)
    if "repair" in parts:
        repaired(digits, graphs)


def test_bench_class_graphs() -> None:
    """Print all tables."""
    networks = shared()
    if networks is not None:
        run(networks)


if __name__ == "__main__":
    loaded = shared()
    if loaded is not None:
        run(loaded, tuple(sys.argv[1:]) or ("time", "reliability", "masking", "repair"))
