"""LARS and LASSO from Gram matrices: the whole path of a unit, and the point on it that folds choose."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path_gram

from causal_widget.errors import UnknownNameError, nearest
from causal_widget.responses import Collection, Reading
from causal_widget.scm.evidence import Evidence
from causal_widget.scm.normal import Normal, merged
from causal_widget.scm.ridge import spectrum
from causal_widget.scm.solvers import Solved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
METHODS = {"lars": "lar", "lasso": "lasso"}
ALPHAS = np.logspace(0, -4, 20)


@dataclass(frozen=True, eq=False)
class SparsePath:
    """Coefficients of one row's equation as the penalty goes to 0.

    Attributes
    ----------
    method, layer, row
        "lars" or "lasso", and whose equation it is.
    alphas
        (step,), descending: the largest size of a parent's product with the residual, a mean over images.
    coefficients
        (parent, step); between two steps they are linear in alpha.
    parents
        (parent,), columns of the parent layers side by side.
    names
        Of the parents: layer and column.
    """

    method: str
    layer: str
    row: int
    alphas: Float64[np.ndarray, " step"] = field(repr=False)
    coefficients: Float64[np.ndarray, "parent step"] = field(repr=False)
    parents: NDArray[np.intp] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)

    def at(self, alpha: float) -> Float64[np.ndarray, " parent"]:
        """Return the coefficients at a penalty."""
        return _at(self.alphas, self.coefficients, np.array([alpha]))[:, 0]

    def table(self) -> pd.DataFrame:
        """Return a row a step: alpha, parents with a coefficient, sum of their sizes."""
        return pd.DataFrame(
            {
                "alpha": self.alphas,
                "parents": np.count_nonzero(self.coefficients, axis=0),
                "size": np.abs(self.coefficients).sum(axis=0),
            }
        )

    def plot(self) -> Figure:
        """Draw each coefficient along the path."""
        from causal_widget.plots.paths import coefficient_path

        return coefficient_path(
            self.alphas, self.coefficients, list(self.names), f"{self.method} of {self.layer}[{self.row}]"
        )


def path(
    collection: Collection,
    layer: str,
    row: int,
    method: str = "lasso",
    *,
    data: str | None = None,
    standardise: bool = False,
) -> SparsePath:
    """Return the whole LARS or LASSO path of one row's equation, from moments alone.

    The same as scikit-learn's `lars_path` on the raw table, centred (Efron, Hastie, Johnstone, Tibshirani
    2004, "Least Angle Regression").

    Parameters
    ----------
    collection
        Moments of the responses.
    layer, row
        Whose equation; row = unit x components + component.
    method
        "lars" or "lasso".
    data
        As in `fit`.
    standardise
        Parents and child in deviations, so that alpha is a correlation and scale does not matter.

    Raises
    ------
    UnknownNameError
        No method, layer with parents, or row is called so.
    """
    _check_method(method)
    evidence = Evidence(collection, data)
    index, reading, group, child = _find(evidence, layer, row)
    normal = evidence.normal([reading], index)
    gram, cross, size = _scaled(normal, group) if standardise else _plain(normal, group)
    alphas, found, _ = _one_path(gram, cross[:, child], METHODS[method])
    if not standardise:
        found = np.where(size[:, None] > 0, found, 0.0)
    parents = reading.parents[group]
    names = [f"{source}[{i}]" for source in reading.sources for i in range(evidence.layout.widths[source])]
    return SparsePath(method, layer, row, alphas, found, parents, tuple(names[i] for i in parents))


@dataclass(frozen=True, eq=False)
class Sparse:
    """A solver by LARS or LASSO, parents and children in deviations.

    Attributes
    ----------
    method
        "lars" or "lasso".
    alpha
        The penalty, the largest correlation of a parent with the residual that is left; None lets folds
        choose one of `ALPHAS` for each row; 0 goes to the end of the path.
    n_nonzero
        The most parents with a coefficient; None for no limit.
    check
        Called before each row; may raise to stop.
    """

    method: str
    alpha: float | None = None
    n_nonzero: int | None = None
    check: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        _check_method(self.method)

    @property
    def by_folds(self) -> bool:
        """Whether folds choose the penalty."""
        return self.alpha is None and self.n_nonzero is None

    def __call__(self, normal: Normal, evidence: Evidence, readings: Sequence[Reading], index: int) -> Solved:
        """Solve row by row."""
        shape = normal.squares.shape
        if self.by_folds:
            alphas = ALPHAS[self._errors(normal, evidence, readings, index).argmin(axis=0)]
        else:
            alphas = np.full(shape, self.alpha or 0.0)
        found, odd = np.empty(normal.across.shape), 0
        for group in range(shape[0]):
            gram, cross, size = _scaled(normal, group)
            spread = np.sqrt(normal.squares[group])
            for child in range(shape[1]):
                self.check()
                steps, path_, dropped = _one_path(
                    gram, cross[:, child], METHODS[self.method], alphas[group, child], self.n_nonzero
                )
                odd += dropped
                scale = np.divide(spread[child], size, out=np.zeros_like(size), where=size > 0)
                chosen = _at(steps, path_, alphas[group, child : child + 1])[:, 0]
                found[group, :, child] = chosen * scale
        rank, condition = spectrum(normal).quality(normal.dead)
        notes = (f"{odd} path(s) left out parents that were nearly degenerate.",) if odd else ()
        return Solved(found, alphas, rank, condition, notes)

    def _errors(
        self, normal: Normal, evidence: Evidence, readings: Sequence[Reading], index: int
    ) -> Float64[np.ndarray, "alpha group child"]:
        """Return the summed squared residuals of all folds, each foreseen from the others."""
        total = np.zeros((len(ALPHAS), *normal.squares.shape))
        for parts in evidence.folds:
            fold = merged(parts, readings, index)
            rest = normal.without(fold)
            for group in range(len(normal.squares)):
                total[:, group] += self._foreseen(rest, fold, group)
        return total

    def _foreseen(self, rest: Normal, fold: Normal, group: int) -> Float64[np.ndarray, "alpha child"]:
        gram, cross, size = _scaled(rest, group)
        inverse = np.divide(1, size, out=np.zeros_like(size), where=size > 0)
        among = fold.among[group] * inverse[:, None] * inverse
        across = fold.across[group] * inverse[:, None]
        step = (fold.parent_mean[group] - rest.parent_mean[group]) * inverse
        answer = np.empty((len(ALPHAS), cross.shape[1]))
        for child in range(cross.shape[1]):
            self.check()
            steps, path_, _ = _one_path(gram, cross[:, child], METHODS[self.method], ALPHAS[-1])
            found = _at(steps, path_, ALPHAS) * np.sqrt(rest.squares[group, child])
            spread = (found * (among @ found - 2 * across[:, child, None])).sum(axis=0)
            shift = fold.child_mean[group, child] - rest.child_mean[group, child] - step @ found
            answer[:, child] = fold.squares[group, child] + spread + fold.count * shift**2
        return answer


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise UnknownNameError(
            f"There is no path by {method!r} (known: {', '.join(METHODS)}).{nearest(method, METHODS)}"
        )


def _find(evidence: Evidence, layer: str, row: int) -> tuple[int, Reading, int, int]:
    """Find a row: its reading's number, the reading, its group, and its place in the group."""
    readings = evidence.layout.readings
    if layer not in readings:
        raise UnknownNameError(f"Layer {layer!r} has no equations.{nearest(layer, readings)}")
    for i, reading in enumerate(readings[layer]):
        for group, child in np.argwhere(reading.children == row):
            return i, reading, int(group), int(child)
    raise UnknownNameError(
        f"Layer {layer!r} has no equation for row {row!r}; it has {evidence.layout.widths[layer]}."
    )


def _scaled(normal: Normal, group: int) -> tuple[Array, Array, Array]:
    """Return correlations among parents, of parents with children, and the roots of the parents' squares."""
    size = np.where(normal.dead[group], 0.0, np.sqrt(np.maximum(np.diag(normal.among[group]), 0)))
    inverse = np.divide(1, size, out=np.zeros_like(size), where=size > 0)
    spread = np.sqrt(np.where(normal.children.dead[group], 0.0, normal.squares[group]))
    per_child = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    gram = normal.among[group] * inverse[:, None] * inverse
    return gram, normal.across[group] * inverse[:, None] * per_child, size


def _plain(normal: Normal, group: int) -> tuple[Array, Array, Array]:
    """Return mean products among parents, of parents with children, and which parents have variance."""
    alive = np.where(normal.dead[group], 0.0, 1.0)
    gram = normal.among[group] * alive[:, None] * alive / normal.count
    return gram, normal.across[group] * alive[:, None] / normal.count, alive


def _one_path(
    gram: Array, cross: Array, method: str, alpha: float = 0.0, n_nonzero: int | None = None
) -> tuple[Array, Array, bool]:
    """Return alphas, coefficients (parent, step), and whether degenerate parents were left out."""
    if not cross.any():
        return np.zeros(1), np.zeros((len(cross), 1)), False
    # LARS adds a parent a step; LASSO also drops some on the way
    steps = 8 * len(cross) if n_nonzero is None else n_nonzero * (1 if method == "lar" else 4)
    limits: dict[str, Any] = {"max_iter": min(steps, 8 * len(cross)), "alpha_min": alpha}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        alphas, _, found = lars_path_gram(Xy=cross, Gram=gram, n_samples=1, method=method, **limits)
    if n_nonzero is not None:
        within = np.flatnonzero(np.count_nonzero(found, axis=0) <= n_nonzero)
        alphas, found = alphas[: within[-1] + 1], found[:, : within[-1] + 1]
    return alphas, found, bool(caught)


def _at(alphas: Array, found: Array, wanted: Float64[np.ndarray, " wanted"]) -> Array:
    """Return coefficients (parent, wanted) on a path, which is linear between its steps."""
    last = len(alphas) - 1
    alphas = np.minimum.accumulate(alphas)  # near its end scikit-learn's LARS may step back
    after = np.minimum(np.searchsorted(-alphas, -wanted), last)
    before = np.maximum(after - 1, 0)
    gap = alphas[before] - alphas[after]
    share = np.divide(alphas[before] - wanted, gap, out=np.ones_like(wanted), where=gap > 0)
    share = np.clip(share, 0.0, 1.0)
    answer = found[:, before] * (1 - share) + found[:, after] * share
    answer[:, wanted >= alphas[0]] = 0.0
    return np.asarray(answer)
