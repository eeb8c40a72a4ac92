"""What every layer's equations say about themselves, however they were fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int

from causal_widget.errors import ArgumentError, UnknownNameError, nearest


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedEquations:
    """The equations of one layer's units, and how well they hold.

    A row is one number that an equation gives: a unit, or one component of a unit whose response is a vector.
    Row = unit x components + component, and parents' columns are numbered alike.

    Attributes
    ----------
    layer
        The layer whose units these are.
    parents
        The parent layers in forward order; their columns side by side are what the equations read.
    widths
        Columns of each parent layer.
    components, parent_components
        Rows a unit; columns a unit of each parent layer.
    r2, noise
        (row,), share of variance explained and mean squared residual on the training images; R2 is NaN where
        there is no variance.
    heldout_r2, heldout_mse
        (row,), the same on held-out observational images; NaN where nothing was held out. Held-out R2 is
        about the held-out mean, as scikit-learn's `r2_score`; it can be negative.
    interventional_r2, interventional_mse
        (row,), the same on held-out interventional images; NaN where there are none.
    n_parents
        (row,), columns that each equation reads.
    dead
        Rows without variance on the training images.
    data
        Which images the equations were fitted on: "observational", "interventional" or "both".
    notes
        What a person should know: dead units, collinear parents, too few images, blow-ups.
    """

    linear: ClassVar[bool]

    layer: str
    parents: tuple[str, ...]
    widths: tuple[int, ...] = field(repr=False)
    r2: Float64[np.ndarray, " row"] = field(repr=False)
    heldout_r2: Float64[np.ndarray, " row"] = field(repr=False)
    noise: Float64[np.ndarray, " row"] = field(repr=False)
    heldout_mse: Float64[np.ndarray, " row"] = field(repr=False)
    interventional_r2: Float64[np.ndarray, " row"] = field(repr=False)
    interventional_mse: Float64[np.ndarray, " row"] = field(repr=False)
    n_parents: Int[np.ndarray, " row"] = field(repr=False)
    dead: Int[np.ndarray, " dead_row"]
    notes: tuple[str, ...]
    data: str = "observational"
    components: int = 1
    parent_components: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.parent_components:
            object.__setattr__(self, "parent_components", (1,) * len(self.parents))

    @property
    def n_rows(self) -> int:
        """Rows: units times components."""
        return len(self.r2)

    @property
    def n_units(self) -> int:
        """Units of the layer."""
        return self.n_rows // self.components

    @property
    def mse(self) -> Float64[np.ndarray, " row"]:
        """Mean squared residual on the training images."""
        return self.noise

    @property
    def relative_mse(self) -> Float64[np.ndarray, " row"]:
        """Mean squared residual as a share of the variance; NaN where there is no variance."""
        return np.asarray(1 - self.r2)

    @property
    def parent_units(self) -> Int[np.ndarray, " column"]:
        """The unit number, in its layer, of each column."""
        pairs = zip(self.widths, self.parent_components, strict=True)
        return np.concatenate([np.arange(width) // components for width, components in pairs])

    def columns(self, source: str) -> slice:
        """Return the columns of one parent layer.

        Raises
        ------
        UnknownNameError
            The layer is no parent.
        """
        if source not in self.parents:
            raise UnknownNameError(
                f"Layer {source!r} is no parent of {self.layer!r} (parents: {', '.join(self.parents)})."
                f"{nearest(source, self.parents)}"
            )
        at = self.parents.index(source)
        start = sum(self.widths[:at])
        return slice(start, start + self.widths[at])

    def predict(
        self, responses: Mapping[str, Float64[np.ndarray, "image column"]]
    ) -> Float64[np.ndarray, "image row"]:
        """Return the expected responses of this layer's units, given those of every parent layer.

        Raises
        ------
        ArgumentError
            A parent layer is missing or has another number of columns.
        """
        raise NotImplementedError

    def side_by_side(
        self, responses: Mapping[str, Float64[np.ndarray, "image column"]]
    ) -> Float64[np.ndarray, "image column"]:
        """Return the parents' responses as one matrix, checked."""
        columns = []
        for source, width in zip(self.parents, self.widths, strict=True):
            if source not in responses:
                raise ArgumentError(f"Layer {self.layer!r} needs the responses of its parent {source!r}.")
            found = np.asarray(responses[source], dtype=np.float64)
            if found.ndim != 2 or found.shape[1] != width:
                raise ArgumentError(
                    f"Parent {source!r} has responses of shape {found.shape}; expected (image, {width})."
                )
            columns.append(found)
        return np.concatenate(columns, axis=1)

    def table(self) -> pd.DataFrame:
        """Return a row an equation; columns "component" and "interventional_r2" only where there are any."""
        numbers = np.arange(self.n_rows)
        columns: dict[str, object] = {"layer": self.layer, "unit": numbers // self.components}
        if self.components > 1:
            columns["component"] = numbers % self.components
        columns |= {
            "parents": self.n_parents,
            "r2": self.r2,
            "heldout_r2": self.heldout_r2,
            "mse": self.mse,
            "relative_mse": self.relative_mse,
            "heldout_mse": self.heldout_mse,
        }
        if not np.isnan(self.interventional_mse).all():
            columns |= {
                "interventional_r2": self.interventional_r2,
                "interventional_mse": self.interventional_mse,
            }
        return pd.DataFrame(columns | self._facts() | {"dead": np.isin(numbers, self.dead)})

    def _facts(self) -> dict[str, object]:
        """Columns of the table that only some kinds of equations have."""
        return {}
