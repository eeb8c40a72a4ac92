"""What a method foresees, and its scores against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from causal_widget.evaluation.scores import Score, agreement, flips, pearson
from causal_widget.evaluation.truth import Truth, margins, true_logits

__all__ = ["Foreseen", "from_logits", "scored"]

Matrix = Float64[np.ndarray, "image mask"]


@dataclass(frozen=True, eq=False)
class Foreseen:
    """A method's foreseen changes under the interventions of a `Truth`, of its first images.

    Attributes
    ----------
    method : str
    true, margin : mapping of kind to array, shape (image, mask)
        Change of the true class's logit and of the margin.
    forwards : float
        What it cost an image, in forward passes.
    note : str
        What a reader should know.
    """

    method: str
    true: Mapping[str, Matrix] = field(repr=False)
    margin: Mapping[str, Matrix] = field(repr=False)
    forwards: float
    note: str = ""


def from_logits(
    method: str,
    truth: Truth,
    changes: Mapping[str, Float64[np.ndarray, "image mask class"]],
    forwards: float,
    note: str = "",
) -> Foreseen:
    """Turn foreseen changes of all logits into those of the true class and of the margin."""
    true, margin = {}, {}
    for kind, change in changes.items():
        n = len(change)
        labels, own = truth.labels[:n], truth.logits[:n, None]
        true[kind] = true_logits(change, labels)
        margin[kind] = np.asarray(margins(own + change, labels) - truth.margin[:n, None])
    return Foreseen(method, true, margin, forwards, note)


def scored(truth: Truth, foreseen: Foreseen) -> list[Score]:
    """Give a score for each kind of intervention."""
    return [_score(truth, foreseen, kind) for kind in foreseen.true]


def _score(truth: Truth, foreseen: Foreseen, kind: str) -> Score:
    expected, margin = foreseen.true[kind], foreseen.margin[kind]
    n = len(expected)
    true, true_margin = truth.true_change(kind)[:n], truth.margin_change(kind)[:n]
    own = truth.margin[:n, None]
    right, truly_right = own + margin > 0, own + true_margin > 0
    count, recall, precision = flips(own > 0, right, truly_right)
    on_margin = agreement(margin, true_margin)
    accuracies = right.mean(axis=0), truly_right.mean(axis=0)
    return Score(
        method=foreseen.method,
        kind=kind,
        images=n,
        masks=expected.shape[1],
        **agreement(expected, true),
        margin_pearson=on_margin["pearson"],
        margin_by_image=on_margin["pearson_by_image"],
        margin_r2=on_margin["r2"],
        accuracy_r=pearson(*accuracies),
        accuracy_error=float(np.abs(accuracies[0] - accuracies[1]).mean()),
        flips=count,
        foreseen=recall,
        precision=precision,
        forwards=foreseen.forwards,
    )
