"""The whole of ResNet-32 at equal standard error: estimates, early stopping and reuse against a naive loop.

Every filter's effect on the loss, about the manifest's 10,000 images N. The naive loop takes the same n
images for all filters, a whole pass each, and so knows each to ``sd sqrt(1/n - 1/N)``, sd the filter's own.
Two plans:

- "each": a filter stops when its own standard error is at most the loop's at n images. The rounds are those
  of an adaptive plan, only the rule to stop is replaced.
- "all": an adaptive plan as people run it: stops at a half-width that holds for all filters at all looks. The
  loop then needs as many images as the filter that varies most, for none to be known worse than by the plan.

Every 8th filter is measured exactly. Processor seconds on one thread: those of planning and of the estimates
are measured for all filters, those of exact effects times 8, but for what these filters share, counted once:
a pass for each image that any of them takes. Nothing of the naive loop is counted but its
passes, timed before and after.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from causal_widget.effects import adaptive, plan_effects
from causal_widget.graph import FilterGraph, trace, watch
from causal_widget.guard import guarded
from causal_widget.interventions import Intervention, Lever
from causal_widget.jobs import Progress
from tests.benchmarks import harness, real
from tests.benchmarks.effects_table import FILE

NETWORK = "cifar_resnet32"
CASES = (("each", 3000.0), ("all", 0.03))
STEP, BATCH, SOME = 8, 100, 300
NOTHING = 1e-9  # nats: an effect that is rounding alone has no precision to reach


class Clock(Progress):
    """Processor time at which each stage began."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[tuple[str, float]] = []

    def start(self, total: int | None, unit: str = "images", message: str = "") -> None:
        self.stages.append((message, time.process_time()))
        super().start(total, unit, message)

    @property
    def estimates(self) -> float:
        """Seconds of the first-order estimates on all images."""
        names = [name for name, _ in self.stages]
        first = names.index("first-order estimates")
        return self.stages[first + 1][1] - self.stages[first][1]


def measure(way: str, aim: float) -> dict[str, object]:
    """Run a plan, and price the loop."""
    torch.set_num_threads(1)
    model, images, labels = real.network(NETWORK, FILE)
    graph, total = trace(model, images[:1]), len(images)
    batches = list(zip(images.split(BATCH), labels.split(BATCH), strict=True))
    every = [(layer.name, unit) for layer in graph.hidden_conv_layers for unit in range(layer.units)]
    some: dict[str, list[int]] = {}
    for layer, unit in every[5::STEP]:
        some.setdefault(layer, []).append(unit)
    passes = [loop_seconds(model, graph, images[:BATCH])]
    fixed = shared_seconds(model, graph, batches[: SOME // BATCH], total)
    clock, rule = Clock(), like_a_loop(aim, total) if way == "each" else nullcontext()
    plan = plan_effects(
        model, batches, units=some, outcomes="loss", precision=aim if way == "all" else 1.0, graph=graph
    )
    with rule:
        began = time.process_time()
        effects = plan.run(seed=0, progress=clock)
        exact = time.process_time() - began - clock.estimates
    passes.append(loop_seconds(model, graph, images[:BATCH]))
    se, sd, n = (np.concatenate(one) for one in zip(*_errors(effects.evidence), strict=True))
    alive = sd > NOTHING
    equal = 1 / ((se[alive] / sd[alive]) ** 2 + 1 / total)
    loop_images = aim if way == "each" else float(1 / ((se[alive].max() / sd[alive].max()) ** 2 + 1 / total))
    one = statistics.mean(passes)
    shared = float(n.max()) * one
    exact = shared + STEP * max(exact - shared, 0.0)
    ours, loop = fixed + exact, one * loop_images * len(every)
    return {
        "equal for": way,
        "aim": aim,
        "filters": f"{len(se)} of {len(every)}",
        "loop: images": loop_images,
        "ours: exact images": float(n.mean()),
        "most": int(n.max()),
        "worth images (mean)": float(equal.mean()),
        "ms a pass": 1000 * one,
        "estimates s": fixed,
        "exact s": exact,
        "loop s": loop,
        "times faster": loop / ours,
    }


def like_a_loop(n: float, total: int) -> Any:
    """Stop a filter at the standard error that a loop over n of the images would give it."""

    def still_open(work: Any, evidence: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for layer, one in evidence.items():
            known = one.estimate("given")
            target = known.sd[:, 0] * np.sqrt(1 / n - 1 / total)
            settled = (known.se[:, 0] <= target) | (known.sd[:, 0] < NOTHING)
            found[layer] = before[layer] & ~settled
        return found

    return patch.object(adaptive, "still_open", still_open)


def _errors(evidence: Mapping[str, Any]) -> list[tuple[Float64[np.ndarray, " question"], ...]]:
    """Standard errors, standard deviations over images, and exact images, of each layer's filters."""
    known = [one.estimate("given") for one in evidence.values()]
    return [(one.se[:, 0], one.sd[:, 0], one.n[:, 0].astype(np.float64)) for one in known]


def shared_seconds(model: nn.Module, graph: FilterGraph, batches: list[Any], total: int) -> float:
    """Seconds of planning for all filters, and of all filters' estimates on all images, from some."""
    clock, began = Clock(), time.process_time()
    plan = plan_effects(model, batches, outcomes="loss", exact=2, graph=graph)
    planning = time.process_time() - began
    plan.run(progress=clock)
    return planning + clock.estimates * total / (BATCH * len(batches))


def loop_seconds(model: nn.Module, graph: FilterGraph, images: Tensor, tries: int = 5) -> float:
    """Processor seconds of a whole forward pass over one image with a filter set to zero."""
    layer, took = graph.hidden_conv_layers[3], []
    setting = Intervention({layer.name: [0]})
    lever = Lever(graph, [setting])
    with guarded(model), watch(model, graph, lever.handlers):
        lever.pull(setting)
        for _ in range(tries):
            began = time.process_time()
            model(images)
            took.append(time.process_time() - began)
    return statistics.median(took) / len(images)


def test_bench_equal_error() -> None:
    """Print the table."""
    if real.there():
        rows = [harness.apart("bench_equal_error", way, str(aim), threads=1) for way, aim in CASES]
        harness.show("whole ResNet-32 at equal standard error, processor seconds on one thread", rows)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], float(sys.argv[2]))))
