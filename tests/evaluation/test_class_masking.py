"""Accuracy under masks: networks whose answers are known by construction, plain loops, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.evaluation import ClassMasking, mask_classes
from causal_widget.evaluation.class_graphs.chosen import count, ranked
from causal_widget.evaluation.class_graphs.intervals import changed, mean_gap, wilson
from causal_widget.explanations.class_graphs import ClassGraphs, explain_class, explain_classes
from causal_widget.graph import trace
from causal_widget.interventions import UnitEdit, edited
from causal_widget.plots.masking import masking_lines, repair_lines
from causal_widget.plots.reliability import appearance
from tests.effects.cut_networks import network
from tests.explanations.class_networks import Known, positive
from tests.interventions.networks import fingerprint, images


def known(n: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    return positive(n, seed=7), torch.zeros(n, dtype=torch.int64)


@pytest.mark.parametrize("mode", ["paper", "sound"])
def test_masking_what_a_class_stands_on_loses_it(mode: str) -> None:
    """Of class 0: second[0] carries it all, and without first[1] too little is left of it."""
    model = Known().eval()
    before = fingerprint(model)
    graph = explain_class(model, positive(80), 0, mode=mode)
    found = mask_classes(model, graph, known(), shares=[0.0, 0.5], draws=30, seed=2)
    assert fingerprint(model) == before
    rows = found.table(0).set_index(["layer", "share", "rule"])
    assert (rows["unmasked"] == 1).all()
    for layer in ("first", "second", "all"):
        assert rows.loc[(layer, 0.5, "critical"), "accuracy"] == 0
        assert rows.loc[(layer, 0.0, "critical"), "accuracy"] == 1
        assert rows.loc[(layer, 0.0, "critical"), "masked"] == 0
    # A random unit of the four is second[0] in a quarter of the draws, and no other loses the class.
    assert 0.5 < rows.loc[("second", 0.5, "random"), "accuracy"] < 0.95
    # first[0] is the lesser of the two: without it 2x - 0.5x + 0.1 - 0.05 is still more than x + 0.1.
    assert rows.loc[("first", 0.5, "least critical"), "accuracy"] == _without_first_0(known()[0])
    gaps = found.gaps(0.5).set_index(["class", "layer"])
    accuracy = rows.loc[("second", 0.5, "random"), "accuracy"]
    assert gaps.loc[(0, "second"), "gap"] == pytest.approx(accuracy)
    assert gaps.loc[(0, "second"), "gap low"] > 0
    assert "critical 0.0%" in repr(found)


def _without_first_0(x: torch.Tensor) -> float:
    x = x.flatten(1).double()
    own = (2 * x - 0.5 * x + 0.1).mean(1) - 0.5 * torch.full((len(x),), 0.1, dtype=torch.float64)
    return float((own > (x + 0.1).mean(1)).double().mean())


@pytest.mark.parametrize("name", ["Residual", "Inception"])
def test_every_mask_once_more_as_a_plain_loop(name: str) -> None:
    model, size = network(name)
    x = images(60, size=size).double()
    graph = trace(model, x)
    with torch.no_grad():
        said = model(x).argmax(1)
    k = int(said.mode().values)
    labels = torch.where(torch.arange(60) % 5 > 0, said, (said + 1) % graph.output.units)
    found_graph = explain_class(model, x[said == k], k, mode="paper", least=2, graph=graph)
    found = mask_classes(model, found_graph, (x, labels), shares=[0.3, 1.0], draws=3, filter_graph=graph)
    own = labels == k
    masks: dict[str, dict[str, list[int]]] = {}
    for one in found_graph.layers:
        order = ranked(one)
        if len(order):
            masks[one.layer] = {one.layer: order[: count(len(order), 0.3)].tolist()}
    masks["all"] = {layer: units for mask in list(masks.values()) for layer, units in mask.items()}
    rows = found.table(k).set_index(["layer", "share", "rule"])
    for layer, mask in masks.items():
        with edited(model, graph, UnitEdit(mask)) as held:
            right = held(x[own]).argmax(1) == k
        row = rows.loc[(layer, 0.3, "critical")]
        assert row["accuracy"] == pytest.approx(float(right.double().mean()))
        assert row["masked"] == sum(map(len, mask.values()))
        assert (row["low"], row["high"]) == wilson(int(right.sum()), int(own.sum()), 0.95)
    every = rows.xs(1.0, level="share")
    for layer in masks:  # all critical units, from either end
        assert every.loc[(layer, "critical"), "accuracy"] == every.loc[(layer, "least critical"), "accuracy"]


def test_several_classes_seeds_and_figures() -> None:
    model, size = network("Plain")
    x = images(120, size=size).double()
    with torch.no_grad():
        labels = model(x).argmax(1)
    classes = [k for k in range(4) if int((labels == k).sum()) > 10]
    graphs = explain_classes(model, (x, labels), classes, mode="paper", least=5)
    given: dict[str, Any] = {"shares": [0.2, 0.5], "draws": 4, "layers": ["conv2"]}
    one, same = (mask_classes(model, graphs, (x, labels), seed=1, **given) for _ in range(2))
    assert isinstance(graphs, ClassGraphs)
    assert one.rows.equals(same.rows)
    assert not one.rows.equals(mask_classes(model, graphs, (x, labels), seed=5, **given).rows)
    mean = one.mean().set_index(["layer", "share", "rule"])
    own = one.rows[(one.rows["rule"] == "critical") & (one.rows["share"] == 0.5)]
    assert mean.loc[("conv2", 0.5, "critical"), "accuracy"] == pytest.approx(own["accuracy"].mean())
    assert mean.loc[("conv2", 0.5, "critical"), "classes"] == len(classes)
    assert one.layers == ("conv2",)
    assert len(one.plot().axes) == len(one.plot(classes[0]).axes) == 1
    assert "<table" in one._repr_html_()


def test_intervals() -> None:
    assert wilson(0, 10, 0.95)[0] == 0
    assert wilson(5, 10, 0.95) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # Brown, Cai, DasGupta 2001
    before, after = np.array([True] * 5 + [False] * 5), np.array([True] * 7 + [False] * 3)
    change, se = changed(before, after)
    assert change == pytest.approx(0.2)
    assert se == pytest.approx(np.sqrt(3.0 - 2.0**2 / 12) / 12)
    assert changed(before, before)[1] > 0  # no change in ten images is not certain to be none
    draws = np.random.default_rng(0).random((6, 400)) < 0.9
    gap, low, high = mean_gap(np.zeros(400, bool), draws, 0.95)
    assert gap == pytest.approx(draws.mean())
    assert low < 0.9 < high
    assert [count(5, share) for share in (0.0, 0.05, 0.2, 0.21, 1.0)] == [0, 1, 1, 2, 5]


def test_figures_of_nothing_are_refused() -> None:
    for draw in (
        lambda: appearance({}, "none"),
        lambda: masking_lines({}, 1.0, "accuracy", "none"),
        lambda: repair_lines({}, {}, "none"),
    ):
        with pytest.raises(ArgumentError, match=r"there (is|are) no"):
            draw()


def test_bad_input() -> None:
    model = Known().eval()
    graph = explain_class(model, positive(80), 0)
    for shares, said in (([1.5], "0..1"), ([], "one or more"), ([0.1, 0.1], "each once"), (0.3, "several")):
        with pytest.raises(ArgumentError, match=said):
            mask_classes(model, graph, known(), shares=shares)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="need labels"):
        mask_classes(model, graph, positive(10))
    with pytest.raises(DataError, match=r"no image of class 0: the labels given are \[1\]"):
        mask_classes(model, graph, (positive(10), torch.ones(10, dtype=torch.int64)))
    with pytest.raises(UnknownNameError, match="frist"):
        mask_classes(model, graph, known(), layers=["frist"])
    with pytest.raises(ArgumentError, match="no critical unit to mask"):
        mask_classes(model, explain_class(model, positive(8), 0), known())
    with pytest.raises(ArgumentError, match="draws"):
        mask_classes(model, graph, known(), draws=1)
    found: ClassMasking = mask_classes(model, graph, known(), shares=[0.5], draws=2)
    with pytest.raises(UnknownNameError, match="was not measured"):
        found.table(3)
    with pytest.raises(UnknownNameError, match="was not measured"):
        found.gaps(0.2)
