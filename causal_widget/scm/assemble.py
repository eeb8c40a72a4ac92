"""From solved coefficients to a layer's equations: intercepts, errors on every part of the images, notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int
from numpy.typing import NDArray

from causal_widget.responses import Reading
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.evidence import KINDS, Evidence
from causal_widget.scm.normal import Columns, child_columns
from causal_widget.scm.notes import linear_notes

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """Solved groups of one reading.

    Attributes
    ----------
    reading
        Who reads whom.
    coefficients
        (group, parent, child).
    intercept, residual, penalty
        (group, child); the residual is the sum of squares on the training images.
    judged
        (group, child), sum of squared residuals on the held-out images, by kind.
    rank, condition
        (group,).
    notes
        What the solver wants to be known.
    """

    reading: Reading
    coefficients: Float64[np.ndarray, "group parent child"]
    intercept: Float64[np.ndarray, "group child"]
    residual: Float64[np.ndarray, "group child"]
    penalty: Float64[np.ndarray, "group child"]
    judged: Mapping[str, Float64[np.ndarray, "group child"]]
    rank: Int[np.ndarray, " group"]
    condition: Float64[np.ndarray, " group"]
    notes: tuple[str, ...] = ()


def assemble(target: str, parts: Sequence[Part], evidence: Evidence) -> LayerEquations:
    """Return the equations of one layer; rows that no part holds have no parents and are their mean."""
    sources, layout, train = parts[0].reading.sources, evidence.layout, evidence.children(target)
    intercept, residual = train.mean.copy(), train.squares.copy()
    for part in parts:
        intercept[part.reading.children] = part.intercept
        residual[part.reading.children] = part.residual
    dead, parent_dead = train.dead, evidence.dead_parents(sources)
    judged = {kind: _judged(kind, target, parts, evidence, train) for kind in KINDS}
    natural = evidence.natural
    return LayerEquations(
        layer=target,
        parents=sources,
        widths=tuple(layout.widths[source] for source in sources),
        components=layout.components[target],
        parent_components=tuple(layout.components[source] for source in sources),
        intercept=intercept,
        r2=r2_of(residual, train),
        noise=residual / train.count,
        heldout_r2=judged["observational"][0],
        heldout_mse=judged["observational"][1],
        interventional_r2=judged["interventional"][0],
        interventional_mse=judged["interventional"][1],
        rank=_by_row(parts, [part.rank[:, None] for part in parts], len(dead)).astype(np.intp),
        condition=_by_row(parts, [part.condition[:, None] for part in parts], len(dead)),
        penalty=_by_row(parts, [part.penalty for part in parts], len(dead)),
        n_parents=_by_row(parts, [part.reading.parents.shape[1] for part in parts], len(dead)).astype(
            np.intp
        ),
        dead=np.flatnonzero(dead),
        notes=linear_notes(parts, evidence, train, parent_dead, judged),
        data=evidence.data,
        deviation=np.sqrt(natural.variance(target)),
        parent_deviation=np.sqrt(np.concatenate([natural.variance(source) for source in sources])),
        parts=tuple((part.reading, part.coefficients) for part in parts),
    )


def r2_of(residual: Array, columns: Columns) -> Float64[np.ndarray, " row"]:
    """Return the share of the squares that is explained; NaN where there is no variance."""
    undefined = columns.dead | (columns.squares <= 0)
    return np.where(undefined, np.nan, 1 - residual / np.where(undefined, 1.0, columns.squares))


def _judged(
    kind: str, target: str, parts: Sequence[Part], evidence: Evidence, train: Columns
) -> tuple[Array, Array]:
    """Return R2 and mean squared residual of each row on held-out images; NaN where there are none."""
    moments = evidence.judges.get(kind)
    if moments is None:
        nothing = np.full(len(train.mean), np.nan)
        return nothing, nothing
    columns = child_columns(moments, target)
    residual = columns.squares + columns.count * (columns.mean - train.mean) ** 2
    for part in parts:
        residual[part.reading.children] = part.judged[kind]
    return np.where(train.dead, np.nan, r2_of(residual, columns)), residual / columns.count


def _by_row(parts: Sequence[Part], values: Sequence[Array | int], n_rows: int) -> Array:
    """Spread numbers of groups over their rows; rows without parents get 0."""
    answer = np.zeros(n_rows)
    for part, value in zip(parts, values, strict=True):
        answer[part.reading.children] = value
    return answer
