"""The effects of many edits, each alone, as a result that says itself."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.effects.evidence import ExactEvidence
from causal_widget.effects.outcomes import Outcome
from causal_widget.effects.questions import Question
from causal_widget.effects.statistics import EffectMoments
from causal_widget.errors import UnknownNameError, nearest
from causal_widget.graph import FilterGraph

__all__ = ["Asked", "Effects"]


class Asked(Protocol):
    """What was asked, by the layer at which the change enters, in forward order."""

    @property
    def groups(self) -> Mapping[str, tuple[Question, ...]]:
        """The questions of each layer."""


@dataclass(frozen=True, eq=False, repr=False)
class Effects:
    """Mean, spread and number of images of each question's effect on each outcome.

    Attributes
    ----------
    graph : FilterGraph
        The network's graph.
    questions : Questions
        What was asked, each alone.
    evidence : mapping of layer name to ExactEvidence
        What was measured: the outcome under do() minus the outcome without, image by image. The questions
        are in the order of ``questions.groups``, the columns in that of `columns`.
    before : EffectMoments, questions (column,)
        The outcomes without a change.
    outcomes : tuple of Outcome
        What was measured.
    n_images : int
        How many images the network was shown.
    seconds : float
        How long it took.
    ran : int
        Pairs of question and image that were run; in the others the edit changes nothing.
    seed : int
        Of what was drawn.
    how : {"exact", "controlled", "adaptive"}
        Every image; or exact effects on some images and an estimate on all, in one round or several.
    settings : mapping
        What else the run was told, as plain values.
    worked : float
        The work in forward passes of the whole network over one image.
    scale : float
        Mean absolute logit of the true class without a change (of the answer, without labels).
    """

    graph: FilterGraph
    questions: Asked
    evidence: Mapping[str, ExactEvidence]
    before: EffectMoments
    outcomes: tuple[Outcome, ...]
    n_images: int
    seconds: float
    ran: int
    seed: int = 0
    how: str = "exact"
    settings: Mapping[str, Any] = field(default_factory=dict)
    worked: float = float("nan")
    scale: float = float("nan")

    @property
    def n(self) -> int:
        """Number of images."""
        return self.n_images

    @cached_property
    def asked(self) -> tuple[Question, ...]:
        """All questions, layers in forward order."""
        return tuple(question for group in self.questions.groups.values() for question in group)

    @cached_property
    def units(self) -> dict[str, tuple[int, ...]]:
        """The units that were changed alone, by layer."""
        found = {
            layer: tuple(one.unit for one in group if one.unit is not None)
            for layer, group in self.questions.groups.items()
        }
        return {layer: units for layer, units in found.items() if units}

    @property
    def n_units(self) -> int:
        """Number of units that were changed alone."""
        return sum(len(units) for units in self.units.values())

    @cached_property
    def moments(self) -> dict[str, EffectMoments]:
        """Moments of the exact effects by layer, questions (question, column)."""
        return {layer: self.evidence[layer].moments for layer in self.questions.groups}

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

    def mean(self, layer: str, outcome: str) -> Float64[np.ndarray, " question"]:
        """Mean effect of each question of a layer, in the order of ``questions.groups``."""
        if layer not in self.evidence:
            raise UnknownNameError(f'layer "{layer}" was not swept.{nearest(layer, self.evidence)}')
        return np.asarray(self.moments[layer].mean[:, self.column(outcome)])

    @cached_property
    def all(self) -> EffectMoments:
        """All questions' moments together, questions (question, column), layers in forward order."""
        parts = list(self.moments.values())
        return EffectMoments(
            np.concatenate([one.n for one in parts]),
            np.concatenate([one.mean for one in parts]),
            np.concatenate([one.squares for one in parts]),
        )

    def table(self, level: float = 0.95, population: int | None = None) -> pd.DataFrame:
        """Give one row a question and outcome.

        Parameters
        ----------
        level : float
            Of the confidence interval.
        population : int, optional
            How many images the mean is about, of which these are a sample; None: all there might ever be.
        """
        low, high = self.all.interval(level, population)
        count, width = self.all.mean.shape
        unit = np.array([-1 if one.unit is None else one.unit for one in self.asked])
        rows = {
            "layer": np.repeat(np.array([one.layer for one in self.asked], dtype=object), width),
            "unit": np.repeat(unit, width),
            "question": np.repeat(np.array([one.name for one in self.asked], dtype=object), width),
            "outcome": np.tile(np.array(self.columns, dtype=object), count),
            "effect": self.all.mean.ravel(),
            "sd": self.all.sd.ravel(),
            "n": self.all.n.ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
        return pd.DataFrame(rows)

    def ranking(self, by: str | None = None, absolute: bool = True) -> pd.DataFrame:
        """Give the questions by the size of their effect on one outcome, largest first.

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
        share = self.ran / max(len(self.asked) * self.n, 1)
        before = ", ".join(
            f"{name} {mean:.4g}" for name, mean in zip(self.columns[:3], self.before.mean, strict=False)
        )
        what = f"{self.n_units:,} units" if self.n_units == len(self.asked) else f"{len(self.asked):,} edits"
        return (
            f"Effects of {what} of {len(self.evidence)} layers "
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
