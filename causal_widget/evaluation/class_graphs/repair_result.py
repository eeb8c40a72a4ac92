"""Accuracy while paths that hurt classes are blocked, as a result that says itself."""

from __future__ import annotations

import html
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causal_widget.errors import UnknownNameError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AIMS", "OTHERS", "OWN", "RepairCurve", "told"]

AIMS = ("balanced", "class")
OWN, OTHERS = "own", "others"


@dataclass(frozen=True, eq=False, repr=False)
class RepairCurve:
    """How accuracy changes while a share of the paths that hurt a class is blocked.

    Attributes
    ----------
    rows : DataFrame
        One row a class, share and images ("own": of the class, "others": of all others): blocked (units),
        before, after (accuracies), change, se, n (images).
    names : mapping of int to str
        Names of the classes.
    harmful : mapping of int to int
        How many detrimental units each class has; those with none are measured all the same.
    shares : tuple of float
        0 among them.
    level : float
        Of the intervals.
    held_out : str
        Whether the images had no part in finding the graphs, and how that is known.
    seed : int
    seconds : float
    """

    rows: pd.DataFrame
    names: Mapping[int, str]
    harmful: Mapping[int, int]
    shares: tuple[float, ...]
    level: float
    held_out: str
    seed: int
    seconds: float = 0.0

    def table(self, target: int | None = None) -> pd.DataFrame:
        """Give one row a class, share and images, with the interval of the paired change.

        Raises
        ------
        UnknownNameError
            If the class was not measured.
        """
        rows = self.rows.copy()
        if target is not None:
            if target not in self.names:
                raise UnknownNameError(f"class {target!r:.40} was not measured, only {sorted(self.names)}")
            rows = rows[rows["class"] == target].reset_index(drop=True)
        return self._with_ends(rows)

    def mean(self) -> pd.DataFrame:
        """Give the mean change over classes, for each share and images, with its interval.

        The classes are those measured; their images' changes are independent for "own", and so their
        variances add. For "others" the images are shared by the classes: the standard error is the mean of
        theirs, which is right where classes go together and too large otherwise.
        """
        parts = []
        for images in (OWN, OTHERS):
            rows = self.rows[self.rows["images"] == images]
            if not len(rows):
                continue
            by_share = rows.groupby("share")
            found = by_share.agg(
                blocked=("blocked", "mean"), before=("before", "mean"), after=("after", "mean"),
                change=("change", "mean"), classes=("class", "size"),
            )  # fmt: skip
            if images == OWN:
                found["se"] = (
                    np.sqrt(by_share["se"].apply(lambda se: float((se**2).sum()))) / found["classes"]
                )
            else:
                found["se"] = by_share["se"].mean()
            found.insert(0, "images", images)
            parts.append(found.reset_index())
        return self._with_ends(pd.concat(parts, ignore_index=True))

    def best(self, target: int, aim: str = "balanced") -> float:
        """Give the share that serves a class best, the smallest of equals.

        Parameters
        ----------
        target : int
            The class.
        aim : {"balanced", "class"}
            "balanced": the mean of the accuracy on the class and that on all others; "class": on the class.

        Raises
        ------
        UnknownNameError
            If the class was not measured, or the aim is none.
        """
        if aim not in AIMS:
            raise UnknownNameError(f'aim "{aim}" is not known; expected one of {", ".join(AIMS)}.')
        wide = self.table(target).pivot(index="share", columns="images", values="after").sort_index()
        worth = wide[OWN] if aim == "class" or OTHERS not in wide else (wide[OWN] + wide[OTHERS]) / 2
        return float(worth.index[int(np.argmax(worth.to_numpy()))])

    def plot(self, figsize: tuple[float, float] | None = None) -> Figure:
        """Draw the changes over the share blocked, on each class's images and on all others' (figure 11)."""
        from causal_widget.plots.masking import repair_lines

        lines = {}
        for images in (OWN, OTHERS):
            parts = {name: self.table(k) for k, name in self.names.items()}
            if len(self.names) > 1:
                parts[f"mean of {len(self.names)} classes"] = self.mean()
            lines[images] = {name: _line(part[part["images"] == images]) for name, part in parts.items()}
        return repair_lines(lines[OWN], lines[OTHERS], "Paths that hurt a class, blocked", figsize)

    def _with_ends(self, rows: pd.DataFrame) -> pd.DataFrame:
        half = NormalDist().inv_cdf(0.5 + self.level / 2) * rows["se"]
        rows["low"], rows["high"] = rows["change"] - half, rows["change"] + half
        return rows

    def __repr__(self) -> str:
        none = [self.names[k] for k, n in self.harmful.items() if not n]
        lines = [
            f"RepairCurve of {len(self.names)} class{'es' * (len(self.names) > 1)}, "
            f"{sum(self.harmful.values()):,} detrimental units; images: {self.held_out}"
        ]
        table = self.mean()
        for share in self._told:
            rows = table[table["share"] == share].to_dict("records")
            lines += [f"  {share:.0%} blocked, {told(row)}" for row in rows]
        if none:
            lines.append(f"  no detrimental unit: {', '.join(none[:12])}")
        return "\n".join(lines)

    @property
    def _told(self) -> Sequence[float]:
        middle = min(self.shares, key=lambda share: abs(share - 0.5))
        return sorted({middle, max(self.shares)} - {0.0})

    def _repr_html_(self) -> str:
        head = "<br>".join(html.escape(line) for line in repr(self).splitlines())
        return f"<p>{head}</p>{self.mean().to_html(index=False, escape=True, float_format='{:.4f}'.format)}"


def told(row: Mapping[Hashable, Any]) -> str:
    """Say a change in words."""
    where = "the class" if row["images"] == OWN else "all others"
    return (
        f"on images of {where}: {row['before']:.2%} before, {row['after']:.2%} after, change "
        f"{100 * row['change']:+.2f} points ({100 * row['low']:+.2f} to {100 * row['high']:+.2f})"
    )


def _line(part: pd.DataFrame) -> tuple[np.ndarray, ...]:
    return tuple(part[column].to_numpy(np.float64) for column in ("share", "change", "low", "high"))
