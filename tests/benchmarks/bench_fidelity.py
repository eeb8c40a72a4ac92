"""Is the causal model's answer to do() the network's? Every way to foresee it, on real networks.

ResNet-32 and LeNet-5 on CIFAR-10 of ../shared/data: equations fitted on training images, judged on lossless
test images by the change of the true class's logit under do(). Nothing here asserts.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from causal_widget.evaluation import Truth, by_equations, by_local, fidelity, truth_under
from causal_widget.evaluation.fidelity import Fidelity
from causal_widget.evaluation.foreseen import Foreseen
from causal_widget.evaluation.methods import METHODS, Bench
from causal_widget.graph import trace
from causal_widget.jobs import Progress
from causal_widget.responses import collect
from causal_widget.scm import fit
from tests.benchmarks.harness import ROOT

NETWORKS = ("cifar_resnet32", "cifar_lenet5")
DATA = ROOT.parent / "shared" / "data"
KINDS = ("single", "layer 5%", "layer 10%", "layer 15%", "network 5%", "network 10%", "network 15%")
IMAGES, MASKS, TRAIN = 48, 6, 1000
COAR = {"cifar_resnet32": ((250, 16), (1000, 16)), "cifar_lenet5": ((250, 64), (1000, 64), (2000, 64))}
# The ridge of the widest is fixed, for the folds of a grid's equations take minutes.
TRANSFORMS: dict[str, float | None] = {"frobenius": None, "mean": None, "grid": 1e-2}
ARMS = ("observational", "interventional", "both")
PAIR = ("true", "margin")
LOCAL: dict[str, dict[str, Any]] = {
    "local, 9 passes, no classes": {"fractions": (0.0, 0.1), "passes": (1, 8), "outcomes": PAIR},
    "local, 17 passes, no classes": {
        "fractions": (0.0, 0.02, 0.1),
        "passes": (1, 4, 12),
        "outcomes": PAIR,
    },
    "local, no classes": {"outcomes": PAIR},
    "local, 9 passes": {"fractions": (0.0, 0.1), "passes": (1, 8)},
    "local": {},
}


def shared() -> ModuleType | None:
    """The module that loads the real networks; None, having said so, where it is missing."""
    file = DATA / "models.py"
    if not file.is_file():
        print(f"skipped: no real networks, {file} is missing")
        return None
    spec = importlib.util.spec_from_file_location("shared_data_models", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images_of(networks: ModuleType, name: str, part: str, n: int | None) -> tuple[nn.Module, Tensor, Tensor]:
    """A network, and its first training or test images as it takes them."""
    model, mean, std = networks.load(name)
    files = {"train": "cifar10_train_lossless_8068.npz", "test": "cifar10_test_lossless_1017.npz"}
    found = np.load(DATA / files[part], allow_pickle=False)
    return (
        model,
        networks.normalise(found["images"][:n], mean, std),
        torch.as_tensor(found["labels"][:n]).long(),
    )


def batched(x: Tensor, y: Tensor, size: int = 100) -> list[tuple[Tensor, Tensor]]:
    """A loader."""
    return list(zip(x.split(size), y.split(size), strict=True))


def equations(model: nn.Module, train: list[tuple[Tensor, Tensor]], truth: Truth) -> Iterator[Foreseen]:
    """Every transform, and what its equations are fitted on."""
    for transform, ridge in TRANSFORMS.items():
        moments = collect(model, train, transform=transform, graph=truth.graph, intervene=0.10, seed=0)
        for data in ARMS:
            scm = fit(moments, "ridge", data=data, ridge=ridge)
            yield by_equations(scm, truth, f"ridge, {transform}, {data}")
        scm = fit(moments, "linear", data="both")
        yield by_equations(scm, truth, f"linear, {transform}, both")


def local(truth: Truth) -> Iterator[Foreseen]:
    """Coefficients local to each image, by passes; of true logit and margin alone, or of all classes."""
    for name, options in LOCAL.items():
        yield by_local(truth, method=name, **options)


def coar(truth: Truth, sizes: tuple[tuple[int, int], ...]) -> Iterator[Foreseen]:
    """COAR by the number of sets, on as many images as there is time for; at the end with the control."""
    for masks, images in sizes:
        bench = Bench(truth, None, masks * images, masks, 1, Progress())
        found = METHODS["COAR"](bench)
        if isinstance(found, Foreseen):
            yield Foreseen(f"COAR, {masks} sets", found.true, found.margin, found.forwards, found.note)
    masks, images = sizes[0]
    found = METHODS["COAR on local"](Bench(truth, None, masks * images, masks, 1, Progress()))
    if isinstance(found, Foreseen):
        yield Foreseen(f"COAR on local, {masks} sets", found.true, found.margin, found.forwards, found.note)


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do something and say how long it took, on the error stream."""
    began = time.perf_counter()
    answer = work()
    print(f"  {what}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return answer


def fidelity_of(networks: ModuleType, name: str) -> Fidelity:
    """Every way to foresee, on one network."""
    model, x, y = images_of(networks, name, "test", IMAGES)
    _, train_x, train_y = images_of(networks, name, "train", TRAIN)
    graph = trace(model, x[:1])
    truth = timed(
        "truth", lambda: truth_under(model, graph, (x, y), kinds=KINDS, images=IMAGES, n_masks=MASKS)
    )
    found = timed(
        "baselines",
        lambda: fidelity(None, model, [], truth=truth, methods=("no change", "weight norm", "gradient")),
    )
    for part, work in (
        ("equations", lambda: list(equations(model, batched(train_x, train_y), truth))),
        ("local", lambda: list(local(truth))),
        ("COAR", lambda: list(coar(truth, COAR[name]))),
    ):
        found = found.joined(*timed(part, work))
    if name == "cifar_lenet5":
        alone = fidelity(None, model, [], truth=truth, methods=("leave-one-out",), budget=10**6)
        found = Fidelity(truth, found.scores + alone.scores, found.skipped, found.notes)
    return found


def test_bench_fidelity() -> None:
    """Print the tables of both networks."""
    show(NETWORKS)


def show(names: tuple[str, ...]) -> None:
    """Print the tables of some networks."""
    networks = shared()
    if networks is None:
        return
    pd.set_option("display.width", 200)
    for name in names:
        found = fidelity_of(networks, name)
        print(f"\n{name}: {IMAGES} test images, {MASKS} sets a kind, equations of {TRAIN} training images")
        for what in ("pearson", "pearson_by_image", "r2", "margin_pearson", "accuracy_error", "foreseen"):
            print(f"\n{what}\n{found.compare(what).to_string(float_format='{:.3f}'.format)}", flush=True)


if __name__ == "__main__":
    show(tuple(sys.argv[1:]) or NETWORKS)
