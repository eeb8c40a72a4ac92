"""What is foreseen: the true class's logit, the margin, or the logits of chosen classes."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causal_widget.errors import ArgumentError, DataError, UnknownNameError, nearest

__all__ = ["checked_outcomes", "margin_of", "read_outcomes"]

Outcome = str | int
NAMES = ("true", "margin")


def checked_outcomes(asked: object, classes: int) -> tuple[Outcome, ...]:
    """Give the outcomes as ``"true"``, ``"margin"`` or class numbers.

    Parameters
    ----------
    asked : str, int or iterable of them
        ``"true"``, ``"margin"``, ``"all"`` (every class), class numbers, or several of these.
    classes : int
        How many there are.

    Raises
    ------
    UnknownNameError
        If a word is none of the three.
    ArgumentError
        If a number is no class, there is no outcome, or one comes twice.
    """
    if asked == "all":
        return tuple(range(classes))
    listed = [asked] if isinstance(asked, str | Integral) else asked
    if not isinstance(listed, Iterable):
        raise ArgumentError(f'outcomes must be "true", "margin", "all" or class numbers, got {asked!r:.80}')
    found = tuple(_outcome(one, classes) for one in listed)
    if not found or len(set(found)) < len(found):
        raise ArgumentError(f"outcomes must be one or more, each once, got {asked!r:.80}")
    return found


def _outcome(one: object, classes: int) -> Outcome:
    if isinstance(one, str):
        if one not in NAMES:
            words = (*NAMES, "all")
            raise UnknownNameError(
                f'outcome "{one}" does not exist; expected "true", "margin", "all" or class numbers.'
                f"{nearest(one, words)}"
            )
        return one
    if not isinstance(one, Integral) or isinstance(one, bool) or not 0 <= int(one) < classes:
        raise ArgumentError(f"class {one!r:.80} does not exist; the classes are 0 to {classes - 1}")
    return int(one)


def read_outcomes(
    logits: Float[Tensor, "image class"],
    labels: Int[Tensor, " image"] | None,
    outcomes: tuple[Outcome, ...],
) -> Float[Tensor, "image outcome"]:
    """Give each image's outcomes.

    Raises
    ------
    DataError
        If the true class is needed and not known.
    """
    columns = []
    for outcome in outcomes:
        if isinstance(outcome, int):
            columns.append(logits[:, outcome])
            continue
        if labels is None:
            raise DataError(
                f'outcome "{outcome}" needs labels: give (images, labels), or ask for classes by number'
            )
        true = logits.gather(1, labels[:, None])[:, 0]
        columns.append(true if outcome == "true" else margin_of(logits, labels))
    return torch.stack(columns, dim=1)


def margin_of(logits: Float[Tensor, "image class"], labels: Int[Tensor, " image"]) -> Float[Tensor, " image"]:
    """Give the true class's logit minus the largest of the others: positive where the answer is right."""
    true = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return true - others.max(dim=1).values
