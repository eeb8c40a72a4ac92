"""What is expected under an intervention, over a set of images."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.interventions import Intervention
from causal_widget.responses import Paired, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Expectation"]


@dataclass(frozen=True, repr=False, eq=False)
class Expectation:
    """E[logits | do(...)] over a set of images.

    Attributes
    ----------
    intervention
        What was set.
    class_names
        One a class.
    n
        Number of images.
    mean, se
        (class,), the mean logits under the intervention and their standard errors; NaN for one image.
    changes
        One a class: the mean logit without and under the intervention, paired by image.
    answer
        What foresaw it: "equations" or "local".
    """

    intervention: Intervention
    class_names: tuple[str, ...]
    n: int
    mean: Float64[np.ndarray, " class"]
    se: Float64[np.ndarray, " class"]
    changes: tuple[Paired, ...]
    answer: str = "equations"

    @staticmethod
    def of(
        intervention: Intervention,
        class_names: Sequence[str],
        before: Float64[np.ndarray, "image class"],
        after: Float64[np.ndarray, "image class"],
        answer: str = "equations",
    ) -> Expectation:
        """Average the logits of the same images, without and under an intervention."""
        n = len(after)
        se = after.std(axis=0, ddof=1) / math.sqrt(n) if n > 1 else np.full(after.shape[1], np.nan)
        changes = tuple(paired(before[:, k], after[:, k]) for k in range(after.shape[1]))
        return Expectation(intervention, tuple(class_names), n, after.mean(axis=0), se, changes, answer)

    def table(self) -> pd.DataFrame:
        """Give one row a class: the mean logit without and under do(), with standard errors."""
        return pd.DataFrame(
            {
                "class": list(self.class_names),
                "before": [one.before for one in self.changes],
                "under do": self.mean,
                "s.e.": self.se,
                "change": [one.change for one in self.changes],
                "change s.e.": [one.se for one in self.changes],
            }
        )

    def plot(self, figsize: tuple[float, float] = (6, 4.2)) -> Figure:
        """Show the change of each class's mean logit with its 95 % interval."""
        from causal_widget.plots import effect_bars

        change = np.array([one.change for one in self.changes])
        half = np.array([one.interval()[1] - one.change for one in self.changes])
        by = "the equations" if self.answer == "equations" else "local coefficients"
        panels = {f"change of mean logit, by {by}": (change, half)}
        return effect_bars(self.class_names, panels, repr(self.intervention), figsize)

    def __repr__(self) -> str:
        largest = max(self.changes, key=lambda one: abs(one.change))
        name = self.class_names[self.changes.index(largest)]
        return (
            f"E[logits | {self.intervention!r}] over {self.n:,} images: "
            f"the logit of class {name} changes most, "
            f"{largest.before:.3f} -> {largest.after:.3f} ({largest.change:+.3f} +- {largest.se:.3f})"
        )

    def _repr_html_(self) -> str:
        table = self.table().to_html(index=False, float_format="{:.4f}".format, max_rows=40)
        return f"<p>{html.escape(repr(self))}</p>{table}"
