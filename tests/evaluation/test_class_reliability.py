"""Reliability of graphs over betas: known networks, every run once more by itself, and bad input."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from causal_widget.errors import ArgumentError, Cancelled, UnknownNameError
from causal_widget.evaluation import plan_reliability, reliability
from causal_widget.evaluation.class_graphs.betas import Strengths
from causal_widget.explanations.class_graphs import explain_class
from causal_widget.explanations.class_graphs.settings import Settings
from causal_widget.graph import trace
from causal_widget.jobs import Progress
from tests.effects.cut_networks import network
from tests.explanations.class_networks import Known, KnownSum, positive
from tests.interventions.networks import fingerprint, images


@pytest.mark.parametrize("made", [Known, KnownSum])
@pytest.mark.parametrize("mode", ["paper", "sound"])
def test_known_units_appear_in_every_run_and_no_others(made: Any, mode: str) -> None:
    model = made().eval()
    before = fingerprint(model)
    found = reliability(model, positive(80), 0, mode=mode, runs=50, betas=10)
    assert fingerprint(model) == before
    for verdict, units in (("critical", made.CRITICAL), ("detrimental", made.DETRIMENTAL)):
        for b in (*found.ranges, "all"):
            for layer in found.found:
                expected = np.zeros(found.found[layer].shape[1])
                expected[list(units.get(layer, ()))] = 1
                np.testing.assert_array_equal(found.rates(layer, verdict, b), expected)
        share = found.share(verdict=verdict).set_index(["layer", "b"])
        assert share.loc[("all", "all"), "appearing"] == sum(map(len, units.values()))
        assert (share["share"].dropna() == 1).all()
    assert list(found.ranges) == [f"{k / 10:.1f}\u2013{(k + 1) / 10:.1f}" for k in range(5)]
    assert found.unstable().empty
    assert "100.0%" in repr(found)
    assert found.surprises == 0


@pytest.mark.parametrize(
    ("name", "mode"), [("Residual", "paper"), ("Plain", "sound"), ("Inception", "paper")]
)
def test_every_run_is_what_explain_class_finds_with_its_betas(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first network units come and go, so that targets differ from run to run."""
    model, size = network(name)
    x = images(40, size=size).double()
    graph = trace(model, x)
    given: dict[str, Any] = {"mode": mode, "alpha": 0.2, "least": 5, "min_effect": "2%"}
    plan = plan_reliability(model, x, 1, runs=30, betas=6, filter_graph=graph, seed=3, **given)
    found = plan.run()
    assert found.surprises > 0 or name != "Residual"
    for run in range(0, 30, 5):
        drawn = {
            layer: [plan.strengths.of(graph.layer(layer).index, u)[run] for u in range(signs.shape[1])]
            for layer, signs in found.found.items()
        }
        with monkeypatch.context() as patched:
            patched.setattr(Settings, "beta", lambda _, __, layer, unit, d=drawn: float(d[layer][unit]))
            b = float(found.b[run])
            alone = explain_class(model, x, 1, b=b, graph=graph, seed=3, **given)
        for one in alone.layers:
            signs = (one.verdict == "critical").astype(int) - (one.verdict == "detrimental")
            np.testing.assert_array_equal(found.found[one.layer][run], signs, f"{one.layer}, run {run}")


def test_equal_seeds_give_equal_results_and_little_memory_gives_the_same() -> None:
    model, size = network("Plain")
    x = images(40, size=size).double()
    given: dict[str, Any] = {"runs": 20, "betas": 10, "mode": "paper", "least": 5, "alpha": 0.2}
    one, same = (reliability(model, x, 1, seed=1, **given) for _ in range(2))
    little = reliability(model, x, 1, seed=1, budget=40 * 8 * 20, **given)
    for layer, signs in one.found.items():
        np.testing.assert_array_equal(signs, same.found[layer])
        np.testing.assert_array_equal(signs, little.found[layer])
    assert one.table().equals(same.table())
    assert not np.array_equal(Strengths(seed=1).of(0, 0), Strengths(seed=2).of(0, 0))


def test_betas_are_about_their_b_and_few_are_different() -> None:
    strengths = Strengths((0.01, 0.5), 1000, 100, seed=4)
    betas = np.stack([strengths.of(0, unit) for unit in range(200)])
    low, high = np.maximum(strengths.centres - 0.01, 0), strengths.centres + 0.01
    assert ((betas >= low) & (betas <= high)).all()
    assert len(np.unique(strengths.centres)) == 100
    assert np.median([len(np.unique(row)) for row in betas]) < 140
    place = (betas - low) / (high - low)  # uniform within the window, in every run
    assert abs(place.mean() - 0.5) < 0.01
    assert abs(place.var() - 1 / 12) < 0.005
    np.testing.assert_allclose(place.mean(0), 0.5, atol=0.12)
    assert len(np.unique(Strengths(different=None).of(0, 0))) == 1000
    assert sum(chosen.sum() for chosen in strengths.ranges.values()) == 1000
    assert list(Strengths((0.3, 0.3), 5).ranges) == ["0.3\u20130.4"]


def test_the_plan_says_the_cost_that_it_then_takes() -> None:
    plan = plan_reliability(Known().eval(), positive(60), 0, runs=50, betas=8, mode="paper")
    ticks: list[int] = []
    found = plan.run(Progress(lambda tick: ticks.append(tick.done), interval=0))
    assert found.pairs < plan.pairs <= plan.most_pairs  # units of the last layer are measured once
    assert f"{plan.pairs:,}" in repr(plan)
    assert plan.seconds > 0
    assert max(ticks) == plan.pairs
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        plan.run(Progress(cancel=cancel))


def test_it_is_drawn_and_tabled() -> None:
    found = reliability(
        Known().eval(), positive(60), 0, runs=20, betas=5, mode="paper", class_names=["a", "b"]
    )
    figure = found.plot()
    assert len(figure.axes) == len(found.ranges)
    assert 'class "a"' in figure._suptitle.get_text()
    assert set(found.table()["b"]) == {*found.ranges, "all"}
    assert "<table" in found._repr_html_()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"b": (0.0, 0.5)}, "within 0 and 1"),
        ({"b": (0.4, 0.2)}, "within 0 and 1"),
        ({"b": (0.1, 1.0)}, "within 0 and 1"),
        ({"b": 0.3}, "range"),
        ({"runs": 0}, "runs"),
        ({"betas": 0}, "betas"),
    ],
)
def test_bad_input(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        plan_reliability(Known(), positive(40), 0, **given)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="class 7 does not exist"):
        plan_reliability(Known(), positive(40), 7)
    found = reliability(Known(), torch.cat([positive(40)]), 0, runs=10, betas=2, mode="paper")
    with pytest.raises(UnknownNameError, match='layer "frist" is not among'):
        found.rates("frist")
    with pytest.raises(UnknownNameError, match="verdict"):
        found.rates("first", "bad")
    with pytest.raises(ArgumentError, match="least"):
        found.share(2.0)
