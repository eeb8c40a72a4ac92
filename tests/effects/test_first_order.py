"""First-order estimates, against small changes of the network, and against a linear one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from causal_widget.effects.cutting import CutModel, WholeModel
from causal_widget.effects.first_order import FirstOrder, one_by_one
from causal_widget.effects.outcomes import outcome, outcomes
from causal_widget.graph import FilterGraph, trace
from causal_widget.interventions import Intervention, intervene
from tests.effects.cut_networks import Inception
from tests.interventions.networks import Plain, Residual, images, seeded

Unit = tuple[str, int]


def zeroing(state: object, question: Unit) -> list[tuple[tuple[str, str], Tensor, Tensor]]:
    """What setting one unit to zero changes."""
    layer, unit = question
    place = (layer, state.graph.layer(layer).site("activation"))  # type: ignore[attr-defined]
    return [(place, torch.tensor([unit]), -state.value(*place)[:, [unit]])]  # type: ignore[attr-defined]


def run(
    model: nn.Module,
    asked: object,
    x: Tensor,
    labels: Tensor,
    questions: Sequence[Unit],
    whole: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and changed, of questions of one group."""
    graph = trace(model, x[:1])
    entry = WholeModel(model, graph, "asked") if whole else CutModel.of(model, graph)
    assert not isinstance(entry, str)
    several = outcomes(asked, graph.output.units)
    widths = tuple(one.values(model(x).detach(), labels).shape[1] for one in several)
    first = FirstOrder(several, graph.output.units, widths)
    places = sorted({(layer, graph.layer(layer).site("activation")) for layer, _ in questions})
    with entry.run(x, places, grad=True) as state:
        return first.estimates(state, labels, {"all": questions}, one_by_one(zeroing))["all"]


def before_and_after(
    model: nn.Module, graph: FilterGraph, x: Tensor, question: Unit, scale: float
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        before = model(x)
        with intervene(model, graph, Intervention({question[0]: [question[1]]}, scale=scale)):
            return before, model(x)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "made, layers",
    [(Plain, ("conv1", "conv2")), (Residual, ("stem", "block1.conv2")), (Inception, ("stem", "b2"))],
)
def test_a_gradient_against_a_small_change(
    made: type[nn.Module], layers: tuple[str, str], whole: bool
) -> None:
    model, x = seeded(made).double(), images(9).double()
    labels, graph = torch.arange(9) % 3, trace(model, images(1).double())
    questions = [(layer, unit) for layer in layers for unit in range(3)]
    names = ["margin", "logit:1"]
    found, changed = run(model, names, x, labels, questions, whole)
    small = 1e-6
    for k, question in enumerate(questions):
        before, after = before_and_after(model, graph, x, question, 1 - small)
        expected = [outcome(name).effects(after, before, labels) for name in names]
        np.testing.assert_allclose(found[:, k], torch.cat(expected, 1) / small, rtol=1e-4, atol=1e-8)
        assert not ((after != before).any(1).numpy() & ~changed[:, k]).any()
    assert np.abs(found).max() > 0.01
    assert not changed.all() or made is not Plain


def odds(logits: Tensor, name: str, labels: Tensor) -> Tensor:
    """log(p / (1 - p)) of the true class, or of class 2."""
    p = (-outcome("loss").values(logits, labels)).exp() if name == "loss" else outcome(name).values(logits)
    return (p / (1 - p)).log()


@pytest.mark.parametrize("name", ["loss", "probability:2"])
def test_loss_and_probability_follow_from_the_log_odds(name: str) -> None:
    model, x = seeded(Residual).double(), images(9).double()
    with torch.no_grad():
        model.fc.weight *= 10.0
    labels, graph, small = torch.arange(9) % 3, trace(model, images(1).double()), 1e-6
    questions = [("stem", 0), ("block1.conv2", 2)]
    found, _ = run(model, name, x, labels, questions)
    for k, question in enumerate(questions):
        logits = before_and_after(model, graph, x, question, 1 - small)
        before, after = (odds(one, name, labels) for one in logits)
        p = [torch.sigmoid(before), torch.sigmoid(before + (after - before) / small)]
        expected = p[0].log() - p[1].log() if name == "loss" else p[1] - p[0]
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-4, atol=1e-8)
    assert np.abs(found).max() > 1e-4


def test_a_sure_answer_keeps_its_estimate() -> None:
    """Log-odds of two classes are linear here; the loss's own gradient would be 1e-20 and say nothing."""
    model, x = seeded(Linear).double(), images(6).double()
    model.fc = seeded(lambda: nn.Linear(4, 2)).double()
    with torch.no_grad():
        model.fc.weight *= 1000.0
    labels, graph = model(x).argmax(1), trace(model, x[:1])
    found, _ = run(model, "loss", x, labels, [("b", unit) for unit in range(4)])
    for unit in range(4):
        before, after = before_and_after(model, graph, x, ("b", unit), 0.0)
        expected = outcome("loss").effects(after, before, labels)
        np.testing.assert_allclose(found[:, unit], expected, rtol=1e-9, atol=1e-9)
    assert found.max() > 10


class Linear(nn.Module):
    """No nonlinearity: first-order changes of the logits are the changes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 3, 2), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.a(x)).mean((2, 3)) * 5)


def second_moment(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
    return (logits**2).mean(1)


def two(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
    return logits[:, :2].sin()


def test_in_a_linear_network_all_outcomes_of_logits_are_exact() -> None:
    model, x = seeded(Linear).double(), images(20).double()
    labels, graph = torch.arange(20) % 4, trace(model, images(1).double())
    questions = [(layer, unit) for layer in ("a", "b") for unit in range(3)]
    names = ["kl", "logits", "loss", "margin", "correct", "probability:1", second_moment, two]
    found, _ = run(model, names, x, labels, questions)
    for k, question in enumerate(questions):
        before, after = before_and_after(model, graph, x, question, 0.0)
        expected = torch.cat([outcome(name).effects(after, before, labels) for name in names], 1)
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-9, atol=1e-12)
    assert found.shape[2] == 1 + 4 + 4 + 1 + 2


def test_correct_follows_from_the_margin() -> None:
    model, x = seeded(Linear).double(), images(40).double()
    torch.nn.init.zeros_(model.fc.bias)
    torch.nn.init.zeros_(model.b.bias)
    labels, graph = torch.arange(40) % 4, trace(model, images(1).double())
    found, _ = run(model, ["correct", "logit:0"], x, labels, [("a", 0), ("b", 1)])
    margin, _ = run(model, ["margin"], x, labels, [("a", 0), ("b", 1)])
    before = outcome("margin").values(model(x).detach(), labels).numpy()
    expected = (before + margin[:, :, 0] > 0).astype(float) - (before > 0)
    assert np.array_equal(found[:, :, 0], expected)
    assert np.abs(expected).sum() > 0
    _, after = before_and_after(model, graph, x, ("a", 0), 0.0)
    exact = (after.argmax(1) == labels).double().numpy() - (before[:, 0] > 0)
    assert np.mean(exact == found[:, 0, 0]) > 0.8


def test_how_each_outcome_is_estimated() -> None:
    def made(names: object, classes: int) -> FirstOrder:
        several = outcomes(names, classes)
        return FirstOrder(several, classes, (1,) * len(several))

    assert made(["loss", "correct"], 10).how == {"loss": "odds", "correct": "margin"}
    assert made(["loss", "correct"], 10).passes == 2
    assert made(["correct", "margin"], 10).passes == 1
    assert made(["loss", "probability:1", "probability:2", "logit:1"], 10).passes == 4
    assert set(made(["loss", "probability:0"], 1).how.values()) == {"logits"}
    assert set(made(["loss", "kl"], 16).how.values()) == {"logits"}
    assert made(["loss", "kl"], 16).passes == 16
    many = made(["loss", "kl", second_moment], 17)
    assert many.how == {"loss": "odds", "kl": "", "second_moment": ""}
    assert (many.passes, many.usable) == (1, True)
    nothing = made(["kl"], 1000)
    assert (nothing.passes, nothing.usable) == (0, False)


def test_no_estimate_is_zero_and_unknown_changes_count_as_changed() -> None:
    model, x = seeded(Plain).double(), images(5).double()
    graph = trace(model, x[:1])
    cut = CutModel.of(model, graph)
    assert not isinstance(cut, str)
    first = FirstOrder(outcomes(["loss"], 4), 4, (1,))
    with cut.run(x, [("conv1", "activation")], grad=True) as state:
        found, changed = first.estimates(
            state, torch.zeros(5).long(), {"g": [("conv1", 0)]}, one_by_one(lambda *_: [])
        )["g"]
    assert not found.any()
    assert changed.all()


def a_loss(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
    return logits[:, 0]


def test_a_callable_named_like_an_outcome_is_no_such_outcome() -> None:
    a_loss.__name__ = "loss"
    several = outcomes([a_loss], 4)
    assert FirstOrder(several, 40, (1,)).how == {"loss": ""}
