"""How often is a unit without influence called critical or detrimental? At most as often as was asked for.

Three worlds in which nothing has an effect, on CIFAR's LeNet-5 and images of the manifest: labels permuted
among images (accuracy is chance under any intervention, so no unit changes it); the outcomes with and without
the intervention exchanged at random, image by image; and units added to the network whose outgoing weights
are zero, among its own units, judged by the plans that people run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from causal_widget.effects import plan_effects
from causal_widget.effects.evidence import ExactEvidence
from causal_widget.effects.statistics import verdicts
from causal_widget.graph import trace
from tests.benchmarks import harness, real
from tests.benchmarks.effects_table import FILE, OUTCOMES, Table, table

NETWORK = "cifar_lenet5"
FDR = 0.05
REPEATS = 400
SIZES = (100, 1000)
SMALL = (0.0, 0.001)  # least effects: none at all, and one that is soon found
WIDER = {"conv1": 2, "conv2": 8, "fc1": 30, "fc2": 30}
SEEDS = 10

Effects = Float64[np.ndarray, "image unit"]


def permuted(found: Table, rows: Int64[np.ndarray, " image"], generator: np.random.Generator) -> Effects:
    """Effects on correctness under labels of other images."""
    labels = generator.permutation(found.labels)[rows, None]
    after, before = found.after[rows] == labels, found.before[rows, None] == labels
    return np.asarray(after.astype(np.float64) - before)


def exchanged(column: int) -> Callable[[Table, Int64[np.ndarray, " image"], np.random.Generator], Effects]:
    """Effects with and without exchanged at random, the same images for all units."""

    def draw(found: Table, rows: Int64[np.ndarray, " image"], generator: np.random.Generator) -> Effects:
        signs = generator.choice([-1.0, 1.0], len(rows))
        return np.asarray(found.exact[rows, :, column] * signs[:, None])

    return draw


WORLDS: dict[str, tuple[Any, int]] = {
    "labels permuted, correct": (permuted, -1),
    "exchanged, loss": (exchanged(0), 1),
    "exchanged, correct": (exchanged(1), -1),
    "exchanged, margin": (exchanged(2), -1),
}


def rates(found: Table, world: str, n: int, least: float) -> dict[str, object]:
    """Share of draws in which anything is called critical or detrimental: everything so called is false."""
    (draw, worse), generator, false, judged = WORLDS[world], np.random.default_rng(n), 0, 0
    for _ in range(REPEATS):
        rows = generator.choice(len(found.labels), n, replace=False)
        effects = draw(found, rows, generator)[:, :, None]
        evidence = ExactEvidence.empty(effects.shape[1], 1, draws=0)
        evidence = evidence.update(effects, (effects != 0).any(axis=2), rows, 0)
        given = verdicts(evidence.estimate(None), worse=worse, min_effect=least, fdr=FDR).verdict
        called = int(np.isin(given, ("critical", "detrimental")).sum())
        false, judged = false + (called > 0), judged + called
    share = false / REPEATS
    return {
        "world": world,
        "images": n,
        "least effect": least,
        "false discovery rate": share,
        "+-": float(1.96 * np.sqrt(share * (1 - share) / REPEATS)),
        "called": judged,
    }


def widened(model: nn.Module) -> nn.Module:
    """Add units to every hidden layer: incoming weights of other units, permuted; outgoing weights zero."""
    net: Any = model
    generator = torch.Generator().manual_seed(0)
    area = net.fc1.in_features // net.conv2.out_channels
    layers = [net.conv1, net.conv2, net.fc1, net.fc2, net.fc3]
    for layer, reader, each in zip(layers, layers[1:], (1, area, 1, 1), strict=False):
        more = WIDER[next(name for name, one in net.named_modules() if one is layer)]
        likes = torch.randint(0, len(layer.weight), (more,), generator=generator)
        flat = layer.weight.data[likes].flatten(1)
        order = torch.rand(flat.shape, generator=generator).argsort(1)
        new = flat.gather(1, order).reshape(more, *layer.weight.shape[1:])
        layer.weight = nn.Parameter(torch.cat([layer.weight.data, new]))
        layer.bias = nn.Parameter(torch.cat([layer.bias.data, layer.bias.data[likes]]))
        zeros = reader.weight.new_zeros(len(reader.weight), more * each, *reader.weight.shape[2:])
        reader.weight = nn.Parameter(torch.cat([reader.weight.data, zeros], 1))
    return model


def added(ways: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, object]]:
    """Judge the wider network by plans, again and again on other images."""
    model, images, labels = real.network(NETWORK, FILE)
    own = {name: len(model.get_submodule(name).weight) for name in WIDER}  # type: ignore[arg-type]
    model = widened(model)
    graph = trace(model, images[:1])
    rows: list[dict[str, object]] = []
    for way, settings in ways:
        shares, calls, silent = [], 0, 0
        for seed in range(SEEDS):
            some = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:1000]
            given = _judged(model, graph, images[some], labels[some], settings, seed)
            called = given[given["verdict"].isin(["critical", "detrimental"])]
            false = called["unit"] >= called["layer"].map(own)
            shares.append(float(false.mean()) if len(called) else 0.0)
            calls, silent = calls + len(called), silent + int(false.sum())
        rows.append(
            {
                "way": way,
                "questions": len(given),
                "without influence": int((given["unit"] >= given["layer"].map(own)).sum()),
                "called in all": calls,
                "of these false": silent,
                "false discovery rate": float(np.mean(shares)),
            }
        )
    return rows


def _judged(
    model: nn.Module, graph: Any, images: Tensor, labels: Tensor, settings: dict[str, Any], seed: int
) -> Any:
    batches = list(zip(images.split(100), labels.split(100), strict=True))
    plan = plan_effects(model, batches, layers=list(WIDER), outcomes=OUTCOMES, graph=graph, **settings)
    return plan.run(seed=seed).table(fdr=FDR, min_effect=dict.fromkeys(OUTCOMES, SMALL[1]))


WAYS = (
    ("exact", {}),
    ("exact=200", {"exact": 200}),
    ("precision=0.01", {"precision": 0.01}),
)


def test_bench_false_discoveries() -> None:
    """Print the tables."""
    if not real.there():
        return
    found = harness.apart("bench_false_discoveries", threads=1)
    harness.show(f"nothing has an effect: share of draws with a discovery, nominal {FDR}", found["worlds"])
    harness.show(f"units added without influence, least effect {SMALL[1]}, nominal {FDR}", found["added"])


if __name__ == "__main__":
    effects = table(NETWORK)
    worlds = [rates(effects, world, n, least) for world in WORLDS for n in SIZES for least in SMALL]
    print(json.dumps({"worlds": worlds, "added": added(WAYS)}))
