"""Questions of units, sets of units and paths, against whole passes of the edited network."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from causal_widget.effects.cutting import CutModel, Pace, WholeModel
from causal_widget.effects.questions import (
    Context,
    Question,
    Questions,
    answers,
    changes,
    questions_of_edits,
    questions_of_units,
)
from causal_widget.errors import ArgumentError, UnknownNameError
from causal_widget.graph import FilterGraph, trace
from causal_widget.interventions import (
    Constant,
    Donors,
    Edits,
    Mean,
    MeanMaps,
    Noise,
    PathEdit,
    Resample,
    Scale,
    UnitEdit,
    Zero,
    donors,
    edited,
    means,
)
from tests.effects.cut_networks import MADE, network
from tests.interventions.networks import Plain, Residual, images, seeded

SOME = ("densenet", "googlenet", "mobilenet_v2", "mobilenet_v3_small", "shufflenet")


def cut(model: nn.Module, graph: FilterGraph) -> CutModel:
    found = CutModel.of(model, graph)
    assert isinstance(found, CutModel), found
    return found


def by_loop(model: nn.Module, graph: FilterGraph, x: Tensor, edit: object, context: Context) -> Tensor:
    """The plain loop: the whole network under one edit."""
    given = {"means": context.means, "donors": context.donors, "index": context.index}
    with edited(model, graph, edit, **given) as held:
        return held(x).detach()


def asked(
    model: CutModel | WholeModel, x: Tensor, questions: Questions, context: Context, size: int = 7
) -> dict[Question, Tensor]:
    """Logits by question."""
    found: dict[Question, Tensor] = {}
    for layer, group in questions.groups.items():
        with model.run(x, questions.places(layer)) as state:
            for answer in answers(state, group, context, pace=Pace([size])):
                assert answer.changed.shape == answer.logits.shape[:2]
                assert answer.items == int(answer.changed.sum())
                same = answer.logits[~answer.changed]
                assert torch.equal(same, state.logits.expand_as(answer.logits)[~answer.changed])
                found |= dict(zip(group[answer.questions], answer.logits, strict=True))
    return found


def compare(model: nn.Module, graph: FilterGraph, x: Tensor, edits: list[object], context: Context) -> float:
    """Hold every answer to the loop, and give the largest effect."""
    questions, before, largest = questions_of_edits(graph, edits), model(x).detach(), 0.0
    found = asked(cut(model, graph), x, questions, context)
    assert list(found) == list(questions.all)
    for question, logits in found.items():
        expected = by_loop(model, graph, x, question.edit, context)
        scale = float((expected - before).abs().max())
        assert float((logits - expected).abs().max()) <= 1e-5 * scale + 1e-13, question
        largest = max(largest, scale)
    return largest


def seen(model: nn.Module, graph: FilterGraph, x: Tensor) -> Context:
    """Numbers that are not in a row, means and donors of other images."""
    index = torch.arange(len(x)) * 3 + 2
    other = images(5, size=x.shape[-1], seed=9).to(x.dtype)
    maps: MeanMaps = means(model, graph, other)
    given: Donors = donors(model, graph, other, n=4)
    return Context(index, maps, given)


@pytest.mark.parametrize("name", [*MADE, *SOME])
def test_sets_of_units_under_every_action(name: str) -> None:
    model, size = network(name)
    x, draw = images(3, size=size).double(), random.Random(4)
    graph = trace(model, x)
    context = seen(model, graph, x)
    hidden = [layer for layer in graph.layers if not layer.is_output]
    chosen = hidden if len(hidden) < 5 else draw.sample(hidden, 3)
    edits: list[object] = []
    for layer in chosen:
        for k, action in enumerate([Zero(), Mean(), Constant(0.4), Scale(0.3), Resample(3), Noise(0.2, 5)]):
            size_of_set = (1, 2, layer.units)[k % 3]
            edits.append(UnitEdit({layer.name: draw.sample(range(layer.units), size_of_set)}, action))
    assert compare(model, graph, x, edits, context) > 0


def test_edits_of_one_layer_that_are_in_force_together() -> None:
    model, x = seeded(Residual).double(), images(4).double()
    graph = trace(model, x)
    several = Edits(
        (UnitEdit({"block1.conv1": [0, 3]}, Scale(2.0)), UnitEdit({"block1.conv1": [3, 5]}, Constant(0.5)))
    )
    assert compare(model, graph, x, [several], seen(model, graph, x)) > 0


def test_single_units_are_named_and_grouped_in_forward_order() -> None:
    model, x = seeded(Residual), images(2)
    graph = trace(model, x)
    questions = questions_of_units(graph, {"block2.conv1": [4, 1], "stem": [0]})
    assert [q.name for q in questions.all] == ["stem[0]", "block2.conv1[1]", "block2.conv1[4]"]
    assert list(questions.groups) == ["stem", "block2.conv1"]
    assert questions.places("stem") == questions.entries("stem") == (("stem", "activation"),)
    assert [q.unit for q in questions.group("block2.conv1")] == [1, 4]
    assert not questions.needs_means
    assert not questions.needs_donors
    assert questions.seen is None
    asking = questions_of_units(graph, {"stem": [0]}, Mean(), "conv")
    assert asking.needs_means
    assert asking.seen == ("conv", ("stem",))
    assert "3 edits at 2 layers" in repr(questions)
    assert list(questions.table()["layer"]) == ["stem", "block2.conv1", "block2.conv1"]


def test_a_whole_network_gives_the_same_answers() -> None:
    model, x = seeded(Plain).double(), images(4).double()
    graph = trace(model, x)
    context = seen(model, graph, x)
    edits = [
        UnitEdit({"conv1": [0, 2]}),
        PathEdit(("conv1", 1), "conv2", (0, 3), 0.2),
        UnitEdit({"conv1": [1], "conv2": [2]}, Noise(0.3)),
    ]
    questions = questions_of_edits(graph, edits)
    for model_of in (WholeModel(model, graph, "tried"), cut(model, graph)):
        for question, logits in asked(model_of, x, questions, context).items():
            torch.testing.assert_close(logits, by_loop(model, graph, x, question.edit, context))


@pytest.mark.parametrize("name", ["Plain", "InPlace", "Residual", "Inception", "Attended"])
@pytest.mark.parametrize("whole", [False, True])
def test_changes_and_gradients_give_the_derivative(name: str, whole: bool) -> None:
    """A small scaling's effect is the gradient times the change, also behind activations in place."""
    model, size = network(name)
    x = images(3, size=size).double()
    graph, context = trace(model, x), Context(torch.arange(3))
    step = 1e-6
    edits: list[object] = [
        UnitEdit({layer.name: [0, 1]}, Scale(1 + step), site)
        for layer in graph.layers
        if not layer.is_output
        for site in layer.sites
    ]
    questions = questions_of_edits(graph, edits)
    entered = WholeModel(model, graph, "tried") if whole else cut(model, graph)
    places = [place for layer in questions.groups for place in questions.places(layer)]
    with entered.run(x, places, grad=True) as state:
        values = [state.value(*place) for place in places]
        grads = dict(zip(places, torch.autograd.grad(state.logits[:, 1].sum(), values), strict=True))
        for question in questions.all:
            ((place, units, delta),) = changes(state, question, context)
            assert not delta.requires_grad
            grad = grads[place].movedim(graph.layer(place[0]).unit_axis, 1)[:, units]
            found = (grad * delta).flatten(1).sum(1)
            (answer,) = answers(state, [question], context)
            assert not answer.logits.requires_grad
            expected = (answer.logits[0] - state.logits)[:, 1].detach()
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-12)
    assert all(p.grad is None for p in model.parameters())


def test_bad_questions() -> None:
    model, x = seeded(Plain), images(2)
    graph = trace(model, x)
    with pytest.raises(UnknownNameError, match=r"conv1"):
        questions_of_units(graph, {"conv11": [0]})
    with pytest.raises(UnknownNameError, match="units 0 to 5"):
        questions_of_units(graph, {"conv1": [6]})
    with pytest.raises(UnknownNameError, match="activation"):
        questions_of_units(graph, {"conv1": [0]}, site="activations")
    with pytest.raises(ArgumentError, match="classes"):
        questions_of_units(graph, {"fc": [0]})
    with pytest.raises(ArgumentError, match="no units"):
        questions_of_units(graph, {})
    with pytest.raises(ArgumentError, match="action"):
        questions_of_units(graph, {"conv1": [0]}, "zero")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="no edits"):
        questions_of_edits(graph, [])
    with pytest.raises(ArgumentError, match="changes nothing"):
        questions_of_edits(graph, [UnitEdit({})])
    with pytest.raises(ArgumentError, match="twice"):
        questions_of_edits(graph, [UnitEdit({"conv1": [1]}), Edits((UnitEdit({"conv1": [1]}),))])
    with pytest.raises(ArgumentError, match=r'no parent of "fc".*conv2'):
        questions_of_edits(graph, PathEdit(("conv1", 0), "fc"))
    with pytest.raises(UnknownNameError, match="unit 9"):
        questions_of_edits(graph, PathEdit(("conv1", 0), "conv2", (9,)))
    questions = questions_of_units(graph, {"conv1": [0]}, Resample())
    with pytest.raises(UnknownNameError, match="conv1"):
        questions.places("conv2")
    with (
        cut(model, graph).run(x, questions.places("conv1")) as state,
        pytest.raises(ArgumentError, match="needs donors"),
    ):
        list(answers(state, questions.all, Context(torch.arange(2))))
    two = [UnitEdit({"conv1": [0]}, Mean(), "conv"), UnitEdit({"conv1": [0]}, Mean())]
    with pytest.raises(ArgumentError, match="one site"):
        _ = questions_of_edits(graph, two).seen
