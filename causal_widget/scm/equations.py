"""The structural equations of one layer's units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.responses import Reading


@dataclass(frozen=True, eq=False)
class LayerEquations:
    """Each unit's response as a linear function of its parents' responses, plus noise.

    Attributes
    ----------
    layer
        The layer whose units these are.
    parents
        The parent layers in forward order; their units side by side are the columns of `coefficients`.
    parent_units
        (column,), the unit number of each column in its layer.
    intercept
        (unit,).
    r2, heldout_r2
        (unit,), share of variance explained on training and on held-out images; NaN where there is no
        variance or nothing was held out. Held-out R2 is about the held-out mean, as scikit-learn's
        `r2_score`; it can be negative.
    noise
        (unit,), mean squared residual on the training images.
    rank, condition, n_parents
        (unit,), independent parents, condition number of the parents' correlations, number of parents.
    dead
        Units without variance on the training images.
    notes
        What a person should know: dead units, collinear parents, too few images.
    """

    layer: str
    parents: tuple[str, ...]
    parent_units: Int[np.ndarray, " column"] = field(repr=False)
    intercept: Float64[np.ndarray, " unit"] = field(repr=False)
    r2: Float64[np.ndarray, " unit"] = field(repr=False)
    heldout_r2: Float64[np.ndarray, " unit"] = field(repr=False)
    noise: Float64[np.ndarray, " unit"] = field(repr=False)
    rank: Int[np.ndarray, " unit"] = field(repr=False)
    condition: Float64[np.ndarray, " unit"] = field(repr=False)
    n_parents: Int[np.ndarray, " unit"] = field(repr=False)
    dead: Int[np.ndarray, " dead_unit"]
    notes: tuple[str, ...]
    widths: tuple[int, ...] = field(repr=False)
    deviation: Float64[np.ndarray, " unit"] = field(repr=False)
    parent_deviation: Float64[np.ndarray, " column"] = field(repr=False)
    parts: tuple[tuple[Reading, Float64[np.ndarray, "group parent child"]], ...] = field(repr=False)

    @property
    def n_units(self) -> int:
        """Units of the layer."""
        return len(self.intercept)

    @property
    def coefficients(self) -> Float64[np.ndarray, "unit column"]:
        """Change of each unit's response for a change of each parent's by 1; zero where not a parent."""
        if len(self.parts) == 1 and self.parts[0][0].full:
            return np.asarray(self.parts[0][1][0].T)
        whole = np.zeros((self.n_units, len(self.parent_units)))
        for reading, part in self.parts:
            whole[reading.children[:, None, :], reading.parents[:, :, None]] = part
        return whole

    @property
    def standardised(self) -> Float64[np.ndarray, "unit column"]:
        """Change in the unit's deviations for one deviation of the parent; zero for dead units."""
        return np.asarray(self.coefficients * self.parent_deviation * self._inverse_deviation[:, None])

    @cached_property
    def _inverse_deviation(self) -> Float64[np.ndarray, " unit"]:
        inverse = np.zeros(self.n_units)
        alive = np.ones(self.n_units, dtype=bool)
        alive[self.dead] = False
        inverse[alive] = 1 / self.deviation[alive]
        return inverse

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

    def reach(self, standardised: bool = False) -> dict[str, Float64[np.ndarray, " unit"]]:
        """Return, by parent layer, the sum over this layer's units of the absolute coefficients."""
        total = np.zeros(len(self.parent_units))
        for reading, part in self.parts:
            size = np.abs(part)
            if standardised:
                size = size * self._inverse_deviation[reading.children][:, None, :]
            np.add.at(total, reading.parents, size.sum(axis=2))
        if standardised:
            total *= self.parent_deviation
        return {source: total[self.columns(source)] for source in self.parents}

    def predict(
        self, responses: Mapping[str, Float64[np.ndarray, "image unit"]]
    ) -> Float64[np.ndarray, "image unit"]:
        """Return the expected responses of this layer's units, given those of every parent layer.

        Raises
        ------
        ArgumentError
            A parent layer is missing or has another number of units.
        """
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
        x = np.concatenate(columns, axis=1)
        answer = np.tile(self.intercept, (len(x), 1))
        for reading, part in self.parts:
            answer[:, reading.children] += np.einsum(
                "ngp,gpc->ngc", x[:, reading.parents], part, optimize=True
            )
        return answer

    def table(self) -> pd.DataFrame:
        """Return a row a unit."""
        return pd.DataFrame(
            {
                "layer": self.layer,
                "unit": np.arange(self.n_units),
                "parents": self.n_parents,
                "r2": self.r2,
                "heldout_r2": self.heldout_r2,
                "noise": self.noise,
                "rank": self.rank,
                "condition": self.condition,
                "dead": np.isin(np.arange(self.n_units), self.dead),
            }
        )
