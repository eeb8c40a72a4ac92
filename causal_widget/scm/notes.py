"""What a person should know about some equations: dead units, collinear parents, too few images, blow-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from causal_widget.scm.evidence import Evidence
from causal_widget.scm.normal import Columns

if TYPE_CHECKING:
    from causal_widget.scm.assemble import Part

Array = NDArray[np.float64]
Judged = Mapping[str, tuple[Array, Array]]
# The mean of the responses has a relative error of 1: an equation this much worse has blown up.
BLOWN = 2.0
# Beyond this condition of the parents' correlations a coefficient's variance is a thousandfold or more.
NEARLY = 1e3


def linear_notes(
    parts: Sequence[Part],
    evidence: Evidence,
    train: Columns,
    parent_dead: Bool[np.ndarray, " column"],
    judged: Judged,
) -> tuple[str, ...]:
    """Return the notes of a layer's linear equations."""
    notes = common_notes(evidence, train, parent_dead, judged)
    most = max(part.reading.parents.shape[1] for part in parts)
    penalty = max(float(part.penalty.max(initial=0)) for part in parts)
    if evidence.count <= most:
        notes.append(few_images(evidence.count, most, penalty))
    short = sum(_short(part, parent_dead) for part in parts)
    if short:
        choice = "the ridge, which shares the coefficient among them," if penalty else "the least norm"
        notes.append(f"{short} group(s) of parents are collinear: {choice} decides.")
    condition = np.concatenate([part.condition[np.isfinite(part.condition)] for part in parts])
    if condition.max(initial=0) > NEARLY:
        notes.append(
            f"Parents are nearly collinear (condition up to {condition.max():,.0f}): single coefficients are "
            "uncertain, what they predict together is not."
        )
    told = dict.fromkeys(note for part in parts for note in part.notes)
    return tuple(notes) + tuple(told)


def few_images(n_images: int, n_parents: int, penalty: float | None) -> str:
    """Say how many images would do, and what the ridge does meanwhile (None: equations are not linear)."""
    meanwhile = (
        f" Meanwhile the ridge (up to {penalty:.3g} of a parent's variance) keeps the coefficients small and "
        "unique, and biased towards 0."
        if penalty
        else " Meanwhile the coefficients of least norm are given; they fit noise: prefer ridge."
    )
    if penalty is None:
        meanwhile = " Meanwhile the equations may fit noise: look at held-out R2."
    return (
        f"{n_images} training images for {n_parents} parents: no unique solution; {n_parents + 1} or more "
        f"would do, ten times as many ({10 * n_parents}) would do well.{meanwhile}"
    )


def common_notes(
    evidence: Evidence, train: Columns, parent_dead: Bool[np.ndarray, " column"], judged: Judged
) -> list[str]:
    """Return what may be said of any layer's equations, linear or not."""
    notes = []
    if train.dead.any():
        notes.append(f"{int(train.dead.sum())} unit(s) have no variance: their R2 is not defined.")
    if parent_dead.any():
        notes.append(f"{int(parent_dead.sum())} parent(s) have no variance: their coefficients are 0.")
    if not evidence.judges:
        notes.append("No images were held out: held-out R2 is not known.")
    for kind, (r2, mse) in judged.items():
        notes.extend(_blown(kind, r2, mse))
    return notes


def _blown(kind: str, r2: Array, mse: Array) -> list[str]:
    """Tell of equations whose held-out error is far above the variance."""
    relative = np.where(np.isnan(r2), 0.0, 1 - r2)
    if not (relative > BLOWN).any():
        return []
    worst = int(relative.argmax())
    return [
        f"{int((relative > BLOWN).sum())} equation(s) blow up on held-out {kind} images: row {worst} has a "
        f"mean squared error of {mse[worst]:.4g}, {relative[worst]:.3g} times its variance."
    ]


def _short(part: Part, parent_dead: Bool[np.ndarray, " column"]) -> int:
    """Count the groups whose live parents are not independent."""
    alive = (~parent_dead[part.reading.parents]).sum(axis=1)
    return int(np.count_nonzero(part.rank < alive))
