"""Exact effects of some questions on some images, in a network that has run once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from causal_widget.effects.cutting import CutState, Pace, WholeState
from causal_widget.effects.outcomes import Outcome, logit_sizes
from causal_widget.effects.pool import Part
from causal_widget.effects.questions import Context, Question, answers
from causal_widget.effects.shards import Before
from causal_widget.effects.statistics import EffectMoments
from causal_widget.errors import NonFiniteError

__all__ = ["Measured", "before", "measured", "numbers"]

State = CutState | WholeState


@dataclass(frozen=True, eq=False)
class Measured:
    """Effects, image by image.

    Attributes
    ----------
    effects : array, shape (image, question, column)
        The outcomes under each edit minus those without.
    changed : array of bool, shape (image, question)
        Where the edit changes anything.
    ran : int
        Pairs that were run.
    """

    effects: Float64[np.ndarray, "image question column"]
    changed: Bool[np.ndarray, "image question"]
    ran: int


def measured(
    state: State,
    questions: Sequence[Question],
    part: Part,
    context: Context,
    outcomes: tuple[Outcome, ...],
    *,
    items: int,
    budget: int,
    told: Callable[[int], None],
) -> Measured:
    """Measure some questions of one layer.

    Parameters
    ----------
    state : CutState or WholeState
        The network, run on the part's images, within its block.
    questions : sequence of Question
        Of one layer, all cut or all whole.
    part, context : Part, Context
        The images, and what edits must know.
    outcomes : tuple of Outcome
        What is measured.
    items : int
        Pairs in one batch.
    budget : int
        Bytes that running again may take.
    told : callable (int)
        Given the pairs that are finished, now and then; may raise.

    Raises
    ------
    NonFiniteError
        If an effect is NaN or infinite.
    """
    effects, changed, ran = [], [], 0
    for answer in answers(state, questions, context, pace=Pace([items]), budget=budget):
        asked, n, _ = answer.logits.shape
        flat, base = answer.logits.flatten(0, 1), state.logits.detach().repeat(asked, 1)
        labels = part.repeated(asked)
        columns = torch.cat([one.effects(flat, base, labels) for one in outcomes], 1)
        effects.append(numbers(columns.reshape(asked, n, -1).movedim(0, 1), part))
        changed.append(answer.changed.T.cpu().numpy())
        ran += answer.items
        told(asked * n)
    return Measured(np.concatenate(effects, 1), np.concatenate(changed, 1), ran)


def before(state: State, part: Part, outcomes: tuple[Outcome, ...]) -> Before:
    """Measure the outcomes without a change."""
    logits = state.logits.detach()
    values = torch.cat([one.values(logits, part.labels) for one in outcomes], 1)
    sizes = numbers(logit_sizes(logits, part.labels), part)
    hard = hardness(logits, part.labels)
    return Before(EffectMoments.of(numbers(values, part)), EffectMoments.of(sizes), numbers(hard, part))


def hardness(logits: Tensor, labels: Tensor | None) -> Tensor:
    """Say how hard each image is: its loss, or how far from 1 the largest probability is without labels."""
    exact = (logits.cpu() if logits.device.type == "mps" else logits).double()
    if labels is None:
        return 1 - exact.softmax(1).amax(1)
    return torch.nn.functional.cross_entropy(exact, labels.to(exact.device), reduction="none")


def numbers(values: Tensor, part: Part) -> Float64[np.ndarray, "image ..."]:
    """Give measured values as an array.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; names the image.
    """
    found = np.asarray(values.detach().cpu().numpy(), dtype=np.float64)
    if not np.isfinite(found).all():
        bad = int(np.flatnonzero(~np.isfinite(found.reshape(len(found), -1)).all(axis=1))[0])
        raise NonFiniteError(f"an outcome of image {int(part.index[bad]):,} is NaN or infinite")
    return found
