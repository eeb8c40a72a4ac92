"""The linear structural equations of one layer's units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float64, Int

from causal_widget.responses import Reading
from causal_widget.scm.judged import JudgedEquations


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerEquations(JudgedEquations):
    """Each unit's response as a linear function of its parents' responses, plus noise.

    Attributes
    ----------
    intercept
        (row,).
    rank, condition
        (row,), independent parents, and condition number of the parents' correlations.
    penalty
        (row,), what held the coefficients down: the ridge as a share of each parent's variance, or the
        alpha of LARS and LASSO in correlations; 0 for least squares.
    deviation, parent_deviation
        (row,) and (column,), standard deviations on the observational training images.
    parts
        Who reads whom, and with which coefficients (group, parent, child).
    """

    linear: ClassVar[bool] = True

    intercept: Float64[np.ndarray, " row"] = field(repr=False)
    rank: Int[np.ndarray, " row"] = field(repr=False)
    condition: Float64[np.ndarray, " row"] = field(repr=False)
    penalty: Float64[np.ndarray, " row"] = field(repr=False)
    deviation: Float64[np.ndarray, " row"] = field(repr=False)
    parent_deviation: Float64[np.ndarray, " column"] = field(repr=False)
    parts: tuple[tuple[Reading, Float64[np.ndarray, "group parent child"]], ...] = field(repr=False)

    @property
    def coefficients(self) -> Float64[np.ndarray, "row column"]:
        """Change of each row's response for a change of each parent's by 1; zero where not a parent."""
        if len(self.parts) == 1 and self.parts[0][0].full:
            return np.asarray(self.parts[0][1][0].T)
        whole = np.zeros((self.n_rows, sum(self.widths)))
        for reading, part in self.parts:
            whole[reading.children[:, None, :], reading.parents[:, :, None]] = part
        return whole

    @property
    def standardised(self) -> Float64[np.ndarray, "row column"]:
        """Change in the row's deviations for one deviation of the parent; zero for dead units."""
        return np.asarray(self.coefficients * self.parent_deviation * self._inverse_deviation[:, None])

    @cached_property
    def _inverse_deviation(self) -> Float64[np.ndarray, " row"]:
        alive = self.deviation > 0
        alive[self.dead] = False
        inverse = np.zeros(self.n_rows)
        inverse[alive] = 1 / self.deviation[alive]
        return inverse

    def reach(self, standardised: bool = False) -> dict[str, Float64[np.ndarray, " unit"]]:
        """Return, by parent layer, the sum over this layer's rows of each parent unit's coefficients' sizes.

        Several components of a unit are summed.
        """
        total = np.zeros(sum(self.widths))
        for reading, part in self.parts:
            size = np.abs(part)
            if standardised:
                size = size * self._inverse_deviation[reading.children][:, None, :]
            np.add.at(total, reading.parents, size.sum(axis=2))
        if standardised:
            total *= self.parent_deviation
        pairs = zip(self.parents, self.parent_components, strict=True)
        return {
            source: total[self.columns(source)].reshape(-1, components).sum(axis=1)
            for source, components in pairs
        }

    def predict(
        self, responses: Mapping[str, Float64[np.ndarray, "image column"]]
    ) -> Float64[np.ndarray, "image row"]:
        """Return the expected responses of this layer's units, given those of every parent layer.

        Raises
        ------
        ArgumentError
            A parent layer is missing or has another number of columns.
        """
        x = self.side_by_side(responses)
        answer = np.tile(self.intercept, (len(x), 1))
        for reading, part in self.parts:
            answer[:, reading.children] += np.einsum(
                "ngp,gpc->ngc", x[:, reading.parents], part, optimize=True
            )
        return answer

    def _facts(self) -> dict[str, object]:
        return {"condition": self.condition, "rank": self.rank, "penalty": self.penalty}
