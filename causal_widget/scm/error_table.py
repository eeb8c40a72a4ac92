"""Average and largest errors of the equations by estimator: the paper's Tables 2 to 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causal_widget.jobs import Progress
from causal_widget.responses import Collection
from causal_widget.scm.fit import fit
from causal_widget.scm.judged import JudgedEquations
from causal_widget.scm.learned import LearnedEquations
from causal_widget.scm.model import StructuralCausalModel

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ErrorTable:
    """Errors of all equations of a network, a row an estimator.

    Attributes
    ----------
    title
        What was fitted, on what.
    rows
        One a model: estimator, equations, average and largest mean squared error on training and on held-out
        images, mean relative error, equations that blow up; where responses are bits average and least
        accuracy.
    """

    title: str
    rows: tuple[dict[str, object], ...] = field(repr=False)

    def table(self) -> pd.DataFrame:
        """Return a row an estimator."""
        return pd.DataFrame(list(self.rows)).dropna(axis=1, how="all")

    def __repr__(self) -> str:
        return f"{self.title}\n{self.table().to_string(index=False)}"

    def _repr_html_(self) -> str:
        table = self.table().to_html(index=False, float_format=lambda x: f"{x:.4g}")
        return f"<p>{escape(self.title)}</p>{table}"


def error_table(
    collection: Collection,
    estimators: Sequence[str | Any | StructuralCausalModel] = ("linear", "ridge", "lars", "lasso"),
    *,
    data: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> ErrorTable:
    """Fit with several estimators and tell the average and the largest error over all equations.

    Narendra et al. 2018, Tables 3 to 5 (mean squared error; Frobenius norm) and 2 (accuracy; binary). The
    paper does not say on which images it judged; both are told here. Errors are in the responses' own units,
    squared, so they compare estimators on one network, not networks.

    Parameters
    ----------
    collection
        Moments of the responses, and the raw table where an estimator needs it.
    estimators
        Names and estimator objects as `fit` takes them, or models that were fitted before.
    data, seed, progress
        As `fit` takes them.
    """
    models = [
        one
        if isinstance(one, StructuralCausalModel)
        else fit(collection, one, data=data, seed=seed, progress=progress)
        for one in estimators
    ]
    fitted = {model.data for model in models}
    kinds = [*sorted(fitted - {"both"}), *(["both kinds of"] if "both" in fitted else [])]
    title = (
        f"Errors of the equations of {collection.graph.model_name}, {collection.transform} at "
        f"{collection.site}, fitted on {' and '.join(kinds)} images"
    )
    return ErrorTable(title, tuple(_row(model) for model in models))


def _row(model: StructuralCausalModel) -> dict[str, object]:
    layers = list(model.equations.values())
    mse, heldout, r2 = (
        np.concatenate([getattr(one, name) for one in layers])
        for name in ("mse", "heldout_mse", "heldout_r2")
    )
    accuracy, heldout_accuracy = (
        np.concatenate([_accuracy(one, name) for one in layers]) for name in ("accuracy", "heldout_accuracy")
    )
    relative = 1 - r2[~np.isnan(r2)]
    return {
        "estimator": model.estimator,
        "equations": len(mse),
        "average_mse": float(mse.mean()),
        "largest_mse": float(mse.max()),
        "heldout_average_mse": float(heldout.mean()),
        "heldout_largest_mse": float(heldout.max()),
        "heldout_relative_mse": _over(relative, np.mean),
        "blown_up": int((relative > 1).sum()),
        "average_accuracy": _over(accuracy, np.mean),
        "least_accuracy": _over(accuracy, np.min),
        "heldout_average_accuracy": _over(heldout_accuracy, np.mean),
        "heldout_least_accuracy": _over(heldout_accuracy, np.min),
    }


def _accuracy(one: JudgedEquations, name: str) -> Array:
    if isinstance(one, LearnedEquations):
        return np.asarray(getattr(one, name))
    return np.full(one.n_rows, np.nan)


def _over(values: Array, what: Any) -> float:
    known = values[~np.isnan(values)]
    return float(what(known)) if len(known) else float("nan")
