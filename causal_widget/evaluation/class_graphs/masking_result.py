"""Accuracy on classes while units are masked, as a result that says itself."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from causal_widget.errors import UnknownNameError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ALL", "RULES", "ClassMasking"]

ALL = "all"
RULES = ("critical", "random", "least critical")


@dataclass(frozen=True, eq=False, repr=False)
class ClassMasking:
    """What is left of the accuracy on classes while critical units, and controls, are set to zero.

    Attributes
    ----------
    rows : DataFrame
        One row a class, layer (or "all"), share and rule: masked (units), accuracy, low, high, unmasked
        (accuracy without a mask), n (images), gap (random minus critical), gap low, gap high.
    names : mapping of int to str
        Names of the classes.
    shares : tuple of float
        Of each layer's critical units.
    draws : int
        Random choices.
    level : float
        Of the intervals: of critical and least critical units over images, of random ones over images and
        draws.
    site : str
        Where units are zero.
    seed : int
    seconds : float
    """

    rows: pd.DataFrame
    names: Mapping[int, str]
    shares: tuple[float, ...]
    draws: int
    level: float
    site: str
    seed: int
    seconds: float = 0.0

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that were masked, "all" last."""
        found = dict.fromkeys(self.rows["layer"])
        return (*(name for name in found if name != ALL), *(name for name in found if name == ALL))

    def table(self, target: int | None = None) -> pd.DataFrame:
        """Give one row a class, layer, share and rule; of one class where it is named.

        Raises
        ------
        UnknownNameError
            If the class was not measured.
        """
        if target is None:
            return self.rows.copy()
        if target not in self.names:
            raise UnknownNameError(f"class {target!r:.40} was not measured, only {sorted(self.names)}")
        return self.rows[self.rows["class"] == target].reset_index(drop=True)

    def mean(self) -> pd.DataFrame:
        """Give means over classes, each divided by its class's unmasked accuracy, as the paper's figure 10.

        One row a layer, share and rule: accuracy (normalised), with the t-interval over classes (NaN for
        one), masked (units, mean), classes. A class that is never right without a mask is left out.
        """
        rows = self.rows[self.rows["unmasked"] > 0].copy()
        rows["accuracy"] = rows["accuracy"] / rows["unmasked"]
        found = rows.groupby(["layer", "share", "rule"], sort=False).agg(
            accuracy=("accuracy", "mean"), sd=("accuracy", "std"), masked=("masked", "mean"),
            classes=("class", "nunique"),
        )  # fmt: skip
        df = np.maximum(found["classes"] - 1, 1)
        half = stdtrit(df, 0.5 + self.level / 2) * found["sd"] / np.sqrt(found["classes"])
        found["low"], found["high"] = found["accuracy"] - half, found["accuracy"] + half
        return found.drop(columns="sd").reset_index()

    def gaps(self, share: float) -> pd.DataFrame:
        """Give how much more accurate the network is with random units masked than with critical ones.

        One row a class and layer: masked, unmasked, critical, random, gap, gap low, gap high.

        Raises
        ------
        UnknownNameError
            If that share was not measured.
        """
        if share not in self.shares:
            raise UnknownNameError(f"share {share!r:.40} was not measured; the shares are {self.shares}")
        rows = self.rows[self.rows["share"] == share]
        keys = ["class", "layer"]
        wide = rows.pivot(index=keys, columns="rule", values="accuracy")[["critical", "random"]]
        rest = rows.drop_duplicates(keys).set_index(keys)
        columns = ["masked", "unmasked", "gap", "gap low", "gap high"]
        return (
            rest[columns].join(wide)[["masked", "unmasked", "critical", "random", *columns[2:]]].reset_index()
        )

    def plot(self, target: int | None = None, figsize: tuple[float, float] | None = None) -> Figure:
        """Draw accuracy over the share masked, a panel a layer (figure 10); None: the mean over classes."""
        from causal_widget.plots.masking import masking_lines

        one = target if target is not None or len(self.names) > 1 else next(iter(self.names))
        rows = self.mean() if one is None else self.table(one)
        whole = 1.0 if one is None else float(rows["unmasked"].iloc[0])
        panels = {
            layer: {
                rule: tuple(part[column].to_numpy() for column in ("share", "accuracy", "low", "high"))
                for rule in RULES
                if len(part := rows[(rows["layer"] == layer) & (rows["rule"] == rule)])
            }
            for layer in self.layers
        }
        what = f"mean of {len(self.names)} classes" if one is None else f'class "{self.names[one]}"'
        label = "accuracy, % of the unmasked" if one is None else "accuracy, %"
        return masking_lines(panels, whole, label, f"Critical units masked, {what}", figsize)

    def __repr__(self) -> str:
        share = min(self.shares, key=lambda one: (one == 0, abs(one - 0.2)))
        shares = ", ".join(f"{one:.0%}" for one in self.shares)
        lines = [
            f"ClassMasking of {len(self.names)} class{'es' * (len(self.names) > 1)}: shares {shares}; "
            f"{self.draws} random draws, zero at {self.site}"
        ]
        wide = self.mean().set_index(["layer", "share", "rule"])["accuracy"]
        for layer in self.layers:
            told = ", ".join(f"{rule} {wide[layer, share, rule]:.1%}" for rule in RULES)
            lines.append(f"  {layer}, {share:.0%} masked, share of the unmasked accuracy left: {told}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "<br>".join(html.escape(line) for line in repr(self).splitlines())
        return f"<p>{head}</p>{self.mean().to_html(index=False, escape=True, float_format='{:.3f}'.format)}"
