"""How the linear equations of some children are solved: with a fixed penalty, or one that folds decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float64, Int
from numpy.typing import NDArray

from causal_widget.responses import Moments, Reading
from causal_widget.scm.evidence import Evidence
from causal_widget.scm.normal import Normal, merged
from causal_widget.scm.ridge import best_penalty, cross_validated, spectrum
from causal_widget.scm.solve import solve, solve_stack

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solved:
    """Coefficients of children side by side, all on the same parents.

    Attributes
    ----------
    coefficients
        (group, parent, child).
    penalty
        (group, child).
    rank, condition
        (group,).
    notes
        What should be known.
    """

    coefficients: Float64[np.ndarray, "group parent child"]
    penalty: Float64[np.ndarray, "group child"]
    rank: Int[np.ndarray, " group"]
    condition: Float64[np.ndarray, " group"]
    notes: tuple[str, ...] = ()


class Solver(Protocol):
    """Gives coefficients from normal equations."""

    def __call__(self, normal: Normal, evidence: Evidence, readings: Sequence[Reading], index: int) -> Solved:
        """Solve; `normal` is of all training images, folds are read from the evidence."""


@dataclass(frozen=True)
class Fixed:
    """Least squares (penalty 0), or ridge with a given share of each parent's variance."""

    penalty: float
    notes: tuple[str, ...] = ()

    def __call__(self, normal: Normal, evidence: Evidence, readings: Sequence[Reading], index: int) -> Solved:
        """Solve by Cholesky, or by eigenvalues where parents are collinear."""
        dead = normal.dead
        if normal.among.shape[0] > 1:
            found, rank, condition = solve_stack(normal.among, normal.across, dead, self.penalty)
        else:
            one = solve(normal.among[0], normal.across[0], dead[0], self.penalty)
            found, rank = one.coefficients[None], np.array([one.rank])
            condition = np.array([one.condition])
        return Solved(found, np.full(normal.squares.shape, self.penalty), rank, condition, self.notes)


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """Ridge whose penalty predicts the other folds best, for each child (`by` = "unit") or for each layer."""

    penalties: Float64[np.ndarray, " penalty"]
    by: str
    check: Callable[[], None]

    def __call__(self, normal: Normal, evidence: Evidence, readings: Sequence[Reading], index: int) -> Solved:
        """Solve with one decomposition a fold, and one for all images."""
        folds = (self._fold(parts, readings, index) for parts in evidence.folds)
        errors = cross_validated(normal, folds, self.penalties)
        variance = np.where(normal.children.dead, 0.0, normal.squares / normal.count)
        chosen, last = np.empty(variance.shape, dtype=np.intp), 0
        for reading in readings:
            part = slice(last, last + reading.children.shape[1])
            chosen[:, part] = best_penalty(errors[:, :, part], variance[:, part], self.by)
            last = part.stop
        penalty = self.penalties[chosen]
        decomposed = spectrum(normal)
        rank, condition = decomposed.quality(normal.dead)
        return Solved(decomposed.coefficients(penalty), penalty, rank, condition)

    def _fold(self, parts: Sequence[Moments], readings: Sequence[Reading], index: int) -> Normal:
        self.check()
        return merged(parts, readings, index)
