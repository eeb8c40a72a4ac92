"""How often each unit appears in a class's graph, over runs with drawn betas."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int8

from causal_widget.errors import ArgumentError, UnknownNameError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["APPEARS", "Reliability"]

APPEARS = ("critical", "detrimental")
ALWAYS = 0.98
ALL = "all"


@dataclass(frozen=True, eq=False, repr=False)
class Reliability:
    """Appearance rates of units over repeated random betas (Ahmad et al. 2023, section 5.1 and figure 7).

    Attributes
    ----------
    target, name : int, str
        The class.
    mode, alpha : str, float
        As in `explain_class`.
    b : array (run,)
        Centre from which each run's betas were drawn.
    ranges : mapping of str to bool array (run,)
        Which runs belong to which range of b.
    found : mapping of layer name to int8 array (run, unit)
        1 where the unit is critical, -1 where it is detrimental, else 0; layers in forward order.
    n_images : int
        Images of the class.
    different : int or None
        How many different betas each unit was measured at; None: one a run.
    seed : int
    pairs : int
        Pairs of unit and image that were measured.
    surprises : int
        Questions asked beyond those foreseen, because a run's targets differed.
    seconds : float
    choices : mapping of str to str
        What was chosen, also where the paper leaves it open.
    """

    target: int
    name: str
    mode: str
    alpha: float
    b: Float64[np.ndarray, " run"]
    ranges: Mapping[str, Bool[np.ndarray, " run"]]
    found: Mapping[str, Int8[np.ndarray, "run unit"]]
    n_images: int
    different: int | None
    seed: int
    pairs: int
    surprises: int
    seconds: float = 0.0
    choices: Mapping[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len(self.b)

    def rates(self, layer: str, verdict: str = "critical", b: str = ALL) -> Float64[np.ndarray, " unit"]:
        """Give the share of runs in which each unit of a layer has a verdict.

        Parameters
        ----------
        layer : str
        verdict : {"critical", "detrimental"}
        b : str
            One of `ranges`, or "all".

        Raises
        ------
        UnknownNameError
            If there is no such layer, verdict or range.
        """
        if layer not in self.found:
            raise UnknownNameError(f'layer "{layer}" is not among those asked.{nearest(layer, self.found)}')
        sign = 1 if _known(verdict, APPEARS, "verdict") == "critical" else -1
        runs = np.ones(self.runs, bool) if b == ALL else self.ranges[_known(b, (*self.ranges, ALL), "range")]
        return np.asarray((self.found[layer][runs] == sign).mean(0))

    def share(self, least: float = ALWAYS, verdict: str = "critical") -> pd.DataFrame:
        """Give the share of units that appear in nearly every run, of those that appear in any.

        One row a layer and range of b, and "all" of either: layer, b, appearing (units that have the verdict
        in one run or more), always (in at least a share `least` of runs), share.

        Raises
        ------
        ArgumentError
            If `least` is outside 0..1.
        """
        if not 0 <= least <= 1:
            raise ArgumentError(f"least must be a share in 0..1, got {least!r:.40}")
        rows = []
        for b in (*self.ranges, ALL):
            counts = []
            for layer in self.found:
                rates = self.rates(layer, verdict, b)
                counts.append((int((rates > 0).sum()), int(((rates > 0) & (rates >= least)).sum())))
                rows.append((layer, b, *counts[-1]))
            rows.append((ALL, b, sum(some for some, _ in counts), sum(often for _, often in counts)))
        table = pd.DataFrame(rows, columns=["layer", "b", "appearing", "always"])
        table["share"] = table["always"] / table["appearing"].replace(0, np.nan)
        return table

    def table(self, verdict: str = "critical") -> pd.DataFrame:
        """Give one row a layer, unit and range of b: the share of runs in which it has the verdict.

        Units that never have it are left out.
        """
        rows = []
        for layer in self.found:
            ever = np.flatnonzero(self.rates(layer, verdict) > 0).tolist()
            for b in (*self.ranges, ALL):
                rates = self.rates(layer, verdict, b)
                rows += [(layer, unit, b, rates[unit]) for unit in ever]
        return pd.DataFrame(rows, columns=["layer", "unit", "b", "appearance"])

    def unstable(self, least: float = ALWAYS, verdict: str = "critical") -> pd.DataFrame:
        """Give the units that appear in some runs, but in fewer than a share `least`."""
        table = self.table(verdict)
        chosen = table[(table["b"] == ALL) & (table["appearance"] < least)]
        return chosen.drop(columns="b").sort_values("appearance").reset_index(drop=True)

    def plot(self, verdict: str = "critical", figsize: tuple[float, float] | None = None) -> Figure:
        """Draw how often units appear, a panel a range of b, a line a layer (figure 7)."""
        from causal_widget.plots.reliability import appearance

        panels = {
            f"b in {b}": {layer: self.rates(layer, verdict, b) for layer in self.found} for b in self.ranges
        }
        title = f'{verdict} units of class "{self.name}", {self.mode}, {self.runs:,} runs'
        return appearance(panels, title, ALWAYS, figsize)

    def __repr__(self) -> str:
        lines = [
            f'Reliability of class {self.target} ("{self.name}"), mode "{self.mode}": {self.runs:,} runs, '
            f"b from {self.b[0]:g} to {self.b[-1]:g}, {self.n_images:,} images"
        ]
        for verdict in APPEARS:
            table = self.share(verdict=verdict)
            every = table[(table["layer"] == ALL) & (table["b"] == ALL)].iloc[0]
            worst = table[(table["layer"] == ALL) & (table["b"] != ALL)]["share"].min()
            told = "none ever appears"
            if every["appearing"]:
                told = (
                    f"{every['share']:.1%} of the {every['appearing']:,} that ever appear do so in at least "
                    f"{ALWAYS:.0%} of all runs; within one range of b, {worst:.1%} or more"
                )
            lines.append(f"  {verdict}: {told}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "<br>".join(html.escape(line) for line in repr(self).splitlines())
        return f"<p>{head}</p>{self.share().to_html(index=False, escape=True, float_format='{:.3f}'.format)}"


def _known(name: str, names: Sequence[str], what: str) -> str:
    if name not in names:
        raise UnknownNameError(f'{what} "{name}" is not known; expected one of {", ".join(names)}.')
    return name
