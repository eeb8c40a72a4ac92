"""How well are units ranked by their effect on the loss, for a small part of the exact ranking's cost?

The exact ranking is that of all 10,000 images, run through the cut network; its cost is 100 %. "ours" takes
first-order estimates of all images where a twentieth of what it may spend is left then, otherwise of as
many as two fifths pay for; the rest goes to exact effects of some of the same images, drawn as plans draw
them, and units are ranked by the shrunken effects, as `Effects.ranking` does. "unbiased" ranks by the
effects before they are shrunken. "subsampling" spends all on exact effects, as cheap as ours. First order
alone takes all images, whatever that costs. Medians over draws.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float64
from scipy.stats import spearmanr

from causal_widget.effects.cutting import CutModel
from causal_widget.effects.differences import differences
from causal_widget.effects.first_order import FirstOrder
from causal_widget.effects.outcomes import outcomes
from causal_widget.effects.questions import Context, questions_of_units
from causal_widget.effects.shrunken import cheap_means, shrunken_effects
from causal_widget.graph import trace
from tests.benchmarks import harness, real
from tests.benchmarks.bench_coverage import Frame
from tests.benchmarks.effects_table import FILE, OUTCOMES, STEPS, Table, chosen, table

DRAWS = 100
SHARES = (0.01, 0.03, 0.1)
ON_ESTIMATES = 0.4  # of what may be spent, where estimates of all images cost more than
MOST = 0.95
IMAGES = 100

Values = Float64[np.ndarray, " unit"]


def ranking(name: str) -> list[dict[str, object]]:
    """Spearman correlations with the exact ranking, by share of its cost."""
    torch.set_num_threads(1)
    found = _of_loss(table(name))
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
        drawn = [_all_ways(found, budget, price, seed) for seed in range(DRAWS)]
        ours, unbiased, plain = np.median(
            [[spearmanr(np.abs(one), truth)[0] for one in ways] for ways in drawn], axis=0
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
                "unbiased": float(unbiased),
                "subsampling": float(plain),
                **{way: float(value) for way, value in fixed.items()},
                "cost of first order": f"{price:.1%}",
            }
        )
    return rows


def _of_loss(found: Table) -> Table:
    """The table of a plan that asks for the loss alone, as the price of the estimates is of it alone."""
    return replace(found, exact=found.exact[..., :1], cheap=found.cheap[..., :1])


def _split(budget: float, price: float, n: int) -> tuple[int, int]:
    """Images with a first-order estimate, and with exact effects; an image's exact effects cost 1."""
    many = n if n * price <= MOST * budget else int(ON_ESTIMATES * budget / price)
    return many, min(many, int(budget - many * price))


def _all_ways(found: Table, budget: float, price: float, seed: int) -> tuple[Values, Values, Values]:
    """Mean effects on the loss as a draw of images tells them: ours, unbiased, and by subsampling."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(found.exact))
    many, few = _split(budget, price, len(order))
    known = Frame.of(found, order[:many], few).drawn(found, few, generator)
    told = known.estimate("given")
    ours = shrunken_effects(told, cheap_means(known))
    return ours[:, 0], told.mean[:, 0], found.exact[order[: int(budget)], :, 0].mean(0)


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
        with cut.run(images, places, grad=True, soft=True) as state:
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
