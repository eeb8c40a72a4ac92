"""How well are units ranked by their effect on the loss, for a small part of the exact ranking's cost?

The exact ranking is that of all 10,000 images, run through the cut network; its cost is 100 %. "ours" spends
two fifths on first-order estimates, and the rest on exact effects of some of the same images; "subsampling"
spends all on exact effects, as cheap as ours. First order alone takes all images, whatever that costs.
Medians over draws.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial

import numpy as np
import torch
from jaxtyping import Float64
from scipy.stats import spearmanr

from causal_widget.effects.cutting import CutModel
from causal_widget.effects.differences import differences
from causal_widget.effects.evidence import ControlledEvidence
from causal_widget.effects.first_order import FirstOrder
from causal_widget.effects.outcomes import outcomes
from causal_widget.effects.questions import Context, questions_of_units
from causal_widget.graph import trace
from tests.benchmarks import harness, real
from tests.benchmarks.effects_table import FILE, OUTCOMES, STEPS, Table, chosen, table

DRAWS = 100
SHARES = (0.01, 0.03, 0.1)
ON_ESTIMATES = 0.4
IMAGES = 100

Values = Float64[np.ndarray, " unit"]


def ranking(name: str) -> list[dict[str, object]]:
    """Spearman correlations with the exact ranking, by share of its cost."""
    torch.set_num_threads(1)
    found = table(name)
    norms, each, units = _network(name)
    exact_image = found.seconds[0] / found.exact.shape[0] / found.exact.shape[1] * units
    truth, price = np.abs(found.truth[:, 0]), each / exact_image
    fixed = {
        "first order alone": spearmanr(np.abs(found.cheap[:, :, 0].mean(0)), truth)[0],
        "weight norm": spearmanr(norms, truth)[0],
    }
    rows: list[dict[str, object]] = []
    for share in SHARES:
        budget = share * len(found.exact)
        drawn = [_both(found, budget, price, seed) for seed in range(DRAWS)]
        ours, plain = np.median(
            [[spearmanr(np.abs(one), truth)[0] for one in pair] for pair in drawn], axis=0
        )
        many, few = _split(budget, price, len(found.exact))
        rows.append(
            {
                "network": name,
                "units": len(truth),
                "cost": f"{share:.0%}",
                "estimates": many,
                "exact": few,
                "ours": float(ours),
                "subsampling": float(plain),
                **{way: float(value) for way, value in fixed.items()},
                "cost of first order": f"{price:.1%}",
            }
        )
    return rows


def _split(budget: float, price: float, n: int) -> tuple[int, int]:
    """Images with a first-order estimate, and with exact effects; an image's exact effects cost 1."""
    many = min(n, int(ON_ESTIMATES * budget / price))
    return many, min(many, int(budget - many * price))


def _both(found: Table, budget: float, price: float, seed: int) -> tuple[Values, Values]:
    """Mean effects on the loss as a draw of images tells them: ours, and by subsampling."""
    order = np.random.default_rng(seed).permutation(len(found.exact))
    many, few = _split(budget, price, len(order))
    evidence = ControlledEvidence.empty(*found.truth.shape)
    evidence = evidence.with_cheap(found.cheap[order[:many]], found.changed[order[:many]])
    every = np.ones(len(found.truth), bool)
    for part, pilot in ((order[: few // 2], True), (order[few // 2 : few], False)):
        evidence = evidence.with_exact(
            found.exact[part], found.cheap[part], found.changed[part], every, pilot=pilot
        )
    return evidence.estimate().mean[:, 0], found.exact[order[: int(budget)], :, 0].mean(0)


def _network(name: str) -> tuple[Values, float, int]:
    """Norms of the chosen units' weights, seconds of an image's estimates of all units, number of units."""
    model, images, labels = real.network(name, FILE, IMAGES)
    graph = trace(model, images[:1])
    norms = [
        float(model.get_submodule(graph.layer(layer).module).weight[unit].norm())  # type: ignore[index]
        for layer, units in chosen(graph, name).items()
        for unit in units
    ]
    hidden = {layer.name: range(layer.units) for layer in graph.layers if not layer.is_output}
    questions, cut = questions_of_units(graph, hidden), CutModel.of(model, graph)
    assert isinstance(cut, CutModel), cut
    places = sorted({place for layer in questions.groups for place in questions.places(layer)})
    asked, context = outcomes(OUTCOMES[:1], graph.output.units), Context(torch.arange(IMAGES))
    estimate, took = FirstOrder(asked, graph.output.units, (1,)), []
    for _ in range(3):
        began = time.process_time()
        with cut.run(images, places, grad=True) as state:
            estimate.estimates(state, labels, questions.groups, partial(differences, context=context))
        took.append(time.process_time() - began)
    return np.array(norms), float(np.median(took)) / IMAGES, sum(len(units) for units in hidden.values())


def test_bench_ranking() -> None:
    """Print the table."""
    if real.there():
        rows = [row for name in STEPS for row in harness.apart("bench_ranking", name, threads=1)]
        harness.show(
            "Spearman correlation with the exact ranking by loss, processor time on one thread", rows
        )


if __name__ == "__main__":
    print(json.dumps(ranking(sys.argv[1])))
