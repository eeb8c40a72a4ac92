"""What edits add where they enter, many units in one step, against one after another."""

from __future__ import annotations

import pytest
import torch

from causal_widget.effects.cutting import CutModel
from causal_widget.effects.differences import Differences
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
        given = Differences(asked.groups, context)
        for question in reversed(asked.all):
            ((place, units, delta),) = given(state, question)
            ((expected_place, expected_units, expected),) = changes(state, question, context)
            assert place == expected_place
            assert torch.equal(units, expected_units)
            assert torch.equal(delta, expected)


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
        given = Differences(asked.groups, context)
        for question in asked.all:
            found, expected = given(state, question), changes(state, question, context)
            assert [one[0] for one in found] == [one[0] for one in expected]
            for one, other in zip(found, expected, strict=True):
                assert torch.equal(one[1], other[1])
                assert torch.equal(one[2], other[2])
