"""A pruning curve, as a result that says itself."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PruningCurve"]

SPREAD = (5, 95)


@dataclass(frozen=True, repr=False, eq=False)
class PruningCurve:
    """Accuracy of the network with its least important filters silenced, for several rules.

    Attributes
    ----------
    percents : tuple of float
        Share of every layer's filters that is removed, in percent.
    removed : tuple of int
        How many filters that is in all.
    accuracy, loss : mapping of rule to array, shape (repeat, percent)
        On the same images for all; one repeat for a rule that always chooses the same.
    baseline, baseline_loss : float
        Of the whole network.
    n : int
        Number of images.
    n_filters : int
        Number of filters that can be removed.
    """

    percents: tuple[float, ...]
    removed: tuple[int, ...]
    accuracy: Mapping[str, Float64[np.ndarray, "repeat percent"]]
    loss: Mapping[str, Float64[np.ndarray, "repeat percent"]]
    baseline: float
    baseline_loss: float
    n: int
    n_filters: int
    seconds: float = 0.0

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules."""
        return tuple(self.accuracy)

    def repeats(self, rule: str) -> int:
        """How often the rule's choice was drawn."""
        return len(self._of(rule))

    def mean(self, rule: str) -> Float64[np.ndarray, " percent"]:
        """Mean accuracy over the repeats."""
        return np.asarray(self._of(rule).mean(axis=0))

    def low(self, rule: str) -> Float64[np.ndarray, " percent"]:
        """5 % quantile of the accuracy over the repeats."""
        return np.asarray(np.percentile(self._of(rule), SPREAD[0], axis=0))

    def high(self, rule: str) -> Float64[np.ndarray, " percent"]:
        """95 % quantile of the accuracy over the repeats."""
        return np.asarray(np.percentile(self._of(rule), SPREAD[1], axis=0))

    def standard_error(self, rule: str) -> Float64[np.ndarray, " percent"]:
        """Binomial standard error of the mean accuracy, for the number of images."""
        mean = self.mean(rule)
        return np.asarray(np.sqrt(mean * (1 - mean) / self.n))

    def table(self) -> pd.DataFrame:
        """One row a rule and percentage: accuracy with its spread, loss, filters removed."""
        parts = [
            pd.DataFrame(
                {
                    "rule": rule,
                    "percent": self.percents,
                    "removed": self.removed,
                    "accuracy": self.mean(rule),
                    "low": self.low(rule),
                    "high": self.high(rule),
                    "loss": self.loss[rule].mean(axis=0),
                    "repeats": self.repeats(rule),
                }
            )
            for rule in self.rules
        ]
        return pd.concat(parts, ignore_index=True)

    def plot(self, figsize: tuple[float, float] = (7, 4.2)) -> Figure:
        """Show accuracy over percentage, one line a rule, a band for repeated draws."""
        from causal_widget.plots import pruning_lines

        lines = {
            rule: (self.mean(rule), self.low(rule), self.high(rule))
            if self.repeats(rule) > 1
            else (self.mean(rule),)
            for rule in self.rules
        }
        return pruning_lines(self.percents, lines, self.baseline, self.n, figsize)

    def _of(self, rule: str) -> Float64[np.ndarray, "repeat percent"]:
        if rule not in self.accuracy:
            raise UnknownNameError(
                f'rule "{rule}" is not in this curve; it has {", ".join(self.rules)}.'
                f"{nearest(rule, self.rules)}"
            )
        return self.accuracy[rule]

    def __repr__(self) -> str:
        head = f"PruningCurve: {self.n:,} images, {self.n_filters:,} filters, unpruned {self.baseline:.2%}"
        wide = self.table().pivot_table(index="rule", columns="percent", values="accuracy", sort=False)
        return f"{head}\n{wide.to_string(float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        wide = self.table().pivot_table(index="rule", columns="percent", values="accuracy", sort=False)
        head = html.escape(repr(self).splitlines()[0])
        return f"<p>{head}</p>{wide.to_html(float_format='{:.3f}'.format, escape=True)}"
