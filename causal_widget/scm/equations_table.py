"""All equations of a model as one mapping that says itself as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causal_widget.errors import UnknownNameError, nearest
from causal_widget.scm.judged import JudgedEquations

FIRST: tuple[str, ...] = ("layer", "unit", "component", "parents", "r2", "heldout_r2", "interventional_r2")
FIRST += ("mse", "relative_mse", "heldout_mse", "interventional_mse", "condition", "rank", "penalty", "dead")


class Equations(Mapping[str, JudgedEquations]):
    """The equations of each layer that has parents, in forward order."""

    def __init__(self, layers: Mapping[str, JudgedEquations]) -> None:
        self._layers = dict(layers)

    def __getitem__(self, layer: str) -> JudgedEquations:
        """Return a layer's equations.

        Raises
        ------
        UnknownNameError
            No equation belongs to a layer of that name.
        """
        if layer not in self._layers:
            raise UnknownNameError(f"Layer {layer!r} has no equations.{nearest(layer, self._layers)}")
        return self._layers[layer]

    def __contains__(self, layer: object) -> bool:
        return layer in self._layers

    def get(self, layer: str, default: Any = None) -> Any:
        """Return a layer's equations, or the default where it has none."""
        return self._layers.get(layer, default)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the layers' names."""
        return iter(self._layers)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self._layers)

    @property
    def n_rows(self) -> int:
        """Equations in all."""
        return sum(one.n_rows for one in self.values())

    def table(self) -> pd.DataFrame:
        """Return a row an equation: layer, unit, parents, R2 and errors, condition, rank, penalty, dead.

        A column "component" is there where responses are vectors, and "interventional_r2" and
        "interventional_mse" where interventional images were held out.
        """
        if not self._layers:
            return pd.DataFrame(columns=list(FIRST))
        whole = pd.concat([one.table() for one in self.values()], ignore_index=True)
        if "component" in whole:
            whole["component"] = whole["component"].fillna(0).astype(int)
        known = [name for name in FIRST if name in whole]
        return whole[known + [name for name in whole if name not in known]]

    def worst(self, n: int = 10) -> pd.DataFrame:
        """Return the equations with the lowest held-out R2, or training R2 where nothing was held out."""
        whole = self.table()
        by = "heldout_r2" if whole["heldout_r2"].notna().any() else "r2"
        return whole[whole[by].notna()].nsmallest(n, by).reset_index(drop=True)

    def by_layer(self) -> pd.DataFrame:
        """Return a row a layer: equations, parents, median R2s, mean and largest MSE, condition, notes."""
        rows = []
        for name, one in self.items():
            condition = np.asarray(getattr(one, "condition", np.full(1, np.nan)))
            row: dict[str, object] = {
                "layer": name,
                "equations": one.n_rows,
                "parents": int(one.n_parents.max(initial=0)),
                "r2": median(one.r2),
                "heldout_r2": median(one.heldout_r2),
            }
            if not np.isnan(one.interventional_mse).all():
                row["interventional_r2"] = median(one.interventional_r2)
            row |= {
                "mean_mse": float(one.mse.mean()),
                "max_mse": float(one.mse.max()),
                "condition": float(condition.max(initial=0)),
                "dead": len(one.dead),
                "notes": " ".join(one.notes),
            }
            rows.append(row)
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        """Say the layers, a line each."""
        return f"{self._headline()}\n{self.by_layer().to_string(index=False, max_colwidth=60)}"

    def _repr_html_(self) -> str:
        """Say the same as a table; names are escaped."""
        table = self.by_layer().to_html(index=False, escape=True, float_format=lambda x: f"{x:.4g}")
        return f"<p>{self._headline()}</p>{table}"

    def _headline(self) -> str:
        return f"{self.n_rows:,} equations in {len(self)} layers"


def median(values: NDArray[np.float64]) -> float:
    """Return the median of what is known, NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
