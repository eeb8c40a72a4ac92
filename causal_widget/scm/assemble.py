"""From solved coefficients to a layer's equations: intercepts, R2 on both parts of the images, notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int
from numpy.typing import NDArray

from causal_widget.responses import Moments, Reading
from causal_widget.scm.equations import LayerEquations

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
    unexplained, heldout_unexplained
        (group, child), as `unexplained` gives it on training and on held-out moments.
    rank, condition
        (group,).
    """

    reading: Reading
    coefficients: Float64[np.ndarray, "group parent child"]
    unexplained: Float64[np.ndarray, "group child"]
    heldout_unexplained: Float64[np.ndarray, "group child"] | None
    rank: Int[np.ndarray, " group"]
    condition: Float64[np.ndarray, " group"]


def unexplained(gram: Array, cross: Array, coefficients: Array) -> Array:
    """Return what turns a child's centred sum of squares into its residual's: b'Gb - 2 b'c."""
    return np.asarray((coefficients * (gram @ coefficients - 2 * cross)).sum(axis=-2))


def assemble(target: str, parts: Sequence[Part], train: Moments, heldout: Moments | None) -> LayerEquations:
    """Return the equations of one layer."""
    sources = parts[0].reading.sources
    widths = tuple(train.layout.widths[source] for source in sources)
    parent_dead = np.concatenate([train.dead(source) for source in sources])
    dead = train.dead(target)
    intercept, shift = _intercepts(target, parts, train, heldout)
    squares = train.variance(target) * train.count
    residual = np.maximum(squares + _spread(parts, len(dead)), 0)
    return LayerEquations(
        layer=target,
        parents=sources,
        parent_units=np.concatenate([np.arange(width) for width in widths]),
        intercept=intercept,
        r2=_r2(residual, squares, dead),
        heldout_r2=_heldout_r2(target, parts, heldout, shift, dead),
        noise=residual / train.count,
        rank=_by_unit(parts, [part.rank for part in parts], len(dead)).astype(np.intp),
        condition=_by_unit(parts, [part.condition for part in parts], len(dead)),
        n_parents=_by_unit(
            parts, [np.full(p.reading.n_groups, p.reading.parents.shape[1]) for p in parts], len(dead)
        ).astype(np.intp),
        dead=np.flatnonzero(dead),
        notes=_notes(parts, train.count, dead, parent_dead, heldout),
        widths=widths,
        deviation=np.sqrt(train.variance(target)),
        parent_deviation=np.sqrt(np.concatenate([train.variance(source) for source in sources])),
        parts=tuple((part.reading, part.coefficients) for part in parts),
    )


def _intercepts(
    target: str, parts: Sequence[Part], train: Moments, heldout: Moments | None
) -> tuple[Array, Array | None]:
    """Return the intercepts, and the mean residual of each unit on the held-out images."""
    sources = parts[0].reading.sources
    intercept = train.mean(target)
    means = np.concatenate([train.mean(source) for source in sources])
    for part in parts:
        intercept[part.reading.children] -= _weighted(means, part)
    if heldout is None:
        return intercept, None
    shift = heldout.mean(target) - intercept
    means = np.concatenate([heldout.mean(source) for source in sources])
    for part in parts:
        shift[part.reading.children] -= _weighted(means, part)
    return intercept, shift


def _weighted(means: Array, part: Part) -> Array:
    return np.asarray(np.einsum("gp,gpc->gc", means[part.reading.parents], part.coefficients))


def _spread(parts: Sequence[Part], n_units: int) -> Array:
    total = np.zeros(n_units)
    for part in parts:
        total[part.reading.children] = part.unexplained
    return total


def _r2(residual: Array, squares: Array, undefined: Bool[np.ndarray, " unit"]) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(undefined | (squares <= 0), np.nan, 1 - residual / squares)


def _heldout_r2(
    target: str,
    parts: Sequence[Part],
    heldout: Moments | None,
    shift: Array | None,
    dead: Bool[np.ndarray, " unit"],
) -> Array:
    if heldout is None or shift is None:
        return np.full(len(dead), np.nan)
    squares = heldout.variance(target) * heldout.count
    residual = squares + heldout.count * shift**2
    for part in parts:
        assert part.heldout_unexplained is not None
        residual[part.reading.children] += part.heldout_unexplained
    return _r2(np.maximum(residual, 0), squares, dead | heldout.dead(target))


def _by_unit(parts: Sequence[Part], values: Sequence[NDArray[np.generic]], n_units: int) -> Array:
    """Spread a number a group over the group's units; units without parents get 0."""
    answer = np.zeros(n_units)
    for part, value in zip(parts, values, strict=True):
        answer[part.reading.children] = value[:, None]
    return answer


def _notes(
    parts: Sequence[Part],
    n_images: int,
    dead: Bool[np.ndarray, " unit"],
    parent_dead: Bool[np.ndarray, " column"],
    heldout: Moments | None,
) -> tuple[str, ...]:
    notes = []
    if dead.any():
        notes.append(f"{int(dead.sum())} unit(s) have no variance: their R2 is not defined.")
    if parent_dead.any():
        notes.append(f"{int(parent_dead.sum())} parent(s) have no variance: their coefficients are 0.")
    most = max(part.reading.parents.shape[1] for part in parts)
    if n_images <= most:
        notes.append(
            f"{n_images} training images for {most} parents: no unique solution; {most + 1} or more would do."
        )
    short = [_short(part, parent_dead) for part in parts]
    if any(short):
        notes.append(
            f"{sum(short)} group(s) of parents are collinear: the least norm, or the ridge, decides."
        )
    if heldout is None:
        notes.append("No images were held out: held-out R2 is not known.")
    return tuple(notes)


def _short(part: Part, parent_dead: Bool[np.ndarray, " column"]) -> int:
    """Count the groups whose live parents are not independent."""
    alive = (~parent_dead[part.reading.parents]).sum(axis=1)
    return int(np.count_nonzero(part.rank < alive))
