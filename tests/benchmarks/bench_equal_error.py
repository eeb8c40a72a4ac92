"""The whole of ResNet-32 at equal standard error: estimates, early stopping and reuse against a naive loop.

Every filter's effect on the loss, about the manifest's 10,000 images N. The naive loop takes the same n
images for all filters, a whole pass each, and so knows each to ``sd sqrt(1/n - 1/N)``, sd the filter's own.
Two plans:

- "each": a filter stops when its own standard error is at most the loop's at n images. The rounds are those
  of an adaptive plan, only the rule to stop is replaced.
- "all": an adaptive plan as people run it: stops at a half-width that holds for all filters at all looks. The
  loop then needs as many images as the filter that varies most, for none to be known worse than by the plan.

Processor seconds on one thread, of all filters and all that a user waits for: planning, estimates, exact
effects, statistics. The naive loop is a whole pass with the filter set to zero and the losses of its
answers; one over a hundred images is timed again and again while the plan runs, so that a machine which is
busy now and then slows both. Filters whose effect is rounding alone are left out, as no number of images
settles them.

"times faster" is against a loop of the same n images for all filters; "filter by filter" against one that
takes for each filter the images with which it knows that filter as well as the plan did in the end.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from causal_widget.effects import adaptive, plan_effects
from causal_widget.effects.evidence import ControlledEvidence
from causal_widget.effects.outcomes import outcome
from causal_widget.graph import FilterGraph, trace, watch
from causal_widget.guard import guarded
from causal_widget.interventions import Intervention, Lever
from causal_widget.jobs import Progress
from tests.benchmarks import harness, real
from tests.benchmarks.effects_table import FILE

NETWORK = "cifar_resnet32"
CASES = (("each", 3000.0), ("each", 4000.0), ("all", 0.03))
BATCH = 100
NOTHING = 1e-5  # nats: below it losses of float32 are rounding, which has no precision to reach


class Clock(Progress):
    """Processor time at which each stage began, and what passes of a naive loop took then."""

    def __init__(self, price: Callable[[], float]) -> None:
        super().__init__()
        self.stages: list[tuple[str, float]] = []
        self.passes: list[float] = []
        self.pricing = 0.0
        self._price = price

    def start(self, total: int | None, unit: str = "images", message: str = "") -> None:
        began = time.process_time()
        self.passes.append(self._price())
        self.pricing += time.process_time() - began
        self.stages.append((message, time.process_time() - self.pricing))
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
    units = above_rounding(model, graph, images, labels)
    count = sum(len(one) for one in units.values())
    clock = Clock(lambda: loop_seconds(model, graph, images[:BATCH], labels[:BATCH]))
    rule = like_a_loop(aim, total) if way == "each" else nullcontext()
    began = time.process_time()
    plan = plan_effects(
        model, batches, units=units, outcomes="loss", precision=aim if way == "all" else 1.0, graph=graph
    )
    with rule:
        effects = plan.run(seed=0, progress=clock)
    ours = time.process_time() - began - clock.pricing
    se, sd, n = (np.concatenate(one) for one in zip(*_errors(effects.evidence), strict=True))
    alive = sd > NOTHING
    equal = 1 / ((se[alive] / sd[alive]) ** 2 + 1 / total)
    loop_images = aim if way == "each" else float(1 / ((se[alive].max() / sd[alive].max()) ** 2 + 1 / total))
    one = statistics.median(clock.passes)
    loop, worth = one * loop_images * count, float(equal.mean())
    return {
        "equal for": way,
        "aim": aim,
        "filters": count,
        "loop: images": loop_images,
        "ours: exact images": float(n.mean()),
        "median": float(np.median(n)),
        "most": int(n.max()),
        "worth images (mean)": worth,
        "ms a pass": 1000 * one,
        "estimates s": clock.estimates,
        "ours s": ours,
        "loop s": loop,
        "times faster": loop / ours,
        "filter by filter": one * worth * count / ours,
    }


def above_rounding(
    model: nn.Module, graph: FilterGraph, images: Tensor, labels: Tensor, some: int = 400
) -> dict[str, list[int]]:
    """Filters that change the losses of some images by more than rounding, to first order."""
    pieces = list(zip(images[:some].split(BATCH), labels[:some].split(BATCH), strict=True))
    effects = plan_effects(model, pieces, outcomes="loss", exact=2, graph=graph).run()
    found = {}
    for layer, one in effects.evidence.items():
        assert isinstance(one, ControlledEvidence)  # two exact images make no strata
        cheap = one.cheap
        mean_squares = cheap.squares / np.maximum(cheap.n, 1) + cheap.mean**2
        found[layer] = np.flatnonzero(mean_squares[:, 0] > NOTHING**2).tolist()
    return {layer: alive for layer, alive in found.items() if alive}


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


def loop_seconds(
    model: nn.Module, graph: FilterGraph, images: Tensor, labels: Tensor, tries: int = 3
) -> float:
    """Processor seconds of an image in a naive loop: a whole pass with a filter set to zero, and its loss."""
    layer, took = graph.hidden_conv_layers[3], []
    setting = Intervention({layer.name: [0]})
    lever, loss = Lever(graph, [setting]), outcome("loss")
    with guarded(model), watch(model, graph, lever.handlers):
        lever.pull(setting)
        for _ in range(tries):
            began = time.process_time()
            loss.values(model(images), labels).double().numpy()
            took.append(time.process_time() - began)
    return statistics.median(took) / len(images)


def test_bench_equal_error() -> None:
    """Print the table."""
    if real.there():
        rows = [harness.apart("bench_equal_error", way, str(aim), threads=1) for way, aim in CASES]
        harness.show("whole ResNet-32 at equal standard error, processor seconds on one thread", rows)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], float(sys.argv[2]))))
