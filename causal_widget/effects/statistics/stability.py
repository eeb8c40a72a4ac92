"""Would the ranking be the same on other images? Rank intervals and top-k overlap over draws of images."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.bootstrap import bootstrap_means
from causal_widget.effects.statistics.checks import Array, as_effects, check_share, check_whole
from causal_widget.effects.statistics.ranks import first_units, ranks_of
from causal_widget.errors import ArgumentError, check_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Stability", "stability", "stability_of_draws", "stability_of_estimates"]


@dataclass(frozen=True, repr=False, eq=False)
class Stability:
    """How sure a ranking of units is, over draws of images.

    Attributes
    ----------
    rank : array, shape (unit,)
        Place on all images, 1 first; equal units share the mean of their places.
    low, high : array, shape (unit,)
        Ends of the interval of the rank over the draws.
    in_top : array, shape (unit,)
        Share of the draws in which the unit is among the `top` first.
    overlap : float
        Mean share of the `top` first that a draw has in common with all images.
    spearman : float
        Mean rank correlation of a draw with all images.
    top, draws : int
    level : float
    by : str
        What is ranked: "abs", "high" or "low".
    names : tuple of str
        One a unit; empty where they have none.
    """

    rank: Float64[np.ndarray, " unit"]
    low: Float64[np.ndarray, " unit"]
    high: Float64[np.ndarray, " unit"]
    in_top: Float64[np.ndarray, " unit"]
    overlap: float
    spearman: float
    top: int
    draws: int
    level: float
    by: str
    names: tuple[str, ...] = ()

    @property
    def span(self) -> Float64[np.ndarray, " unit"]:
        """How many places each unit's interval spans."""
        return np.asarray(self.high - self.low + 1)

    def table(self) -> pd.DataFrame:
        """One row a unit, in the order of the ranking: rank, its interval, share of draws in the top."""
        table = pd.DataFrame({"rank": self.rank, "low": self.low, "high": self.high, "in top": self.in_top})
        if self.names:
            table.insert(0, "question", list(self.names))
        return table.rename_axis("unit").sort_values("rank", kind="stable")

    def plot(self, top: int = 30, figsize: tuple[float, float] | None = None) -> Figure:
        """Show the ranks of the first units with their intervals."""
        from causal_widget.plots.scm import rank_intervals

        shown = self.table().head(check_whole(top, "top", 1))
        labels = shown["question"] if self.names else shown.index
        rank, low, high = (shown[name].to_numpy() for name in ("rank", "low", "high"))
        title = f"{self.level:.0%} intervals of the rank among {self.rank.size:,}, over draws of images"
        return rank_intervals(
            [str(one) for one in labels], rank, low, high, title, figsize, label="rank (1: first)"
        )

    def __repr__(self) -> str:
        return (
            f"Stability: {self.rank.size:,} units, {self.draws:,} draws of images\n"
            f"  a unit's {self.level:.0%} rank interval spans {np.median(self.span):.0f} places (median)\n"
            f"  top {self.top}: {self.overlap:.0%} the same in a draw; rank correlation {self.spearman:.2f}"
        )

    def _repr_html_(self) -> str:
        head = "<br>".join(html.escape(line) for line in repr(self).splitlines())
        return f"<p>{head}</p>{self.table().to_html(float_format='{:.3g}'.format, max_rows=40)}"


def stability(
    effects: ArrayLike,
    *,
    top: int = 10,
    by: str = "abs",
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    population: int | None = None,
) -> Stability:
    """Rank units by mean effect and ask, by a bootstrap over images, how sure each place is.

    Parameters
    ----------
    effects : array, shape (image, unit)
        Of one outcome, all units on the same images.
    top : int
        Places that matter.
    by : str
        "abs" (largest absolute effect first), "high" or "low".
    draws, seed, population
        As for `bootstrap_means`.
    level : float
        Of the rank intervals.

    Raises
    ------
    ArgumentError
        If the effects are no (image, unit), or an argument is outside its range.
    UnknownNameError
        If there is no such order.
    """
    values = as_effects(effects)
    if values.ndim != 2:
        raise ArgumentError(f"effects must be (image, unit), one outcome at a time, got {values.shape}")
    drawn = bootstrap_means(values, draws, seed=seed, population=population)
    return _stability(values.mean(axis=0), drawn, top, by, level)


def stability_of_draws(
    mean: ArrayLike,
    drawn: ArrayLike,
    *,
    top: int = 10,
    by: str = "abs",
    level: float = 0.95,
    names: Sequence[str] = (),
) -> Stability:
    """Give the same from mean effects on images drawn again that are there already.

    Parameters
    ----------
    mean : array, shape (unit,)
        On all images.
    drawn : array, shape (draw, unit)
        On those of each draw.
    top, by, level
        As for `stability`.
    names : sequence of str
        One a unit.

    Raises
    ------
    ArgumentError
        If the shapes do not fit, or there is no draw.
    """
    centre, draws = as_effects(mean, "mean"), as_effects(drawn, "drawn")
    if centre.ndim != 1 or draws.ndim != 2 or draws.shape[1:] != centre.shape or not len(draws):
        raise ArgumentError(
            f"mean must be (unit,) and drawn (draw, unit), got {centre.shape} and {draws.shape}"
        )
    return replace(_stability(centre, draws, top, by, level), names=tuple(names))


def stability_of_estimates(
    mean: ArrayLike,
    se: ArrayLike,
    *,
    top: int = 10,
    by: str = "abs",
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Stability:
    """Give the same from estimates and standard errors alone, as a control variate leaves them.

    Draws are normal and independent between units: units that move together on the same images, which
    `stability` sees, look less sure of their order than they are.

    Parameters
    ----------
    mean, se : array, shape (unit,)
    top, by, draws, level, seed
        As for `stability`.
    """
    centre, spread = as_effects(mean, "mean"), as_effects(se, "se")
    if centre.ndim != 1 or centre.shape != spread.shape or (spread < 0).any():
        raise ArgumentError(f"mean and se must be (unit,), se from 0, got {centre.shape} and {spread.shape}")
    noise = np.random.default_rng(check_seed(seed)).normal(size=(check_whole(draws, "draws", 1), len(centre)))
    return _stability(centre, centre + spread * noise, top, by, level)


def _stability(mean: Array, drawn: Array, top: int, by: str, level: float) -> Stability:
    k = check_whole(top, "top", 1, mean.size)
    tail = (1 - check_share(level, "level")) / 2
    rank, ranks = ranks_of(mean, by), ranks_of(drawn, by)
    low, high = np.quantile(ranks, [tail, 1 - tail], axis=0, method="nearest")
    first, chosen = first_units(mean[None], by, k)[0], first_units(drawn, by, k)
    overlap = float((chosen & first).sum() / (k * len(drawn)))
    return Stability(
        rank, low, high, chosen.mean(axis=0), overlap, _correlation(rank, ranks), k, len(drawn), level, by
    )


def _correlation(rank: Array, ranks: Array) -> float:
    """Give the mean correlation of one row of ranks with many; NaN where all units are alike."""
    one = rank - rank.mean()
    many = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((one @ one) * (many * many).sum(axis=1))
    return float(np.mean(many @ one / size)) if (size > 0).all() else float("nan")
