"""The effects of many edits, each alone, as a result that says itself."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import ArrayLike

from causal_widget.effects.evidence import ExactEvidence
from causal_widget.effects.measured import MeasuredEffects
from causal_widget.effects.ranking import EffectRanking
from causal_widget.effects.statistics import (
    Estimate,
    Stability,
    Verdicts,
    agreement,
    stability_of_draws,
    verdicts,
)
from causal_widget.effects.statistics.checks import check_whole
from causal_widget.effects.statistics.ranks import scores_of
from causal_widget.effects.tables import effects_table
from causal_widget.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Effects"]


@dataclass(frozen=True, eq=False, repr=False)
class Effects(MeasuredEffects):
    """Mean, spread and number of images of each question's effect on each outcome, and what follows.

    `MeasuredEffects` says what is in it.
    """

    def verdicts(
        self,
        *,
        min_effect: object = None,
        fdr: float = 0.05,
        correction: str = "bh",
        level: float = 0.95,
        population: int | str | None = "run",
        split: bool = False,
    ) -> Verdicts:
        """Judge every question and outcome: critical, neutral, detrimental or undecided; see `verdicts`.

        Of an adaptive run, p-values and intervals hold whenever it stopped.

        Parameters
        ----------
        min_effect : number, str or mapping, optional
            Least effect that matters: in the outcome's unit, a share ``"2%"`` of the mean absolute logit, or
            one of these by outcome. None: 0.01 for loss, divergence, correctness and probability, 1 % of the
            mean absolute logit of the true class for logits and margins. A function of the user's is judged
            only where it was told what is worse, and only with a number given.
        fdr, correction, level
            As for `verdicts`; the correction is over all questions and outcomes.
        population
            As for `estimate`.
        split : bool
            Choose what each question is asked for on one part of the images, judge and estimate on the other:
            two random halves, or pilot and the others.

        Returns
        -------
        Verdicts, questions (question, column)
        """
        least, known = self.measured.least(min_effect, self.scale)
        worse = self.measured.worse
        found = self.estimate(population, "judging" if split else "all")
        shape = found.mean.shape
        return verdicts(
            found,
            worse=np.where(worse == 0, 1, worse),
            min_effect=least,
            fdr=fdr,
            correction=correction,
            level=level,
            selection=self.estimate(population, "choosing") if split else None,
            asked=np.broadcast_to(known & (worse != 0), shape),
        )

    def table(
        self,
        level: float = 0.95,
        population: int | str | None = "run",
        *,
        min_effect: object = None,
        fdr: float = 0.05,
        correction: str = "bh",
        split: bool = False,
    ) -> pd.DataFrame:
        """Give one row a question and outcome, with the verdict; arguments as for `verdicts`.

        Columns: layer, unit (missing where the edit is not of one unit), question, outcome, effect, sd (of
        the effect over images), se, n (images with an exact effect; silent ones count where all images were
        run), changed (images in which anything changes), low, high (for this question alone), p, corrected
        p, verdict, needed (images that would settle it).
        """
        judged = self.verdicts(
            level=level,
            population=population,
            min_effect=min_effect,
            fdr=fdr,
            correction=correction,
            split=split,
        )
        found = self.estimate(population, "judging" if split else "all")
        return effects_table(self.asked, self.columns, found, judged)

    def ranking(
        self,
        by: str | None = None,
        **options: Any,
    ) -> EffectRanking:
        """Give the questions in the order of their effect on one outcome.

        Where exact effects are on some images, the order is that of the column "shrunken": effects drawn to
        their first-order estimates (see `shrunken`), which rank better than effects without bias do with few
        exact images. Effect, interval and verdict stay those without bias, and so need not fall with the
        rank. Exact sweeps have no such column, and the order of their effects.

        Parameters
        ----------
        by : str, optional
            ``"abs_loss"``: largest effect of either sign first; ``"loss"``: largest first; ``"-loss"``:
            smallest first. None: largest of either sign on the first outcome.
        **options
            As for `table`.
        """
        column, order = self.measured.order(by)
        table = self.table(**options)
        table = table[table["outcome"] == self.columns[column]].copy()
        if self.borrows:
            half = "judging" if options.get("split") else "all"
            table.insert(list(table).index("effect") + 1, "shrunken", self.shrunken(half)[:, column])
        sizes = table["shrunken" if self.borrows else "effect"].to_numpy()
        rows = table.iloc[np.argsort(-scores_of(sizes, order), kind="stable")]
        least, _ = self.measured.least(options.get("min_effect"), self.scale)
        return EffectRanking(
            self.columns[column], self.measured.owners[column].unit, order, self.n, float(least[column]),
            options.get("level", 0.95), options.get("fdr", 0.05), rows.reset_index(drop=True),
        )  # fmt: skip

    def plot(self, by: str | None = None, top: int = 30) -> Figure:
        """Show the first edits of a ranking; see `ranking`."""
        return self.ranking(by).plot(top)

    def stability(
        self,
        by: str | None = None,
        top: int = 10,
        *,
        level: float = 0.95,
        population: int | str | None = "run",
        draws: int = 1000,
    ) -> Stability:
        """Ask how sure each place of a ranking is: rank intervals, and how many of the first stay.

        An exact sweep has drawn its images again while it ran (Poisson bootstrap, the same images for all
        questions). Where exact effects are on some images, draws are normal by the standard errors and
        independent, so that edits that move together look less sure of their order than they are. The ranks
        are those of effects without bias, also where `ranking` orders by shrunken ones.

        Parameters
        ----------
        by : str, optional
            As for `ranking`.
        top : int
            Places that matter; no more than there are questions.
        level : float
            Of the rank intervals.
        population
            As for `estimate`.
        draws : int
            Where they are normal.

        Raises
        ------
        DataError
            If there are too few images to draw again.
        """
        column, order = self.measured.order(by)
        found = self.estimate(population).take(column)
        drawn = self._drawn(column, found, draws)
        return stability_of_draws(
            found.mean, drawn, top=min(top, len(self.asked)), by=order, level=level,
            names=[one.name for one in self.asked],
        )  # fmt: skip

    def _drawn(self, column: int, found: Estimate, draws: int) -> Float64[np.ndarray, "draw question"]:
        exact = [one for one in self.evidence.values() if isinstance(one, ExactEvidence)]
        if len(exact) == len(self.evidence):
            drawn = np.concatenate([self._exact(name).draws()[:, :, column] for name in self._layers], axis=1)
            if self.n < 2 or not len(drawn):
                raise DataError(f"a bootstrap needs 2 images or more, and draws, got {self.n} images")
            left = np.sqrt(np.maximum(1 - found.n / found.frame, 0.0))
            return np.asarray(found.mean + left * (drawn - found.mean))
        if not np.isfinite(found.se).all():
            raise DataError("there are too few exact effects to say how sure a ranking is")
        noise = np.random.default_rng(self.seed).normal(size=(check_whole(draws, "draws", 1), len(found.se)))
        return np.asarray(found.mean + found.se * noise)

    @property
    def _layers(self) -> list[str]:
        return list(self.questions.groups)

    def _exact(self, layer: str) -> ExactEvidence:
        found = self.evidence[layer]
        assert isinstance(found, ExactEvidence)
        return found

    def halves(self, by: str | None = None, top: int = 10) -> pd.DataFrame:
        """Compare the rankings of the two parts of the images: rank correlation and overlap of the first."""
        column, order = self.measured.order(by)
        both: dict[object, ArrayLike] = {
            half: self.estimate(half=half).mean[:, column] for half in ("choosing", "judging")
        }
        return agreement(both, top=min(top, len(self.asked)), by=order)

    def save(self, path: str | Path) -> Path:
        """Save to one safetensors file; see `causal_widget.effects.saving.save`."""
        from causal_widget.effects.saving import save

        return save(self, path)

    @staticmethod
    def load(path: str | Path) -> Effects:
        """Load what `save` wrote; see `causal_widget.effects.saving.load`."""
        from causal_widget.effects.saving import load

        return load(path)

    def __repr__(self) -> str:
        share = self.ran / max(len(self.asked) * self.n, 1)
        before = ", ".join(
            f"{name} {mean:.4g}" for name, mean in zip(self.columns[:3], self.before.mean, strict=False)
        )
        what = f"{self.n_units:,} units" if self.n_units == len(self.asked) else f"{len(self.asked):,} edits"
        return (
            f"Effects of {what} of {len(self.evidence)} layers "
            f"on {self.n:,} images in {self.seconds:.1f} s ({share:.0%} of the pairs {self._ran_as}); "
            f"without: {before}"
        )

    @property
    def _ran_as(self) -> str:
        return "changed" if self.how == "exact" else "run"

    def _repr_html_(self) -> str:
        head = html.escape(f"{self!r}\n{self.verdicts()!r}").replace("\n", "<br>")
        ranking = self.ranking()
        shown = ranking.table(20)[ranking.shown]
        return f"<p>{head}</p>{shown.to_html(index=False, escape=True, float_format='{:.4g}'.format)}"
