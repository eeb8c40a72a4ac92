"""How stable and how faithful are attributions? Eq. (3) beside nine other methods, on real networks.

MNIST LeNet-5 and CIFAR-10 ResNet-20 of ../shared/data, test images that played no part in finding a class's
critical units. Nothing here asserts. Run alone: python -m tests.benchmarks.bench_attributions [network].
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from causal_widget.evaluation import ATTRIBUTION_METHODS, AttributionComparison, compare_attributions
from causal_widget.evaluation.attributions import Method, rise_with
from causal_widget.explanations import class_attribution
from causal_widget.explanations.class_graphs import explain_class
from causal_widget.graph import FilterGraph, trace
from causal_widget.jobs import Progress
from tests.benchmarks.bench_fidelity import DATA, shared
from tests.benchmarks.harness import ROOT

IMAGES, CLASSES = 100, 10


@dataclass(frozen=True)
class Setting:
    """What is run on one network."""

    train: tuple[str, str, str]
    test: tuple[str, str, str]
    layers: tuple[str, ...]
    finding: int
    runs: int
    masks: int


SETTINGS = {
    "mnist_lenet5": Setting(
        ("mnist.npz", "train_images", "train_labels"), ("mnist.npz", "test_images", "test_labels"),
        ("conv1", "conv2", "fc1"), 100, 10, 500,
    ),
    "cifar_resnet20": Setting(
        ("cifar10_train_lossless_8068.npz", "images", "labels"),
        ("cifar10_test_lossless_1017.npz", "images", "labels"),
        ("stage2.2.conv1", "stage3.2.conv1"), 30, 3, 100,
    ),
}  # fmt: skip


def pictures(source: tuple[str, str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Images (image, height, width, channel) of 0..255, and labels."""
    found = np.load(DATA / source[0], allow_pickle=False)
    images, labels = found[source[1]], found[source[2]].astype(np.int64)
    return images.reshape(*images.shape[:3], -1), labels


def ours(
    model: nn.Module, graph: FilterGraph, layers: tuple[str, ...], x: Tensor, y: np.ndarray
) -> dict[str, Method]:
    """Eq. (3) aggregated over each class's critical units (Algorithm 1, z-test): signed, and absolute."""
    began = time.process_time()
    graphs = {
        k: explain_class(model, x[torch.as_tensor(y == k)], k, mode="paper", graph=graph)
        for k in range(CLASSES)
    }
    print(f"  graphs of {CLASSES} classes: {time.process_time() - began:.0f} s of processor time", flush=True)
    found: dict[str, Method] = {}
    for layer in layers:
        units = [len(one.critical(layer)) for one in graphs.values()]
        print(f"  {layer}: critical units by class {units} of {graph.layer(layer).units}", flush=True)
        found[f"eq. (3), {layer}"] = class_attribution(layer, graphs, graph=graph)
        found[f"|eq. (3)|, {layer}"] = class_attribution(layer, graphs, absolute=True, graph=graph)
    return found


def compared(networks: ModuleType, name: str, n: int = IMAGES) -> tuple[AttributionComparison, np.ndarray]:
    """Every method on one network, and the images as a person sees them."""
    setting = SETTINGS[name]
    model, mean, std = networks.load(name)
    train, labels = pictures(setting.train)
    at = np.concatenate([np.flatnonzero(labels == k)[: setting.finding] for k in range(CLASSES)])
    test, targets = pictures(setting.test)
    x = networks.normalise(test[:n], mean, std)
    graph = trace(model, x[:1])
    found = ours(model, graph, setting.layers, networks.normalise(train[at], mean, std), labels[at])
    others = tuple(method for method in ATTRIBUTION_METHODS if method != "RISE")
    progress = Progress(
        lambda tick: print(f"  {tick.message} {tick.done}/{tick.total}", file=sys.stderr), interval=20
    )
    result = compare_attributions(
        model, x, targets[:n], {**found, "RISE": rise_with(setting.masks)}, methods=others, runs=setting.runs,
        progress=progress,
    )  # fmt: skip
    return replace(result, own=tuple(found)), test[:n] / 255


def show(networks: ModuleType, name: str) -> None:
    """Print the tables of one network, and leave its figures in tests/artifacts."""
    torch.set_num_threads(1)
    pd.set_option("display.width", 200)
    pd.set_option("display.max_columns", 30)
    began = time.process_time()
    result, images = compared(networks, name)
    print(f"\n{name}\n{result!r}")
    for measure in ("irof", "lipschitz"):
        scores = result.measured[measure]
        best = next(method for method in scores.methods if method.startswith(("eq.", "|eq.")))
        print(
            f"\n{measure}: the best of ours, paired\n{result.against(best, measure).to_string(index=False)}"
        )
    print(f"{time.process_time() - began:.0f} s of processor time, one thread", flush=True)
    folder = ROOT / "tests" / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    result.plot().savefig(folder / f"attributions-{name}.png", dpi=100)
    result.plot_removal().savefig(folder / f"removal-{name}.png", dpi=100)
    result.plot_maps(list(images)).savefig(folder / f"maps-{name}.png", dpi=100)


def test_bench_attributions() -> None:
    """Print the tables of both networks."""
    networks = shared()
    if networks is not None:
        for name in SETTINGS:
            show(networks, name)


if __name__ == "__main__":
    loaded = shared()
    for asked in sys.argv[1:] or SETTINGS if loaded is not None else ():
        show(loaded, asked)  # type: ignore[arg-type]
