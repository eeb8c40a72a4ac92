"""The effects of many units, each changed alone, as a result that says itself."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.effects.outcomes import Outcome
from causal_widget.effects.statistics import EffectMoments
from causal_widget.errors import UnknownNameError, nearest
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Action

__all__ = ["Effects"]


@dataclass(frozen=True, eq=False, repr=False)
class Effects:
    """Mean, spread and number of images of each unit's effect on each outcome.

    Attributes
    ----------
    graph : FilterGraph
        The network's graph.
    units : mapping of layer name to tuple of int
        Which units were changed, each alone.
    moments : mapping of layer name to EffectMoments, questions (unit, column)
        Effects: the outcome under do() minus the outcome without, image by image. The units are in the order
        of `units`, the columns in that of `columns`.
    before : EffectMoments, questions (column,)
        The outcomes without a change.
    action, site, outcomes : Action, str, tuple of Outcome
        What was done where, and what was measured.
    seconds : float
        How long it took.
    ran : int
        Pairs of unit and image that were run; in the others the unit already was what it would be set to.
    """

    graph: FilterGraph
    units: Mapping[str, tuple[int, ...]]
    moments: Mapping[str, EffectMoments]
    before: EffectMoments
    action: Action
    site: str
    outcomes: tuple[Outcome, ...]
    seconds: float
    ran: int

    @property
    def n(self) -> int:
        """Number of images."""
        return int(self.before.n.max())

    @property
    def n_units(self) -> int:
        """Number of units."""
        return sum(len(units) for units in self.units.values())

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the measured columns: the outcomes, or one a class."""
        classes = [str(k) for k in range(self.graph.output.units)]
        names: list[str] = []
        width = self.before.mean.shape[0]
        for one in self.outcomes:
            names += one.columns(classes)
        return tuple(names) if len(names) == width else tuple(f"column {k}" for k in range(width))

    def column(self, name: str) -> int:
        """Give the position of a column.

        Raises
        ------
        UnknownNameError
            If it was not measured.
        """
        if name not in self.columns:
            known, hint = ", ".join(self.columns), nearest(name, self.columns)
            raise UnknownNameError(f'outcome "{name}" was not measured, only {known}.{hint}')
        return self.columns.index(name)

    def mean(self, layer: str, outcome: str) -> Float64[np.ndarray, " unit"]:
        """Mean effect of each unit of a layer, in the order of `units`."""
        return np.asarray(self._of(layer).mean[:, self.column(outcome)])

    def _of(self, layer: str) -> EffectMoments:
        if layer not in self.moments:
            raise UnknownNameError(f'layer "{layer}" was not swept.{nearest(layer, self.moments)}')
        return self.moments[layer]

    @cached_property
    def all(self) -> EffectMoments:
        """All units' moments together, questions (unit, column), layers in forward order."""
        parts = [self.moments[layer] for layer in self.units]
        return EffectMoments(
            np.concatenate([one.n for one in parts]),
            np.concatenate([one.mean for one in parts]),
            np.concatenate([one.squares for one in parts]),
        )

    def table(self, level: float = 0.95, population: int | None = None) -> pd.DataFrame:
        """Give one row a unit and outcome.

        Parameters
        ----------
        level : float
            Of the confidence interval.
        population : int, optional
            How many images the mean is about, of which these are a sample; None: all there might ever be.
        """
        low, high = self.all.interval(level, population)
        where = [(layer, unit) for layer, units in self.units.items() for unit in units]
        shape = self.all.mean.shape
        rows = {
            "layer": np.repeat(np.array([layer for layer, _ in where], dtype=object), shape[1]),
            "unit": np.repeat([unit for _, unit in where], shape[1]),
            "outcome": np.tile(np.array(self.columns, dtype=object), shape[0]),
            "effect": self.all.mean.ravel(),
            "sd": self.all.sd.ravel(),
            "n": self.all.n.ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
        return pd.DataFrame(rows)

    def ranking(self, by: str | None = None, absolute: bool = True) -> pd.DataFrame:
        """Give the units by the size of their effect on one outcome, largest first.

        Parameters
        ----------
        by : str, optional
            The column; None: the first.
        absolute : bool
            Whether the sign plays no part.
        """
        name = self.columns[0] if by is None else self.columns[self.column(by)]
        table = self.table()
        table = table[table["outcome"] == name]
        key = table["effect"].abs() if absolute else table["effect"]
        order = np.argsort(-key.to_numpy(), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def __repr__(self) -> str:
        share = self.ran / max(self.n_units * self.n, 1)
        before = ", ".join(
            f"{name} {mean:.4g}" for name, mean in zip(self.columns[:3], self.before.mean, strict=False)
        )
        return (
            f"Effects of {self.action!r} at {self.site}: {self.n_units:,} units of {len(self.units)} layers "
            f"on {self.n:,} images in {self.seconds:.1f} s ({share:.0%} of the pairs changed); "
            f"without: {before}"
        )

    def _repr_html_(self) -> str:
        shown = (
            self.ranking()
            .head(20)
            .to_html(index=False, escape=True, float_format=lambda number: f"{number:.4g}")
        )
        return f"<p>{html.escape(repr(self))}</p>{shown}"
