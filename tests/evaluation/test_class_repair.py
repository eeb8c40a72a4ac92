"""Repair: accuracy with and without harmful paths known by construction, copies by hand, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.evaluation import Repaired, repair, repair_curve
from causal_widget.evaluation.class_graphs.chosen import blocking, harmful
from causal_widget.explanations.class_graphs import ClassGraph, explain_class, explain_classes
from causal_widget.graph import trace
from causal_widget.interventions import edited
from tests.effects.cut_networks import network
from tests.explanations.class_networks import Known, KnownSum, positive
from tests.interventions.networks import fingerprint, images


def hurt(other: float = 0.05) -> nn.Module:
    """`Known`, in which second[1] keeps class 0 from ever being said.

    On an image x of class 0 (positive): class 0 has 2.5x + 0.1 - 1.45 (x + 0.1), class 1 x + 0.1 + `other`,
    which is more; without second[1] class 0 has 2.5x + 0.1, which is more than that. On an image of class 1
    (negative), where the first layer is silent, class 0 has -0.045 and without second[1] 0.1, class 1 has
    0.1 + `other`: it is still said if `other` is positive, and no more if it is negative.
    """
    model = Known().eval()
    with torch.no_grad():
        model.fc.weight[0, 1] = -1.45
        model.fc.bias[1] = other
    return model


def both(n: int = 40, seed: int = 3) -> tuple[Tensor, Tensor]:
    x = positive(2 * n, seed)
    return torch.cat([x[:n], -x[n:]]), torch.arange(2 * n) // n


def graph_of(model: nn.Module, mode: str = "sound") -> ClassGraph:
    return explain_class(model, positive(80), 0, mode=mode)


@pytest.mark.parametrize("mode", ["paper", "sound"])
@pytest.mark.parametrize(("other", "after"), [(0.05, 1.0), (-0.05, 0.0)])
def test_blocking_what_hurts_a_class_repairs_it(mode: str, other: float, after: float) -> None:
    model = hurt(other)
    before = fingerprint(model)
    graph = graph_of(model, mode)
    assert harmful(graph) == (("second", 1), ("first", 4))
    found = repair_curve(model, graph, both(), shares=[0.5, 1.0], found_on=positive(80))
    assert fingerprint(model) == before
    rows = found.table(0).set_index(["share", "images"])
    for share, blocked in ((0.0, 0), (0.5, 1), (1.0, 2)):
        own, others = rows.loc[(share, "own")], rows.loc[(share, "others")]
        assert own["blocked"] == blocked
        assert (own["before"], own["after"]) == (0.0, float(blocked > 0))
        assert (others["before"], others["after"]) == (1.0, after if blocked else 1.0)
    assert rows.loc[(0.5, "own"), "low"] > 0.8
    assert rows.loc[(0.5, "others"), "high"] > 0 or not after
    assert "checked to be others" in repr(found)
    assert found.best(0, "class") == 0.5
    assert found.best(0) == (0.5 if after else 0.0)
    assert len(found.plot().axes) == 2


def test_the_copy_blocks_and_the_share_is_chosen_on_images_apart() -> None:
    model, x = hurt(), both()
    before = fingerprint(model)
    fixed = repair(model, graph_of(model), x)
    assert fingerprint(model) == before
    assert isinstance(fixed, Repaired)
    assert (fixed.share, fixed.units) == (0.1, (("second", 1),))  # the smallest of equals
    with torch.no_grad():
        assert (fixed(x[0]).argmax(1) == x[1]).all()
        assert not (model(x[0]).argmax(1) == x[1]).all()
    assert fixed.model.fc.weight[0].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert fixed.model.fc.weight[1].tolist() == model.fc.weight[1].tolist()
    assert "0.00% before, 100.00% after" in repr(fixed)
    assert "20 images" in repr(fixed)
    assert "chosen on the other" in repr(fixed)
    fixed.train()
    assert fixed.model.training
    assert not model.training


def test_where_blocking_takes_more_than_it_gives_the_network_stays_as_it_was() -> None:
    model, x = hurt(-0.05), both()
    fixed = repair(model, graph_of(model), x)
    assert (fixed.share, fixed.units) == (0.0, ())
    assert "as it was" in repr(fixed)
    with torch.no_grad():
        assert torch.equal(fixed(x[0]), model(x[0]))
    own = repair(model, graph_of(model), x, aim="class")
    assert own.units == (("second", 1),)


def test_without_images_it_blocks_and_says_that_nothing_was_measured(tmp_path: Path) -> None:
    model = hurt()
    graph_of(model).save(tmp_path / "graph.json")
    fixed = repair(model, ClassGraph.load(tmp_path / "graph.json"), share=1.0)
    assert "not measured" in repr(fixed)
    assert fixed.model.second.weight[0, :, 0, 0].tolist() == [1, 1, 0, 0, 0]  # first[4] to second[0]
    assert fixed.model.second.weight[1, :, 0, 0].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("name", ["Plain", "Residual", "Grouped", "Inception", "Gated"])
def test_copies_say_what_the_network_says_under_the_edits(name: str) -> None:
    """Paths through shared channels are blocked while the copy runs, all others by weights."""
    model, size = network(name)
    x = images(24, size=size).double()
    graph = trace(model, x)
    found = explain_class(model, x, 1, mode="paper", least=5, alpha=0.5, graph=graph)
    for share in (0.4, 1.0):
        edits = blocking(found, graph, share)
        with edited(model, graph, edits) as held:
            expected = held(x)
        fixed = repair(model, found, share=share, filter_graph=graph)
        with torch.no_grad():
            torch.testing.assert_close(fixed(x), expected, rtol=1e-9, atol=1e-11)
            assert not torch.allclose(model(x), expected)
        if name in ("Plain", "Grouped", "Inception"):
            assert not len(fixed.held)


def test_every_point_of_a_curve_once_more_as_a_plain_loop() -> None:
    model, size = network("Residual")
    x = images(60, size=size).double()
    graph = trace(model, x)
    with torch.no_grad():
        labels = (model(x) + 0.1 * torch.randn(60, 5, generator=torch.Generator().manual_seed(0))).argmax(1)
    found = explain_class(model, x, 1, mode="paper", least=5, alpha=0.3, graph=graph)
    k = int(labels.mode().values)
    curve = repair_curve(model, {1: found}, (x, labels.where(labels != k, 1)), filter_graph=graph)
    labels = labels.where(labels != k, 1)
    for row in curve.table(1).to_dict("records"):
        with edited(model, graph, blocking(found, graph, row["share"])) as held:
            right = held(x).argmax(1) == labels
        own = (labels == 1) == (row["images"] == "own")
        assert row["after"] == pytest.approx(float(right[own].double().mean()))
        assert row["n"] == int(own.sum())
        assert row["change"] == pytest.approx(row["after"] - row["before"])
    assert "not known whether" in repr(curve)


def test_graphs_are_found_on_one_part_of_the_images_and_judged_on_the_rest() -> None:
    x, labels = both(60)
    one, same = (repair_curve(hurt(), None, (x, labels), seed=1, mode="paper") for _ in range(2))
    assert one.rows.equals(same.rows)
    assert "others than the 60" in repr(one)
    own = one.rows[one.rows["share"] == 0.5]
    assert own[own["class"] == 0].set_index("images")["after"].to_dict() == {"own": 1.0, "others": 1.0}
    counts = one.rows[(one.rows["share"] == 0) & (one.rows["images"] == "own")]["n"]
    assert counts.sum() == 60
    mean = one.mean().set_index(["share", "images"])
    changes = own[own["images"] == "own"]
    assert mean.loc[(0.5, "own"), "change"] == pytest.approx(changes["change"].mean())
    half = 1.959964 * np.sqrt((changes["se"] ** 2).sum()) / len(changes)
    assert mean.loc[(0.5, "own"), "high"] == pytest.approx(changes["change"].mean() + half)


def test_bad_input() -> None:
    model, x = hurt(), both()
    graph = graph_of(model)
    with pytest.raises(DataError, match="40 of the 80 images are among those"):
        repair_curve(model, graph, x, found_on=positive(80, seed=3))
    with pytest.raises(DataError, match="no image of class 0"):
        repair_curve(model, graph, (x[0][40:], x[1][40:]))
    for share in (-0.1, 1.1, "all", True):
        with pytest.raises(ArgumentError, match=r"0\.\.1"):
            repair(model, graph, share=share)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="images with labels to choose it on"):
        repair(model, graph)
    with pytest.raises(UnknownNameError, match="aim"):
        repair(model, graph, share=0.5, aim="best")
    with pytest.raises(DataError, match="need labels"):
        repair(model, graph, x[0])
    none: dict[str, Any] = {"graph": explain_class(KnownSum().eval(), positive(8), 0)}
    with pytest.raises(ArgumentError, match="no detrimental unit was found of class 0"):
        repair(KnownSum(), share=0.5, **none)
    with pytest.raises(ArgumentError, match="nothing to block"):
        repair_curve(KnownSum(), none["graph"], x)
    with pytest.raises(UnknownNameError, match="class 7"):
        repair_curve(model, graph, x).table(7)
    with pytest.raises(ArgumentError, match="graphs must be"):
        repair_curve(model, {}, x)


def test_two_classes_are_each_as_alone() -> None:
    model, x = hurt(), both(60)
    graphs = explain_classes(model, x, mode="paper")
    several = repair_curve(model, graphs, x)
    alone = repair_curve(model, graphs[0], x)
    assert several.table(0).equals(alone.table(0))
    assert several.harmful[0] == 2


def test_without_anything_blocked_no_change_is_certain() -> None:
    curve = repair_curve(hurt(), graph_of(hurt()), both())
    rows = curve.table(0)
    assert (rows.loc[rows["share"] == 0, ["low", "high"]] == 0).all(axis=None)
    others = rows[(rows["share"] == 1) & (rows["images"] == "others")].iloc[0]
    assert others["change"] == 0
    assert others["low"] < 0 < others["high"]
