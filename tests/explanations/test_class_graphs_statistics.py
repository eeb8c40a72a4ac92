"""Corrected p-values over a graph of which only what is connected to the class is reported."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from causal_widget.explanations.class_graphs.confirming import focused
from causal_widget.explanations.class_graphs.judging import by_least_effect, by_z_test


def reported(taken: np.ndarray, children: list[list[int]], carries: np.ndarray) -> np.ndarray:
    """The filter as it is defined: add nodes until none has a way more."""
    found = np.zeros(len(taken), dtype=bool)
    while True:
        more = np.array(
            [t and any(c < 0 or (found[c] and carries[c]) for c in below)
             for t, below in zip(taken, children, strict=True)]
        )  # fmt: skip
        if (more == found).all():
            return found
        found = more


def by_definition(p: np.ndarray, children: list[list[int]], carries: np.ndarray, q: float) -> np.ndarray:
    """F(R(t)) for the largest t whose estimated rate is at most q."""
    best = np.zeros(len(p), dtype=bool)
    for t in np.sort(p):
        kept = reported(p <= t, children, carries)
        if kept.any() and len(p) * t / kept.sum() <= q:
            best = kept
    return best


@pytest.mark.parametrize("seed", range(12))
def test_focused_correction_is_as_defined(seed: int) -> None:
    draw = np.random.default_rng(seed)
    m = 25
    p = draw.beta(0.35, 2.0, m).round(3)
    carries = draw.random(m) < 0.7
    children = [
        [-1] if node < 5 else draw.choice(node, size=min(node, 2), replace=False).tolist()
        for node in range(m)
    ]
    corrected = focused(p, children, carries)
    for q in (0.01, 0.05, 0.2, 0.6):
        assert (corrected <= q).tolist() == by_definition(p, children, carries, q).tolist()


def test_without_a_filter_it_is_benjamini_hochberg() -> None:
    p = np.random.default_rng(0).beta(0.4, 2.0, 40)
    corrected = focused(p, [[-1]] * 40, np.ones(40, bool))
    np.testing.assert_allclose(corrected, false_discovery_control(p), rtol=1e-12)
    assert focused(np.zeros(0), [], np.zeros(0, bool)).shape == (0,)


def test_nodes_in_any_order_and_without_a_way() -> None:
    p = np.array([0.001, 0.002, 0.003, 0.0001])
    children = [[1], [2], [-1], [3]]  # a chain in the other order; the last leads only to itself
    np.testing.assert_allclose(focused(p, children, np.ones(4, bool)), [0.004, 0.004, 0.004, 1.0])
    ended = focused(p, children, np.array([True, True, False, True]))
    assert (ended[[0, 1]] == 1).all()  # what hurts the class carries no way on


def test_rates_of_the_tests() -> None:
    """Under no effect one z-test in twenty rejects, and no more t-tests after correction than said."""
    draw = np.random.default_rng(1)
    effects = draw.normal(size=(60, 2000))
    called = by_z_test(effects, 0.05, 0.95).verdict != "neutral"
    assert 0.04 < called.mean() < 0.07  # a little above: normal quantiles with an estimated deviation
    one = by_least_effect(effects, 0.05, 0.95, 0.0)
    assert not np.isin(one.verdict, ["critical", "detrimental"]).any()
    shifted = by_least_effect(effects - 1.0, 0.05, 0.95, 0.2)
    assert (shifted.verdict == "critical").mean() > 0.95
    inside = by_least_effect(0.1 * effects, 0.05, 0.95, 0.2)
    assert (inside.verdict == "neutral").all()
    covered = by_z_test(effects + 0.3, 0.05, 0.9)
    share = ((covered.low < 0.3) & (covered.high > 0.3)).mean()
    assert 0.87 < share < 0.92


def test_effects_without_spread() -> None:
    judged = by_z_test(np.array([[0.0, -1.0, 2.0]] * 30), 0.05, 0.95)
    assert judged.verdict.tolist() == ["neutral", "critical", "detrimental"]
    assert judged.p.tolist() == [1.0, 0.0, 0.0]
    few = by_z_test(np.array([[0.0, -1.0, 2.0]] * 3), 0.05, 0.95)
    assert set(few.verdict) == {"undecided"}
    assert few.needed.tolist()[1:] == [30.0, 30.0]
