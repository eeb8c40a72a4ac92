"""What edits add to the maps where they enter, many units of a layer in one step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from causal_widget.effects.cutting import CutState, WholeState
from causal_widget.effects.first_order import Joined, one_by_one
from causal_widget.effects.questions import Context, Question, changes
from causal_widget.interventions import Action, UnitEdit

__all__ = ["differences"]

State = CutState | WholeState
Alike = tuple[str, str, Action]


def differences(state: State, questions: Sequence[Question], context: Context) -> list[Joined]:
    """Give what questions of one group change, with one step for all units that are changed in the same way.

    Actions treat each unit by itself, so that what is done to many at once is what is done to each alone.

    Parameters
    ----------
    state : CutState or WholeState
        Within its block.
    questions : sequence of Question
        Of one layer.
    context : Context
        Of the state's images.
    """
    alike: dict[Alike | None, list[int]] = {}
    for number, question in enumerate(questions):
        alike.setdefault(_alike(question), []).append(number)
    found = []
    for key, numbers in alike.items():
        if key is not None:
            found.append(_in_one_step(state, key, numbers, questions, context))
            continue
        others = [questions[number] for number in numbers]
        places = torch.tensor(numbers)
        for one in one_by_one(lambda passing, question: changes(passing, question, context))(state, others):
            where = places.to(one.questions.device)[one.questions]
            found.append(Joined(one.place, where, one.units, one.delta))
    return found


def _in_one_step(
    state: State, key: Alike, numbers: list[int], questions: Sequence[Question], context: Context
) -> Joined:
    layer, site, action = key
    asked = [unit for number in numbers if (unit := questions[number].unit) is not None]
    edit = UnitEdit({layer: sorted(set(asked))}, action, site)
    ((place, units, delta),) = changes(state, Question("", layer, None, edit), context)
    rows = {unit: row for row, unit in enumerate(units.tolist())}
    order = [rows[unit] for unit in asked]
    if order != list(range(len(units))):
        chosen = torch.tensor(order, device=delta.device)
        units, delta = units[chosen], delta[:, chosen]
    return Joined(place, torch.tensor(numbers, device=delta.device), units, delta)


def _alike(question: Question) -> Alike | None:
    """Say what questions of single units have in common; None for others."""
    edit = question.edit
    if question.unit is None or question.reason or not isinstance(edit, UnitEdit):
        return None
    return question.layer, edit.site, edit.action
