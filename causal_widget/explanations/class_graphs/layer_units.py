"""What was found of one layer's units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

__all__ = ["NOT_ASKED", "LayerUnits"]

NOT_ASKED = "not asked"


@dataclass(frozen=True, eq=False, repr=False)
class LayerUnits:
    """Verdicts on all units of a layer.

    Attributes
    ----------
    layer : str
        The layer.
    verdict : array of str (unit,)
        "critical", "detrimental", "neutral", "undecided", or "not asked": no path of the unit leads to a
        target.
    effect, se, low, high, p, corrected, needed : array (unit,)
        As in `Judged`; NaN where a unit was not asked.
    n : array of int (unit,)
        Images that these numbers are of.
    confirmed : bool array (unit,)
        Whether they are of images that had no part in finding the unit.
    targets : mapping of layer name to tuple of int
        The target children that all paths led to.
    reads : mapping of layer name to bool array (target, unit)
        Which targets read which unit.
    note : str
        Why the graph ends here, where it does.
    """

    layer: str
    verdict: NDArray[np.str_]
    effect: Float64[np.ndarray, " unit"]
    se: Float64[np.ndarray, " unit"]
    low: Float64[np.ndarray, " unit"]
    high: Float64[np.ndarray, " unit"]
    p: Float64[np.ndarray, " unit"]
    corrected: Float64[np.ndarray, " unit"]
    needed: Float64[np.ndarray, " unit"]
    n: Int64[np.ndarray, " unit"]
    confirmed: Bool[np.ndarray, " unit"]
    targets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reads: Mapping[str, Bool[np.ndarray, "target unit"]] = field(default_factory=dict)
    note: str = ""

    @staticmethod
    def empty(layer: str, units: int, note: str = "") -> LayerUnits:
        """Give a layer of which nothing was asked."""
        effect, se, low, high, p, corrected, needed = np.full((7, units), np.nan)
        return LayerUnits(
            layer, np.full(units, NOT_ASKED, dtype="<U11"), effect, se, low, high, p, corrected, needed,
            np.zeros(units, np.int64), np.zeros(units, bool), note=note,
        )  # fmt: skip

    def where(self, verdict: str) -> Int64[np.ndarray, " unit"]:
        """Units with a verdict, ascending."""
        return np.flatnonzero(self.verdict == verdict)

    def children(self, unit: int) -> dict[str, tuple[int, ...]]:
        """Target children that a unit's paths lead to, by layer."""
        return {
            layer: tuple(np.array(self.targets[layer])[mask[:, unit]].tolist())
            for layer, mask in self.reads.items()
            if mask[:, unit].any()
        }

    def table(self, verdict: str | None = None) -> pd.DataFrame:
        """Give one row a unit, or one each with that verdict, the largest effects first."""
        rows = np.arange(len(self.verdict)) if verdict is None else self.where(verdict)
        columns: dict[str, Any] = {
            "unit": rows, "effect": self.effect[rows], "low": self.low[rows], "high": self.high[rows],
            "p": self.p[rows], "corrected p": self.corrected[rows], "n": self.n[rows],
            "verdict": self.verdict[rows], "confirmed": self.confirmed[rows], "needed": self.needed[rows],
        }  # fmt: skip
        table = pd.DataFrame(columns)
        if verdict is None:
            return table
        order = np.argsort(-np.abs(self.effect[rows]), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values; NaN as None."""
        record: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, np.ndarray):
                value = [_plain(x) for x in value.tolist()]
            elif one.name == "targets":
                value = {name: list(units) for name, units in value.items()}
            elif one.name == "reads":
                value = {name: _packed(mask) for name, mask in value.items()}
            record[one.name] = value
        return record

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> LayerUnits:
        """Make it of what `to_dict` gave."""
        floats = {
            name: np.array([_number(x) for x in record[name]], dtype=np.float64)
            for name in ("effect", "se", "low", "high", "p", "corrected", "needed")
        }
        targets = {name: tuple(units) for name, units in record["targets"].items()}
        units = len(record["verdict"])
        return LayerUnits(
            record["layer"], np.array(record["verdict"], dtype="<U11"), **floats,
            n=np.array(record["n"], dtype=np.int64), confirmed=np.array(record["confirmed"], dtype=bool),
            targets=targets,
            reads={n: _unpacked(mask, (len(targets[n]), units)) for n, mask in record["reads"].items()},
            note=record["note"],
        )  # fmt: skip


def _plain(value: Any) -> Any:
    if not isinstance(value, float) or np.isfinite(value):
        return value
    return "infinite" if value == np.inf else None


def _number(value: float | str | None) -> float:
    if value is None:
        return float("nan")
    return float("inf") if value == "infinite" else float(value)


def _packed(mask: Bool[np.ndarray, "target unit"]) -> str | list[list[int]]:
    """Give "all" where every target reads every unit, else the units that each target reads."""
    return "all" if mask.all() else [np.flatnonzero(row).tolist() for row in mask]


def _unpacked(packed: str | list[list[int]], shape: tuple[int, int]) -> Bool[np.ndarray, "target unit"]:
    if packed == "all":
        return np.ones(shape, dtype=bool)
    mask = np.zeros(shape, dtype=bool)
    for row, units in zip(mask, packed, strict=True):
        row[np.array(units, dtype=np.int64)] = True
    return mask
