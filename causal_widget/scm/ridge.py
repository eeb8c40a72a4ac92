"""Ridge regression for a whole path of penalties at once, and the penalty that predicts other folds best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int
from numpy.typing import NDArray

from causal_widget.scm.normal import Normal

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The parents' correlations R of each group, taken apart: R = V diag(values) V'.

    For every penalty r the coefficients of ridge regression are S V (values + r)^-1 V' t, where S scales
    parents by 1 / (sqrt(n) x deviation) and t are the children's products with parents so scaled. One
    decomposition serves the whole path (Hastie, Tibshirani, Friedman 2009, The Elements of Statistical
    Learning, eq. 3.47).

    Attributes
    ----------
    values, vectors
        (group, parent) and (group, parent, parent), smallest first.
    inverse
        (group, parent), S; 0 for parents without variance.
    turned
        (group, parent, child), V' t.
    """

    values: Float64[np.ndarray, "group parent"]
    vectors: Float64[np.ndarray, "group parent parent"]
    inverse: Float64[np.ndarray, "group parent"]
    turned: Float64[np.ndarray, "group parent child"]

    def shrunk(self, penalties: Float64[np.ndarray, "group child"] | float) -> Array:
        """Return the coefficients in the basis of V, for a penalty a child or one for all."""
        shrink = np.broadcast_to(np.asarray(penalties, dtype=np.float64), self.turned[:, 0].shape)
        return np.asarray(self.turned / (self.values[:, :, None] + shrink[:, None, :]))

    def coefficients(self, penalties: Float64[np.ndarray, "group child"] | float) -> Array:
        """Return the coefficients (group, parent, child) in the parents' own units."""
        return np.asarray(self.inverse[:, :, None] * (self.vectors @ self.shrunk(penalties)))

    def quality(self, dead: Bool[np.ndarray, "group parent"]) -> tuple[NDArray[np.intp], Array]:
        """Return rank and condition of each group's correlations among parents with variance."""
        top = self.values[:, -1:]
        kept = self.values > self.values.shape[1] * np.finfo(float).eps * np.maximum(
            top, np.finfo(float).tiny
        )
        rank, alive = kept.sum(axis=1), (~dead).sum(axis=1)
        smallest = np.where(kept, self.values, np.inf).min(axis=1)
        return rank, np.where((rank >= alive) & (rank > 0), top[:, 0] / smallest, np.inf)


def spectrum(normal: Normal) -> Spectrum:
    """Take the parents' correlations apart."""
    size, dead = np.sqrt(np.maximum(np.einsum("gpp->gp", normal.among), 0)), normal.dead
    inverse = np.where(dead | (size == 0), 0.0, 1 / np.where(size == 0, 1.0, size))
    correlation = normal.among * inverse[:, :, None] * inverse[:, None, :]
    values, vectors = np.linalg.eigh(correlation)
    turned = vectors.transpose(0, 2, 1) @ (normal.across * inverse[:, :, None])
    # rounding leaves negative eigenvalues, which a small penalty would turn into poles
    return Spectrum(np.maximum(values, 0), vectors, inverse, turned)


def foreseen(
    rest: Normal, fold: Normal, penalties: Float64[np.ndarray, " penalty"]
) -> Float64[np.ndarray, "penalty group child"]:
    """Return the sums of squared residuals on a fold of equations fitted on the rest, for each penalty."""
    fitted = spectrum(rest)
    into = fitted.vectors * fitted.inverse[:, :, None]
    among = into.transpose(0, 2, 1) @ fold.among @ into
    across = into.transpose(0, 2, 1) @ fold.across
    x = np.einsum("gpk,gp->gk", into, fold.parent_mean - rest.parent_mean)
    y = fold.child_mean - rest.child_mean
    answer = np.empty((len(penalties), *y.shape))
    for i, penalty in enumerate(penalties):
        found = fitted.shrunk(penalty)
        spread = np.einsum("gkc,gkc->gc", found, among @ found - 2 * across)
        shift = y - np.einsum("gk,gkc->gc", x, found)
        answer[i] = fold.squares + spread + fold.count * shift**2
    return np.maximum(answer, 0)


def cross_validated(
    whole: Normal, folds: Iterable[Normal], penalties: Float64[np.ndarray, " penalty"]
) -> Float64[np.ndarray, "penalty group child"]:
    """Return the mean squared residual over all images, each foreseen by equations fitted on other folds."""
    total = np.zeros((len(penalties), *whole.squares.shape))
    for fold in folds:
        total += foreseen(whole.without(fold), fold, penalties)
    return total / whole.count


def best_penalty(
    errors: Float64[np.ndarray, "penalty group child"], variance: Float64[np.ndarray, "group child"], by: str
) -> Int[np.ndarray, "group child"]:
    """Return the number of the penalty with the least error for each child.

    Parameters
    ----------
    errors
        From `cross_validated`.
    variance
        Of the children; those without any have no say.
    by
        "unit": each child's own. "layer": one for all, the least sum of errors as shares of the variance.
    """
    if by == "unit":
        return np.asarray(errors.argmin(axis=0))
    alive = variance > 0
    shares = np.where(alive, errors / np.where(alive, variance, 1.0), 0.0).sum(axis=(1, 2))
    return np.full(variance.shape, int(shares.argmin()))
