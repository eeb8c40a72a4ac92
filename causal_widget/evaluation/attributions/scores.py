"""One measure of many methods on the same images: means with intervals, and paired differences."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy.special import stdtr

from causal_widget.effects.statistics import EffectMoments, corrected
from causal_widget.errors import UnknownNameError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MethodScores"]


@dataclass(frozen=True, repr=False, eq=False)
class MethodScores:
    """Scores of methods, image by image; the images are the same for all.

    Attributes
    ----------
    measure : str
        What was measured, with its unit.
    higher : bool
        Whether a higher score is better.
    values : mapping of method to array, shape (image,)
    controls : tuple of str
        Methods that know nothing, which take no rank.
    """

    measure: str
    higher: bool
    values: Mapping[str, Float64[np.ndarray, " image"]] = field(repr=False)
    controls: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, best mean first, controls last."""
        sign = -1.0 if self.higher else 1.0
        return tuple(sorted(self.values, key=lambda m: (m in self.controls, sign * self.values[m].mean())))

    def of(self, method: str) -> Float64[np.ndarray, " image"]:
        """Give one method's scores.

        Raises
        ------
        UnknownNameError
            If it was not measured.
        """
        if method not in self.values:
            raise UnknownNameError(
                f'method "{method}" was not measured.{nearest(method, self.values) or " There are "}'
                + ("" if nearest(method, self.values) else ", ".join(self.values))
            )
        return self.values[method]

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """One row a method, best first: rank, mean with Student's interval over images, median, spread."""
        rows = []
        for rank, method in enumerate(self.methods, 1):
            values = self.values[method]
            moments = EffectMoments.of(values)
            low, high = moments.interval(level)
            rows.append(
                {
                    "method": method, "rank": 0 if method in self.controls else rank,
                    "mean": float(moments.mean), "low": float(low), "high": float(high),
                    "median": float(np.median(values)), "sd": float(moments.sd), "n": len(values),
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def against(self, method: str, level: float = 0.95, correction: str = "bh") -> pd.DataFrame:
        """Compare one method with every other, paired by image.

        Parameters
        ----------
        method : str
        level : float
        correction : str
            How p-values are corrected for the number of comparisons: "bh", "by", ...

        Returns
        -------
        DataFrame
            One row another method: mean difference (the method minus it) with Student's interval, two-sided
            p-value and the same corrected, the share of images on which the method is better (ties count
            half), and whether it is better, worse or undecided by the interval.
        """
        own, rows = self.of(method), []
        for other in self.methods:
            if other == method:
                continue
            change = own - self.values[other]
            moments = EffectMoments.of(change)
            low, high = (float(end) for end in moments.interval(level))
            gain = change if self.higher else -change
            better, worse = (low > 0, high < 0) if self.higher else (high < 0, low > 0)
            rows.append(
                {
                    "method": method, "other": other, "difference": float(moments.mean), "low": low,
                    "high": high, "p": _two_sided(moments),
                    "wins": float((gain > 0).mean() + (gain == 0).mean() / 2),
                    "verdict": "better" if better else "worse" if worse else "undecided",
                }
            )  # fmt: skip
        table = pd.DataFrame(rows)
        if len(table):
            table.insert(6, "corrected", corrected(table["p"].to_numpy(), correction))
        return table

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float, float]]:
        """Give (mean, low, high) of each method."""
        rows = self.table(level).set_index("method")[["mean", "low", "high"]].to_numpy(dtype=float)
        return {name: (m, low, high) for name, (m, low, high) in zip(self.methods, rows, strict=True)}

    @property
    def label(self) -> str:
        """What the axis of a figure says."""
        return f"{self.measure}\n({'higher' if self.higher else 'lower'} is better)"

    def plot(self, emphasised: tuple[str, ...] = (), figsize: tuple[float, float] | None = None) -> Figure:
        """Show every method's mean with its 95 % interval."""
        from causal_widget.plots.attributions import score_intervals

        return score_intervals({self.label: self.intervals()}, emphasised, self.controls, figsize=figsize)

    def __repr__(self) -> str:
        return f"{self.measure}\n{self.table().to_string(index=False, float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        table = self.table().to_html(index=False, float_format="{:.4g}".format)
        return f"<p>{html.escape(self.measure)}</p>{table}"


def _two_sided(moments: EffectMoments) -> float:
    se = float(moments.se())
    if not se > 0:
        return 1.0 if float(moments.mean) == 0 else 0.0
    return float(2 * stdtr(float(moments.df), -abs(float(moments.mean)) / se))
