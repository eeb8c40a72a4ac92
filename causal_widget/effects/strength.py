"""Is the ranking the same however strong the intervention is: scaled a little, halved, silenced."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import ArrayLike

from causal_widget.effects.effects import Effects
from causal_widget.effects.plan import EffectPlan
from causal_widget.effects.statistics import agreement
from causal_widget.effects.statistics.checks import check_whole
from causal_widget.effects.statistics.ranks import scores_of
from causal_widget.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StrengthStability", "stability_over_strength"]


@dataclass(frozen=True, eq=False, repr=False)
class StrengthStability:
    """Effects of the same questions under interventions of several strengths.

    Attributes
    ----------
    strengths : tuple of float
        In rising order.
    effects : tuple of Effects
        One a strength.
    outcome, order : str
        What is ranked: a column, "abs", "high" or "low".
    top : int
        Places that matter.
    """

    strengths: tuple[float, ...]
    effects: tuple[Effects, ...]
    outcome: str
    order: str
    top: int

    @property
    def means(self) -> Float64[np.ndarray, "question strength"]:
        """Mean effects."""
        column = self.effects[0].column(self.outcome)
        return np.stack([one.estimate().mean[:, column] for one in self.effects], axis=1)

    def table(self) -> pd.DataFrame:
        """Give one row a question: its mean effect at each strength, largest of the last strength first."""
        found = pd.DataFrame(self.means, columns=list(self.strengths))
        found.insert(0, "question", [one.name for one in self.effects[0].asked])
        order = np.argsort(-scores_of(self.means[:, self._strongest], self.order), kind="stable")
        return found.iloc[order].reset_index(drop=True)

    def agreement(self) -> pd.DataFrame:
        """Give one row a pair of strengths: rank correlation and overlap of the first places."""
        by_strength: dict[object, ArrayLike] = {one: self.means[:, k] for k, one in enumerate(self.strengths)}
        return agreement(by_strength, top=self.top, by=self.order)

    def plot(self, top: int = 6, figsize: tuple[float, float] = (7.5, 4.4)) -> Figure:
        """Show the effects over strength: the first ones named, the others in grey."""
        from causal_widget.plots.effects import strength_lines

        table, first = self.table(), check_whole(top, "top", 1)
        values = table[list(self.strengths)].to_numpy(dtype=np.float64)
        named = dict(zip(table["question"][:first], values[:first], strict=True))
        title = f"Effects of {len(table):,} edits on {self.outcome} over the strength of the intervention"
        return strength_lines(
            self.strengths, named, values[first:], f"change of {self.outcome}", title, figsize
        )

    @property
    def _strongest(self) -> int:
        """Position of the strength with the largest effects."""
        return int(np.abs(self.means).sum(axis=0).argmax())

    def __repr__(self) -> str:
        lowest = self.agreement()[["spearman", "overlap"]].min()
        span = f"{self.strengths[0]:g} to {self.strengths[-1]:g}"
        return (
            f"StrengthStability: {len(self.means):,} edits at {len(self.strengths)} strengths, {span}\n"
            f"  two strengths agree at least to rank correlation {lowest['spearman']:.2f}; of the first "
            f"{self.top} by {self.outcome}, {lowest['overlap']:.0%} are the same"
        )

    def _repr_html_(self) -> str:
        head = html.escape(repr(self)).replace("\n", "<br>")
        return f"<p>{head}</p>{self.agreement().to_html(index=False, float_format='{:.3f}'.format)}"


def stability_over_strength(
    make: Callable[[float], Effects | EffectPlan],
    strengths: Sequence[float],
    *,
    by: str | None = None,
    top: int = 10,
) -> StrengthStability:
    """Measure the same questions under interventions of several strengths, and compare the rankings.

    Parameters
    ----------
    make : callable (strength) -> EffectPlan or Effects
        For example ``lambda beta: plan_effects(model, loader, intervention=Scale(beta))``.
    strengths : sequence of float
        Two or more, such as the betas ``(0, 0.5, 0.9)``.
    by : str, optional
        As for `Effects.ranking`.
    top : int
        Places that matter.

    Raises
    ------
    ArgumentError
        If there are fewer than two strengths, one comes twice, or they were asked other questions.
    """
    chosen = tuple(sorted(float(one) for one in strengths))
    if len(chosen) < 2 or len(set(chosen)) < len(chosen) or not np.isfinite(chosen).all():
        raise ArgumentError(f"strengths must be two numbers or more, each once, got {list(strengths)!r:.80}")
    made = [make(one) for one in chosen]
    found = tuple(one if isinstance(one, Effects) else one.run() for one in made)
    first = found[0]
    where = [(one.layer, one.unit) for one in first.asked]
    for one, strength in zip(found, chosen, strict=True):
        if [(q.layer, q.unit) for q in one.asked] != where or one.columns != first.columns:
            raise ArgumentError(f"at strength {strength:g} other questions or outcomes were asked for")
    column, order = first.measured.order(by)
    return StrengthStability(
        chosen, found, first.columns[column], order, min(check_whole(top, "top", 1), len(where))
    )
