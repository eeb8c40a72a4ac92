"""The network's answers to questions: its logits under each edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from causal_widget.effects.cutting import (
    BUDGET,
    Change,
    CutState,
    Pace,
    Place,
    WholeState,
    changed_logits,
)
from causal_widget.effects.forward import in_halves
from causal_widget.effects.questions.context import Context
from causal_widget.effects.questions.entry import Entry, JointEntry, entry_of
from causal_widget.effects.questions.path_entry import PathEntry
from causal_widget.effects.questions.question import Question
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Edits

__all__ = ["Answer", "answers", "changes", "entries_of"]

State = CutState | WholeState


@dataclass(frozen=True, eq=False)
class Answer:
    """The logits under the edits of some questions in a row.

    Attributes
    ----------
    questions : slice
        Which of the questions asked.
    logits : Tensor, shape (question, image, class)
        The network's output under each edit.
    changed : bool Tensor, shape (question, image)
        Which pairs were run: in the others the edit changes nothing, and the logits are those without it, to
        the bit.
    items : int
        How many pairs were run.
    """

    questions: slice
    logits: Float[Tensor, "question image class"]
    changed: Bool[Tensor, "question image"]
    items: int


def answers(
    state: State,
    questions: Sequence[Question],
    context: Context,
    *,
    pace: Pace | None = None,
    budget: int = BUDGET,
    entered: Sequence[Entry | JointEntry | str] | None = None,
) -> Iterator[Answer]:
    """Give the logits under the edit of each question.

    Paths that differ in nothing but beta and stand together share the work of their first layer, into which
    beta enters as a factor.

    Parameters
    ----------
    state : CutState or WholeState
        Within its block; run with `Questions.places` of the questions' layer.
    questions : sequence of Question
        Of `Questions`.
    context : Context
        Of the state's images.
    pace : Pace, optional
        How many items run in one batch; None: measured on the first. Edits of several places run one by one.
    budget : int
        Bytes that running again may take, besides what is kept.
    entered : sequence of entries, optional
        What `entries_of` gives for the questions, where they are asked of batch after batch.

    Yields
    ------
    Answer
        In the order of the questions, some at a time.

    Raises
    ------
    ArgumentError
        If means or donors are needed and missing.
    UnsupportedModelError
        If a path leads into a layer that computes in a way of its own.
    """
    known = entries_of(state.graph, questions) if entered is None else entered
    entries = [None if isinstance(one, str) or one.whole(state) else one for one in known]
    first = 0
    for how, end in _runs(entries):
        some = slice(first, end)
        if how == "whole":
            yield from _by_whole_passes(state, questions, some, context)
        elif how == "jointly":
            for k in range(first, end):
                yield _jointly(state, entries[k], k, context, pace, budget)
        else:
            made = _changes(state, entries[some], context)
            for found in changed_logits(state, how, made, pace=pace, budget=budget):  # type: ignore[arg-type]
                at = first + found.first
                yield Answer(slice(at, at + len(found.logits)), found.logits, found.changed, found.items)
        first = end


def entries_of(graph: FilterGraph, questions: Sequence[Question]) -> list[Entry | JointEntry | str]:
    """Give where each question enters, or why whole passes answer it."""
    return [question.reason or entry_of(graph, question.edit) for question in questions]


def changes(state: State, question: Question, context: Context) -> list[tuple[Place, Tensor, Tensor]]:
    """Give what an edit adds to the maps at the places where it enters, to be met with gradients there.

    To first order, what a question does to an outcome is the sum over places of the product of the outcome's
    gradient at the place with this difference. Edits of several places are each given as if alone.

    Parameters
    ----------
    state, question, context
        As for `answers`. The state may be run with ``grad=True``; what is given here has no gradient.

    Returns
    -------
    list of ((layer, site), units, difference)
        Units of shape (unit,), their new maps minus their old ones of shape (image, unit, ...), the units
        moved to axis 1. Empty where it cannot be told without a whole pass.
    """
    found = []
    entered = entry_of(state.graph, question.edit)
    for entry in entered.entries if isinstance(entered, JointEntry) else [entered]:
        if isinstance(entry, str) or entry.whole(state):
            return []
        change = entry.change(state, context)
        found.append((entry.place, change.units, change.after - change.before))
    return found


def _runs(entries: Sequence[Entry | JointEntry | None]) -> Iterator[tuple[Place | str, int]]:
    """Give the questions in a row that are answered alike, by the end of each: how, or where they enter."""
    how = [_how(entry) for entry in entries]
    for k, one in enumerate(how, 1):
        if k == len(how) or how[k] != one:
            yield one, k


def _how(entry: Entry | JointEntry | None) -> Place | str:
    if entry is None:
        return "whole"
    return "jointly" if isinstance(entry, JointEntry) else entry.place


@torch.no_grad()
def _jointly(
    state: State, entry: Entry | JointEntry | None, at: int, context: Context, pace: Pace | None, budget: int
) -> Answer:
    assert isinstance(entry, JointEntry)
    assert isinstance(state, CutState)
    changed = entry.active(state, context)
    rows, logits = changed.nonzero().flatten(), state.logits.detach().clone()
    most = max(1, budget // (2 * state.bytes_per_item(*entry.place)))
    size = most if pace is None else min(most, pace.largest)
    for some in rows.split(size) if len(rows) else ():
        logits[some] = in_halves(lambda items: entry.logits(state, context, items), some)
    return Answer(slice(at, at + 1), logits[None], changed[None], len(rows))


def _changes(
    state: State, entries: Sequence[Entry | JointEntry | None], context: Context
) -> Iterator[Change]:
    """Give each change; of paths that differ in beta alone, all but the first by scaling what is known."""
    known: tuple[object, float, Tensor] | None = None
    for entry in entries:
        assert entry is not None
        assert not isinstance(entry, JointEntry)
        linear = entry.linear if isinstance(entry, PathEntry) else None
        if not isinstance(entry, PathEntry) or linear is None or linear[1] == 1:
            yield entry.change(state, context)
            continue
        path, beta = linear
        if known is None or known[0] != path:
            known = (path, beta, entry.delta(state))
        yield entry.under(state, known[2] * ((beta - 1) / (known[1] - 1)))


@torch.no_grad()
def _by_whole_passes(
    state: State, questions: Sequence[Question], some: slice, context: Context
) -> Iterator[Answer]:
    for k in range(some.start, some.stop):
        edits = Edits.of(questions[k].edit)
        logits = state.under(edits, context.index, context.means, context.donors)[None]
        changed = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        yield Answer(slice(k, k + 1), logits, changed, state.n)
