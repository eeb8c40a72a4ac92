"""What edits add to the maps where they enter, many units of a layer in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from causal_widget.effects.cutting import CutState, Place, WholeState
from causal_widget.effects.questions import Context, Question, changes
from causal_widget.interventions import Action, UnitEdit

__all__ = ["Differences"]

State = CutState | WholeState
Alike = tuple[str, str, Action]


class Differences:
    """`changes`, with one step for all units of a layer that are changed in the same way.

    Actions treat each unit by itself, so that what is done to many at once is what is done to each alone.

    Parameters
    ----------
    asked : mapping of layer name to sequence of Question
        All that will be asked for.
    context : Context
        Of the state's images.
    """

    def __init__(self, asked: Mapping[str, Sequence[Question]], context: Context) -> None:
        self._context = context
        self._units: dict[Alike, list[int]] = {}
        self._found: dict[Alike, tuple[Place, dict[int, int], Tensor]] = {}
        for group in asked.values():
            for one in group:
                key = _alike(one)
                if key is not None and one.unit is not None:
                    self._units.setdefault(key, []).append(one.unit)

    def __call__(self, state: State, question: Question) -> list[tuple[Place, Tensor, Tensor]]:
        """Give what an edit adds to the maps at the places where it enters."""
        key = _alike(question)
        if key is None or question.unit is None:
            return changes(state, question, self._context)
        if key not in self._found:
            layer, site, action = key
            edit = UnitEdit({layer: self._units[key]}, action, site)
            ((place, units, delta),) = changes(state, Question("", layer, None, edit), self._context)
            self._found[key] = place, {unit: k for k, unit in enumerate(units.tolist())}, delta
        place, rows, delta = self._found[key]
        k = rows[question.unit]
        return [(place, torch.tensor([question.unit], device=delta.device), delta[:, k : k + 1])]


def _alike(question: Question) -> Alike | None:
    """Say what questions of single units have in common; None for others."""
    edit = question.edit
    if question.unit is None or question.reason or not isinstance(edit, UnitEdit):
        return None
    return question.layer, edit.site, edit.action
