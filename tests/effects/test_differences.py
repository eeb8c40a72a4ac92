"""What edits add where they enter, many units in one step, against one after another."""

from __future__ import annotations

import pytest
import torch

from causal_widget.effects.cutting import CutModel
from causal_widget.effects.differences import differences
from causal_widget.effects.questions import Context, changes, questions_of_edits, questions_of_units
from causal_widget.graph import trace
from causal_widget.interventions import (
    Action,
    Constant,
    Edits,
    Mean,
    Noise,
    PathEdit,
    Resample,
    Scale,
    UnitEdit,
    Zero,
    donors,
    means,
)
from tests.interventions.networks import Residual, images, seeded


@pytest.mark.parametrize(
    "action", [Zero(), Constant(0.5), Scale(2.0), Mean(), Noise(0.3, seed=4), Resample(seed=3)], ids=repr
)
def test_units_in_one_step_are_units_one_after_another(action: Action) -> None:
    model, x = seeded(Residual).double(), images(7).double()
    graph = trace(model, x[:1])
    cut = CutModel.of(model, graph)
    assert not isinstance(cut, str)
    asked = questions_of_units(graph, {"stem": [3, 0, 2], "block1.conv2": [1, 4]}, action)
    context = Context(10 + torch.arange(7), means(model, graph, x), donors(model, graph, x))
    places = [place for layer in asked.groups for place in asked.places(layer)]
    with cut.run(x, places) as state:
        for group in asked.groups.values():
            for questions in (group, group[::-1], (*group, group[0])):
                (found,) = differences(state, questions, context)
                assert found.questions.tolist() == list(range(len(questions)))
                for k, question in enumerate(questions):
                    ((place, units, delta),) = changes(state, question, context)
                    assert place == found.place
                    assert found.units[k : k + 1].tolist() == units.tolist()
                    assert torch.equal(found.delta[:, k : k + 1], delta)


def test_other_edits_beside_them() -> None:
    model, x = seeded(Residual).double(), images(5).double()
    graph = trace(model, x[:1])
    cut = CutModel.of(model, graph)
    assert not isinstance(cut, str)
    edits = [
        UnitEdit({"stem": [0]}),
        UnitEdit({"stem": [0]}, Scale(0.5)),
        UnitEdit({"stem": [0]}, site="conv"),
        UnitEdit({"stem": [0, 1]}),
        PathEdit(("stem", 1), "block1.conv1"),
        Edits((UnitEdit({"stem": [0]}), UnitEdit({"stem": [0]}, Constant(1.0)))),
    ]
    asked, context = questions_of_edits(graph, edits), Context(torch.arange(5))
    places = [place for layer in asked.groups for place in asked.places(layer)]
    with cut.run(x, places) as state:
        for group in asked.groups.values():
            found = differences(state, group, context)
            for number, question in enumerate(group):
                expected = {one[0]: one[1:] for one in changes(state, question, context)}
                assert {one.place for one in found if number in one.questions} == set(expected)
                for one in found:
                    rows = one.questions == number
                    if rows.any():
                        units, delta = expected[one.place]
                        assert torch.equal(one.units[rows], units)
                        assert torch.equal(one.delta[:, rows], delta)
