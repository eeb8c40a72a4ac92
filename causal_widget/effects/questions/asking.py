"""Make questions of units and of edits, checked against the network's graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from causal_widget.effects.questions.entry import entry_of
from causal_widget.effects.questions.question import Question
from causal_widget.effects.questions.questions import Questions
from causal_widget.errors import ArgumentError
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Action, Edits, Intervention, PathEdit, UnitEdit, Zero

__all__ = ["questions_of_edits", "questions_of_units"]

Asked = UnitEdit | PathEdit | Edits | Intervention


def questions_of_units(
    graph: FilterGraph,
    units: Mapping[str, Iterable[int]],
    action: Action | None = None,
    site: str = "activation",
) -> Questions:
    """Ask of each of some units, each alone, what an action on it does.

    Parameters
    ----------
    graph : FilterGraph
        The network's graph.
    units : mapping of layer name to units
        Which.
    action : Action, optional
        What is done; None: `Zero()`.
    site : str
        Where; a layer without it is changed at its last site before it.

    Raises
    ------
    UnknownNameError
        If a layer, unit or site does not exist; the message carries the nearest name.
    ArgumentError
        If a unit is a class, the action is none, or there are no units.
    """
    edit = UnitEdit(units, Zero() if action is None else action, site).checked(graph)
    if not edit.units:
        raise ArgumentError("no units to change: name at least one layer with units")
    found = [
        Question(f"{layer}[{unit}]", layer, unit, UnitEdit({layer: [unit]}, edit.action, site))
        for layer in graph.names
        for unit in edit.units.get(layer, ())
    ]
    return Questions(graph, tuple(found))


def questions_of_edits(graph: FilterGraph, edits: Asked | Iterable[Asked]) -> Questions:
    """Ask of each of some edits what it does; several that are in force together are one `Edits`.

    Parameters
    ----------
    graph : FilterGraph
        The network's graph.
    edits : UnitEdit, PathEdit, Edits, Intervention, or several
        Each is a question.

    Raises
    ------
    UnknownNameError
        If a layer, unit or child does not exist; the message carries the nearest name.
    ArgumentError
        If a unit is a class, a path joins what is not parent and child, an edit changes nothing, or is asked
        for twice.
    """
    listed = [edits] if isinstance(edits, UnitEdit | PathEdit | Edits | Intervention) else list(edits)
    if not listed:
        raise ArgumentError("no edits to ask of")
    found = [_question(graph, edit) for edit in listed]
    seen: set[object] = set()
    for question in found:
        if question.edit in seen:
            raise ArgumentError(f"{question.edit!r} is asked for twice")
        seen.add(question.edit)
    order = {name: k for k, name in enumerate(graph.names)}
    return Questions(graph, tuple(sorted(found, key=lambda question: order[question.layer])))


def _question(graph: FilterGraph, edit: Asked) -> Question:
    checked = Edits.of(edit).checked(graph)
    touched = {layer for one in checked.units for layer in one.units} | {p.target for p in checked.paths}
    if not touched:
        raise ArgumentError(f"{edit!r} changes nothing: name units or a path")
    only = checked.edits[0] if len(checked) == 1 else checked
    entry = entry_of(graph, only)
    layer = next(name for name in graph.names if name in touched)
    unit = None
    if isinstance(only, UnitEdit) and only.n_units == 1:
        (unit,) = only.units[layer]
    name = f"{layer}[{unit}]" if unit is not None else repr(only)[3:-1]
    return Question(name, layer, unit, only, entry if isinstance(entry, str) else "")
