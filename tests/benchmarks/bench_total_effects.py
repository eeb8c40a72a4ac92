"""All single-unit silencings of a VGG-19-BN at once, against a loop over its filters.

The equations are fitted on random responses and the responses judged are drawn at random: the arithmetic does
not depend on them.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import torch

from causal_widget.graph import trace
from causal_widget.interventions import Intervention
from causal_widget.responses import Evaluation, ResponseSet
from causal_widget.scm import StructuralCausalModel, fit
from causal_widget.scm.forced import forced
from causal_widget.scm.propagate import propagate
from tests.benchmarks import harness
from tests.scm import oracle

RUNS = 3
IMAGES = 10_000
LOOPED = 4


def measure() -> dict[str, float]:
    """Total effects and losses of every filter in closed form, then some filters one by one."""
    scm, responses = prepared()
    times = []
    for _ in range(RUNS):
        scm.remembered.clear()
        times.append(harness.seconds(lambda: (scm.total_effects(), scm.silencing_losses(responses))))
    ours, processor = harness.medians(times)
    found = scm.silencing_losses(responses)
    filters = [(layer.name, unit) for layer in scm.graph.conv_layers for unit in range(layer.units)]
    some = [filters[i] for i in np.linspace(0, len(filters) - 1, LOOPED).astype(int)]
    began = time.perf_counter()
    each = [one_by_one(scm, responses, layer, unit) for layer, unit in some]
    loop = (time.perf_counter() - began) / LOOPED * len(filters)
    began = time.perf_counter()
    for layer, unit in some:
        scm.do({layer: [unit]}).predict(responses).loss  # noqa: B018
    closed_loop = (time.perf_counter() - began) / LOOPED * len(filters)
    difference = max(
        max(abs(loss - found.loss[layer][unit]), abs(accuracy - found.accuracy[layer][unit]))
        for (layer, unit), (loss, accuracy) in zip(some, each, strict=True)
    )
    return {
        "filters": len(filters),
        "images": IMAGES,
        "closed form s": ours,
        "processor s": processor,
        f"loop s (from {LOOPED} filters)": loop,
        "times faster": loop / ours,
        "loop over do() s": closed_loop,
        "times faster than do()": closed_loop / ours,
        "largest difference": difference,
    }


def prepared() -> tuple[StructuralCausalModel, ResponseSet]:
    """Equations of every layer, and responses of the images they are judged on."""
    torch.manual_seed(0)
    graph = trace(harness.vgg19_bn().eval(), torch.zeros(1, 3, 32, 32))
    rng = np.random.default_rng(0)
    few = {layer.name: rng.gamma(2, size=(600, layer.units)) for layer in graph.layers}
    scm = fit(oracle.collected(graph, few, chunk=600), "ridge", ridge=0.1)
    rows = {layer.name: rng.gamma(2, size=(IMAGES, layer.units)).astype(np.float32) for layer in graph.layers}
    labels = rng.integers(0, graph.output.units, IMAGES)
    return replace(scm, source=None), ResponseSet(rows, graph.output.name, labels)


def one_by_one(
    scm: StructuralCausalModel, responses: ResponseSet, layer: str, unit: int
) -> tuple[float, float]:
    """Loss and accuracy of one silenced filter, by propagating every image through the equations."""
    chosen = forced(scm, Intervention({layer: [unit]}))
    output = responses.output
    logits = np.asarray(propagate(scm, chosen, responses, output)[output])
    after = Evaluation(logits, responses.labels, tuple(map(str, range(logits.shape[1]))))
    assert after.loss is not None
    assert after.accuracy is not None
    return after.loss, after.accuracy


def test_bench_total_effects() -> None:
    """Print the table."""
    harness.show(
        f"all single silencings, VGG-19-BN, median of {RUNS}", [harness.apart("bench_total_effects")]
    )


if __name__ == "__main__":
    print(json.dumps(measure()))
