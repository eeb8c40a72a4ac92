"""How equations fitted on one kind of images foresee another: observational against interventional."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causal_widget.errors import OrderError
from causal_widget.jobs import Progress
from causal_widget.responses import Collection
from causal_widget.scm.equations_table import Equations, median
from causal_widget.scm.evidence import DATA, KINDS
from causal_widget.scm.fit import fit
from causal_widget.scm.judged import JudgedEquations

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CrossPrediction:
    """Equations fitted on each kind of images and on both, judged on held-out images of each kind.

    Attributes
    ----------
    estimator
        How they were fitted.
    equations
        By the data that they were fitted on: "observational", "interventional", "both".
    """

    estimator: str
    equations: dict[str, Equations] = field(repr=False)

    def table(self) -> pd.DataFrame:
        """Return a row for each fit and each kind of held-out images, over all equations.

        Columns: fitted_on, judged_on, median_r2, mean_mse, max_mse, and mean_relative_mse, which does not
        depend on the scale of responses.
        """
        return pd.DataFrame(
            [
                {"fitted_on": fitted, "judged_on": kind, **_summary(list(found.values()), kind)}
                for fitted, found in self.equations.items()
                for kind in KINDS
            ]
        )

    def by_layer(self) -> pd.DataFrame:
        """Return the same, layer by layer."""
        return pd.DataFrame(
            [
                {"layer": layer, "fitted_on": fitted, "judged_on": kind, **_summary([found[layer]], kind)}
                for layer in next(iter(self.equations.values()))
                for fitted, found in self.equations.items()
                for kind in KINDS
            ]
        )

    def __repr__(self) -> str:
        return f"CrossPrediction by {self.estimator}\n{self.table().to_string(index=False)}"

    def _repr_html_(self) -> str:
        table = self.table().to_html(index=False, float_format=lambda x: f"{x:.4g}")
        return f"<p>Cross-prediction by {self.estimator}</p>{table}"


def cross_prediction(
    collection: Collection,
    estimator: str | Any = "ridge",
    *,
    progress: Progress | None = None,
    **options: Any,
) -> CrossPrediction:
    """Fit on each kind of images and on both, and judge every fit on held-out images of each kind.

    Parameters
    ----------
    collection
        Moments of both arms, with images held out.
    estimator, options
        As `fit` takes them.
    progress
        Told the layers of each of the three fits.

    Raises
    ------
    OrderError
        There are no interventional images, or none were held out.
    """
    if collection.interventional is None or collection.interventional.heldout is None:
        raise OrderError(
            "Cross-prediction needs interventional images, some of them held out: collect with intervene=0.1 "
            "and holdout above 0."
        )
    fits = {
        data: fit(collection, estimator, data=data, progress=progress, **options) for data in reversed(DATA)
    }
    name = next(iter(fits.values())).estimator
    order = (*KINDS, "both")
    return CrossPrediction(name, {data: fits[data].equations for data in order})


def _summary(layers: list[JudgedEquations], kind: str) -> dict[str, float]:
    r2, mse = (np.concatenate([_of(one, kind)[i] for one in layers]) for i in (0, 1))
    return {
        "median_r2": median(r2),
        "mean_relative_mse": float(np.nanmean(1 - r2)) if np.isfinite(r2).any() else float("nan"),
        "mean_mse": float(mse.mean()),
        "max_mse": float(mse.max()),
    }


def _of(one: JudgedEquations, kind: str) -> tuple[Array, Array]:
    if kind == "observational":
        return one.heldout_r2, one.heldout_mse
    return one.interventional_r2, one.interventional_mse
