"""Methods side by side: intervals, paired differences, what a comparison says and draws."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from scipy import stats
from torch import nn

from causal_widget.errors import ArgumentError, Cancelled, UnknownNameError
from causal_widget.evaluation.attributions import MethodScores, as_method, compare_attributions
from causal_widget.jobs import Progress
from tests.evaluation.test_attributions_methods import Rectified, X, Y
from tests.interventions.networks import seeded


def scores() -> MethodScores:
    rng = np.random.default_rng(0)
    base = rng.normal(size=40)
    values = {"a": base + 0.5, "b": base, "c": rng.normal(size=40), "random": rng.normal(size=40) + 3}
    return MethodScores("IROF", True, values, ("random",))


def test_scores_have_student_s_intervals_and_are_compared_in_pairs() -> None:
    found = scores()
    assert found.methods[0] == "a"
    assert found.methods[-1] == "random", "controls take no rank"
    row = found.table().set_index("method").loc["a"]
    low, high = stats.t.interval(0.95, 39, found.of("a").mean(), stats.sem(found.of("a")))
    np.testing.assert_allclose([row["low"], row["high"]], [low, high])
    table = found.against("a").set_index("other")
    test = stats.ttest_rel(found.of("a"), found.of("c"))
    np.testing.assert_allclose(table.loc["c", "p"], test.pvalue)
    np.testing.assert_allclose(
        [table.loc["c", "low"], table.loc["c", "high"]], test.confidence_interval(0.95)
    )
    # A constant difference has no spread: paired, it is certain, however much images differ.
    assert table.loc["b", "verdict"] == "better"
    assert table.loc["b", "wins"] == 1
    assert table.loc["random", "verdict"] == "worse"
    assert (table["corrected"] >= table["p"]).all()
    with pytest.raises(UnknownNameError, match="Did you mean"):
        found.of("rando")


def test_a_comparison_says_tells_and_draws_all() -> None:
    model = seeded(Rectified)
    mine = as_method(lambda m, x, y, s: x.abs())
    names = ("Saliency", "Excitation Backprop", "random", "constant")
    found = compare_attributions(model, X, Y, {"mine": mine}, methods=names, runs=2, n_segments=9)
    assert set(found.maps) == {"mine", *names}
    table = found.table().set_index("method")
    assert table.loc["constant", "lipschitz"] == 0
    assert table.loc["random", "lipschitz"] == table["lipschitz"].max()
    np.testing.assert_allclose(table.loc["mine", "irof"], found.removals["mine"].scores.mean())
    assert set(found.against("mine")["other"]) == set(names)
    assert "5" not in found.skipped
    assert "AttributionComparison on 3 images (runs=2" in repr(found)
    assert "<table" in found._repr_html_()
    figure = found.plot()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-2:] == list(
        found.irof.methods[-2:] if found.irof else []
    )
    assert len(found.plot_removal().axes[0].get_lines()) == 5
    assert len(found.plot_maps(X.mean(1).numpy(), [0, 2]).axes) == 12
    shares, left = found.removals["mine"].mean_curve
    assert shares[0] == 0
    assert left[0] == 1
    again = compare_attributions(model, X, Y, {"mine": mine}, methods=names, runs=2, n_segments=9)
    assert found.irof is not None
    assert again.irof is not None
    for name in names:
        np.testing.assert_array_equal(again.irof.of(name), found.irof.of(name))


def test_a_method_that_cannot_take_the_network_is_left_out_and_says_why() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.GELU(), nn.Flatten(), nn.Linear(300, 3)).eval()
    found = compare_attributions(
        model, X, Y, methods=("Guided Backprop", "Saliency"), measures="irof", n_segments=9
    )
    assert "nn.ReLU modules" in found.skipped["Guided Backprop"]
    assert list(found.maps) == ["Saliency"]
    assert found.lipschitz is None
    assert "Guided Backprop left out" in repr(found)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"methods": ("Salience",)}, UnknownNameError, 'Did you mean "Saliency"'),
        ({"methods": ("Saliency", "Saliency")}, ArgumentError, "name of its own"),
        ({"measures": ("iro",)}, UnknownNameError, 'Did you mean "irof"'),
        ({"measures": ()}, ArgumentError, "got none"),
        ({"methods": ("Saliency",), "seed": -1}, ArgumentError, "seed"),
        ({"methods": ("Saliency",), "runs": 0}, ArgumentError, "runs"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        compare_attributions(seeded(Rectified), X, Y, **options)


def test_a_comparison_can_be_cancelled() -> None:
    cancel = threading.Event()
    progress = Progress(lambda tick: cancel.set() if tick.done >= 3 else None, cancel, interval=0)
    with pytest.raises(Cancelled):
        compare_attributions(seeded(Rectified), X, Y, methods=("Saliency",), runs=50, progress=progress)
