"""Pruning curves against copies whose filters were removed one by one."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from causal_widget.errors import ArgumentError, Cancelled, DataError, UnknownNameError
from causal_widget.graph import trace
from causal_widget.jobs import Progress
from causal_widget.pruning import lowest, pruning_curve, random_order, ranking, remove_filters
from tests.interventions.networks import Residual, fingerprint, images, seeded

X = images(40)
PERCENTS = (0, 30, 60, 100)


def balanced(seed: int = 0) -> nn.Module:
    """A network that gives every class its share of the images, so that pruning has something to spoil."""
    model = seeded(Residual, seed)
    with torch.no_grad():
        model.fc.weight.mul_(5)
        model.fc.bias.sub_(model(X).mean(0))
    return model


def labelled(model: nn.Module) -> DataLoader[tuple[Tensor, ...]]:
    with torch.no_grad():
        return DataLoader(TensorDataset(X, model(X).argmax(1)), batch_size=16)


def accuracy(model: nn.Module, data: DataLoader[tuple[Tensor, ...]]) -> float:
    with torch.no_grad():
        return float(torch.cat([model(x).argmax(1) == y for x, y in data]).float().mean())


def importances(model: nn.Module, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {layer.name: generator.random(layer.units) for layer in trace(model, X).hidden_conv_layers}


def test_every_point_is_the_accuracy_of_the_pruned_copy() -> None:
    model = balanced()
    graph, data, given, before = trace(model, X), labelled(model), importances(model), fingerprint(model)
    curve = pruning_curve(model, graph, data, PERCENTS, {"mine": given, "random": {}}, repeats=3, seed=5)
    assert fingerprint(model) == before
    assert curve.baseline == 1
    assert curve.n == 40
    for k, percent in enumerate(PERCENTS):
        pruned = remove_filters(model, graph, lowest(ranking(graph, given), percent))
        assert curve.accuracy["mine"][0, k] == pytest.approx(accuracy(pruned, data))
        for draw in range(3):
            pruned = remove_filters(model, graph, lowest(random_order(graph, 5, draw), percent))
            assert curve.accuracy["random"][draw, k] == pytest.approx(accuracy(pruned, data))
    assert len(np.unique(curve.accuracy["random"][:, 1:3])) > 3, "the test would not notice a constant"
    assert curve.accuracy["mine"][0, 0] == 1
    assert curve.removed[0] == 0
    assert curve.removed[-1] == curve.n_filters


def test_the_spread_is_that_of_the_draws() -> None:
    model = balanced()
    curve = pruning_curve(model, trace(model, X), labelled(model), [50], {"random": {}}, repeats=7, seed=1)
    draws = curve.accuracy["random"][:, 0]
    assert curve.repeats("random") == 7
    assert curve.mean("random")[0] == pytest.approx(draws.mean())
    assert curve.low("random")[0] == pytest.approx(np.quantile(draws, 0.05))
    assert curve.high("random")[0] == pytest.approx(np.quantile(draws, 0.95))
    again = pruning_curve(model, trace(model, X), labelled(model), [50], {"random": {}}, repeats=7, seed=1)
    np.testing.assert_array_equal(again.accuracy["random"], curve.accuracy["random"])
    other = pruning_curve(model, trace(model, X), labelled(model), [50], {"random": {}}, repeats=7, seed=2)
    assert (other.loss["random"] != curve.loss["random"]).any()


def test_equal_choices_are_run_once() -> None:
    model = balanced()
    given, ticks = importances(model), []
    pruning_curve(
        model, trace(model, X), labelled(model), [0, 30, 30], {"a": given, "b": given},
        progress=Progress(ticks.append, interval=0),
    )  # fmt: skip
    assert ticks[0].total == 2 * 40
    assert ticks[-1].done == 2 * 40


def test_cancel_and_bad_input_leave_the_model_alone() -> None:
    model = balanced().train()
    graph, data, given, before = trace(model, X), labelled(model), importances(model), fingerprint(model)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        pruning_curve(model, graph, data, PERCENTS, {"a": given}, progress=Progress(cancel=stop))
    for percents, rules, repeats, loader, error, says in [
        ([101], {"a": given}, 1, data, ArgumentError, "101"),
        ([], {"a": given}, 1, data, ArgumentError, "empty"),
        ([10], {}, 1, data, ArgumentError, "no rule"),
        ([10], {"random": {}}, 0, data, ArgumentError, "repeats"),
        ([10], {"a": {"stem": np.ones(4)}}, 1, data, ArgumentError, "block1"),
        ([10], {"a": given}, 1, [X], DataError, "labels"),
        ([10], {"a": given}, 1, [], DataError, "empty"),
    ]:
        with pytest.raises(error, match=says):
            pruning_curve(model, graph, loader, percents, rules, repeats=repeats)  # type: ignore[arg-type]
    assert fingerprint(model) == before


def test_it_says_itself() -> None:
    model = balanced()
    rules = {"<b>mine</b>": importances(model), "random": {}}
    curve = pruning_curve(model, trace(model, X), labelled(model), PERCENTS, rules, repeats=2)
    assert "<b>mine" not in curve._repr_html_()
    assert "random" in repr(curve)
    assert len(curve.table()) == 8
    assert curve.standard_error("random").shape == (4,)
    assert curve.plot().axes[0].get_ylabel() == "accuracy, %"
    with pytest.raises(UnknownNameError, match='Did you mean "random"'):
        curve.mean("randm")
