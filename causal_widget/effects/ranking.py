"""Edits in the order of their effects, as a result that says itself."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from causal_widget.effects.statistics.checks import check_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EffectRanking"]

ORDERS = {"abs": "largest effect first", "high": "largest first", "low": "smallest first"}


@dataclass(frozen=True, eq=False, repr=False)
class EffectRanking:
    """Edits by their effect on one outcome.

    Attributes
    ----------
    outcome, unit : str
        What was measured, and in what; the unit is empty for a function of the user's.
    order : {"abs", "high", "low"}
        Largest effect of either sign first, largest first, or smallest first.
    n_images : int
        How many images the network was shown.
    min_effect, level, fdr : float
        Least effect that matters; of the intervals; nominal rate of false discoveries.
    rows : DataFrame
        One row an edit, in the order of the ranking, with the columns of `Effects.table`; and "shrunken",
        by which they are in order, where exact effects are on some images.
    """

    outcome: str
    unit: str
    order: str
    n_images: int
    min_effect: float
    level: float
    fdr: float
    rows: pd.DataFrame

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shown(self) -> list[str]:
        """The columns that are worth showing."""
        borrowed = [name for name in ("shrunken",) if name in self.rows]
        return ["rank", "question", *borrowed, "effect", "low", "high", "corrected p", "verdict"]

    @property
    def counts(self) -> dict[str, int]:
        """How many edits have each verdict."""
        found = self.rows["verdict"].value_counts()
        return {str(name): int(count) for name, count in found.items()}

    def table(self, top: int | None = None) -> pd.DataFrame:
        """Give one row an edit, the first `top` or all, with its rank."""
        kept = self.rows if top is None else self.rows.head(check_whole(top, "top", 1))
        found = kept.reset_index(drop=True)
        found.insert(0, "rank", range(1, len(found) + 1))
        return found

    def plot(self, top: int = 30, figsize: tuple[float, float] | None = None) -> Figure:
        """Show the first edits with their intervals and verdicts, and where they stand among all.

        Parameters
        ----------
        top : int
            How many.
        figsize : tuple of float, optional
            In inches; otherwise as tall as the edits need.
        """
        from causal_widget.plots.effects import effect_ranking

        shown = self.rows.head(check_whole(top, "top", 1))
        arrays = {name: shown[name].to_numpy() for name in ("effect", "low", "high", "verdict")}
        label = f"change of {self.outcome}" + (f" ({self.unit}s)" if self.unit in ("nat", "logit") else "")
        return effect_ranking(
            list(shown["question"]), **arrays, every=self.rows["effect"].to_numpy(),
            every_verdict=self.rows["verdict"].to_numpy(), least=self.min_effect, label=label,
            title=self._title(), level=self.level, figsize=figsize,
        )  # fmt: skip

    def _title(self) -> str:
        what = "edits" if self.rows["unit"].isna().any() else "units"
        effect = "shrunken effect" if "shrunken" in self.rows else "effect"
        return (
            f"{len(self):,} {what} by their {effect} on {self.outcome}, {ORDERS[self.order]}; "
            f"{self.n_images:,} images"
        )

    def __repr__(self) -> str:
        said = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        shown = self.table(10)[self.shown].to_string(index=False, float_format="{:.4g}".format)
        return f"EffectRanking: {self._title()}\n  {said}\n{shown}"

    def _repr_html_(self) -> str:
        said = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        table = self.table(20).to_html(index=False, escape=True, float_format="{:.4g}".format)
        return f"<p>{html.escape(self._title())}<br>{html.escape(said)}</p>{table}"
