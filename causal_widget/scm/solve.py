"""Least squares and ridge from centred cross-products: one factorisation for all children of some parents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """Coefficients of all children on the same parents.

    Attributes
    ----------
    coefficients
        (parent, child).
    rank
        Independent parents among those with variance.
    condition
        Condition number (LAPACK's estimate in the 1-norm) of the parents' correlation matrix, without the
        ridge; infinite where the rank is short.
    """

    coefficients: Float64[np.ndarray, "parent child"]
    rank: int
    condition: float


def solve(
    gram: Float64[np.ndarray, "parent parent"],
    cross: Float64[np.ndarray, "parent child"],
    dead: Bool[np.ndarray, " parent"],
    ridge: float = 0.0,
) -> Solution:
    """Solve the normal equations of children on parents.

    Everything is computed on the parents' correlation matrix R, so that a parent's scale does not matter to
    rank or ridge. `ridge` = 0 is ordinary least squares; where parents are collinear, the solution with the
    smallest sum of squared coefficients among all that fit equally well, which is what the pseudo-inverse of
    the raw data gives. With `ridge` = r the penalty is r times each parent's variance, times the number of
    images: (R + r I).

    An eigenvalue of R counts as zero below (number of parents) x (float64 epsilon) x (largest eigenvalue).

    Parameters
    ----------
    gram, cross
        Centred products among the parents, and of parents with children.
    dead
        Parents without variance; their coefficients are zero.
    ridge
        Penalty as a share of each parent's variance.
    """
    alive = ~dead
    coefficients = np.zeros(cross.shape)
    if not alive.any():
        return Solution(coefficients, 0, np.inf)
    every = bool(alive.all())
    scale = np.sqrt(np.diag(gram)[alive])
    correlation = (gram if every else gram[np.ix_(alive, alive)]) / scale[:, None] / scale
    target = (cross if every else cross[alive]) / scale[:, None]
    solved = _by_cholesky(correlation, target, ridge) or _by_eigenvalues(correlation, target, ridge, scale)
    coefficients[alive] = solved.coefficients / scale[:, None]
    return Solution(coefficients, solved.rank, solved.condition)


def _by_cholesky(correlation: Array, target: Array, ridge: float) -> Solution | None:
    """Solve by Cholesky; None where the matrix that is solved with is not safely positive definite."""
    factor, condition = _factor(correlation)
    rank = len(correlation) if factor is not None else None
    if ridge:
        factor, _ = _factor(correlation + ridge * np.eye(len(correlation)))
    if factor is None:
        return None
    answer = linalg.cho_solve((factor, True), target, check_finite=False)
    return Solution(answer, _rank(correlation) if rank is None else rank, condition)


def _factor(matrix: Array) -> tuple[Array | None, float]:
    """Return the Cholesky factor and the condition, or None and infinity where float64 does not do."""
    factor, failed = linalg.lapack.dpotrf(matrix, lower=1)
    if failed:
        return None, np.inf
    reciprocal, _ = linalg.lapack.dpocon(factor, np.abs(matrix).sum(axis=0).max(), uplo="L")
    if reciprocal <= len(matrix) * np.finfo(float).eps:
        return None, np.inf
    return factor, 1 / float(reciprocal)


def _rank(correlation: Array) -> int:
    """Rank by Cholesky with pivoting (LAPACK dpstrf), far cheaper than eigenvalues."""
    tolerance = len(correlation) * np.finfo(float).eps * float(np.abs(correlation).sum(axis=0).max())
    _, _, rank, _ = linalg.lapack.dpstrf(correlation, tol=tolerance, lower=1)
    return int(rank)


def _by_eigenvalues(correlation: Array, target: Array, ridge: float, scale: Array) -> Solution:
    values, vectors = linalg.eigh(correlation, check_finite=False)
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    basis = vectors[:, kept]
    answer = basis @ ((basis.T @ target) / (values[kept] + ridge)[:, None])
    rank = int(kept.sum())
    condition = float(values[-1] / values[0]) if rank == len(values) else np.inf
    if not ridge and rank < len(values):
        answer = _shortest(answer, vectors[:, ~kept], scale)
    return Solution(answer, rank, condition)


def _shortest(answer: Array, null: Array, scale: Array) -> Array:
    """Among the solutions answer + null @ c, take the one with the least answer / scale."""
    directions, _ = np.linalg.qr(null / scale[:, None])
    raw = answer / scale[:, None]
    raw -= directions @ (directions.T @ raw)
    return np.asarray(raw * scale[:, None])


def solve_stack(
    gram: Float64[np.ndarray, "group parent parent"],
    cross: Float64[np.ndarray, "group parent child"],
    dead: Bool[np.ndarray, "group parent"],
    ridge: float = 0.0,
) -> tuple[Float64[np.ndarray, "group parent child"], NDArray[np.intp], Array]:
    """Solve many small systems at once: coefficients, rank and condition of each group, as `solve` would."""
    scale = np.where(dead, 1.0, np.sqrt(np.maximum(np.einsum("gpp->gp", gram), 0)))
    scale[scale == 0] = 1.0
    live = (~dead).astype(float)
    correlation = gram * (live / scale)[:, :, None] * (live / scale)[:, None, :]
    target = cross * (live / scale)[:, :, None]
    values, vectors = np.linalg.eigh(correlation)
    kept = values > gram.shape[1] * np.finfo(float).eps * np.maximum(values[:, -1:], np.finfo(float).tiny)
    inverse = np.where(kept, 1.0, 0.0) / np.where(kept, values + ridge, 1.0)
    answer = vectors @ (inverse[:, :, None] * (vectors.transpose(0, 2, 1) @ target)) / scale[:, :, None]
    rank, alive = kept.sum(axis=1), (~dead).sum(axis=1)
    smallest = np.where(kept, values, np.inf).min(axis=1)
    condition = np.where((rank == alive) & (rank > 0), values[:, -1] / smallest, np.inf)
    for group in np.flatnonzero(rank < alive) if not ridge else ():
        answer[group] = solve(gram[group], cross[group], dead[group]).coefficients
    return answer, rank, condition
