"""One class's explanatory graph: which units it stands on, which hurt it, and through which paths."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.explanations.class_graphs.layer_units import NOT_ASKED, LayerUnits

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

__all__ = ["ClassGraph"]


@dataclass(frozen=True, eq=False, repr=False)
class ClassGraph:
    """Which units make a network say a class, after Algorithm 1 of Ahmad et al. 2023.

    Attributes
    ----------
    target : int
        The class.
    name : str
        Its name.
    mode, alpha, level, b, seed
        As in `explain_class`.
    layers : tuple of LayerUnits
        In forward order; the layer that gives the classes is not among them.
    class_units : mapping of layer name to tuple of int
        The class in the layer that gives the classes, and in one that this reads one to one.
    min_effect : float
        Least effect that counts, in units of the class's output; 0 in the paper's mode.
    output : float
        Mean output for the class, without any intervention.
    n_images, n_wrong : int
        Images used, and images given that the network gets wrong.
    choices : mapping of str to str
        What was chosen, also where the paper leaves it open.
    model_name : str
        Class name of the network.
    seconds : float
        How long it took.
    example_shape : tuple of int
        Shape of the image by which the network was traced.
    model : nn.Module or None
        The network it was found in; None after loading.
    """

    target: int
    name: str
    mode: str
    alpha: float
    level: float
    b: float | None
    seed: int
    layers: tuple[LayerUnits, ...]
    class_units: Mapping[str, tuple[int, ...]]
    min_effect: float
    output: float
    n_images: int
    n_wrong: int
    choices: Mapping[str, str] = field(default_factory=dict)
    model_name: str = ""
    seconds: float = 0.0
    example_shape: tuple[int, ...] = ()
    model: nn.Module | None = field(default=None, metadata={"saved": False})

    @cached_property
    def _by_name(self) -> dict[str, LayerUnits]:
        return {one.layer: one for one in self.layers}

    def layer(self, name: str) -> LayerUnits:
        """Give what was found of a layer.

        Raises
        ------
        UnknownNameError
            If there is no such layer; the message carries the nearest name.
        ArgumentError
            If its units are the classes.
        """
        if name in self.class_units:
            (unit,) = self.class_units[name]
            raise ArgumentError(f'"{name}" gives the classes: its unit {unit} is the class itself')
        if name not in self._by_name:
            hint = nearest(str(name), self._by_name)
            known = hint or f" The layers are {', '.join(list(self._by_name)[:8])}."
            raise UnknownNameError(f'layer "{name}" does not exist.{known}')
        return self._by_name[name]

    def critical(self, layer: str) -> pd.DataFrame:
        """Give the units of a layer that the class stands on, the largest effects first.

        Columns: unit, effect (the class's output with the unit's paths to the targets taken away, minus that
        without, in the mean over images), low and high of its interval, p, corrected p, n, verdict,
        confirmed, needed.
        """
        return self.layer(layer).table("critical")

    def detrimental(self, layer: str) -> pd.DataFrame:
        """Give the units of a layer that hurt the class, the largest effects first; columns as `critical`."""
        return self.layer(layer).table("detrimental")

    def units(self, verdict: str = "critical") -> dict[str, tuple[int, ...]]:
        """Give all units with a verdict, by layer in forward order; layers without one are left out."""
        found = {one.layer: tuple(one.where(verdict).tolist()) for one in self.layers}
        return {layer: units for layer, units in found.items() if units}

    @property
    def ends(self) -> dict[str, str]:
        """Where the graph ends, and why: by layer, from the class backwards."""
        return {one.layer: one.note for one in reversed(self.layers) if one.note}

    def table(self) -> pd.DataFrame:
        """Give one row a unit of every layer."""
        parts = []
        for one in self.layers:
            part = one.table()
            part.insert(0, "layer", one.layer)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def ate(self) -> pd.DataFrame:
        """Give the average treatment effect of every unit, as for the paper's figure 3.

        One row a unit: layer, unit, effect, and the same as a share of the size of the class's mean output.
        NaN for units that were not asked, because none of their paths leads to a target.
        """
        table = self.table()[["layer", "unit", "effect"]].copy()
        table["relative"] = table["effect"] / (abs(self.output) or np.nan)
        return table

    def edges(self) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
        """Give the paths between reported units, from parent to child, in forward order.

        A parent is critical or detrimental; a child is critical, or the class.
        """
        for one in self.layers:
            for unit in sorted([*one.where("critical").tolist(), *one.where("detrimental").tolist()]):
                for layer, children in one.children(unit).items():
                    for child in children:
                        if self._carries(layer, child):
                            yield (one.layer, unit), (layer, child)

    def _carries(self, layer: str, unit: int) -> bool:
        if layer in self.class_units:
            return unit in self.class_units[layer]
        return bool(self._by_name[layer].verdict[unit] == "critical")

    def to_networkx(self) -> nx.DiGraph:
        """Convert to a networkx graph.

        Nodes are pairs (layer, unit) with attributes verdict ("critical", "detrimental" or "class"), effect,
        low, high, p and corrected; edges lead from parent to child.
        """
        graph = nx.DiGraph(target=self.target, name=self.name, mode=self.mode, alpha=self.alpha)
        for one in self.layers:
            for verdict in ("critical", "detrimental"):
                for unit in one.where(verdict).tolist():
                    numbers = {
                        key: float(getattr(one, key)[unit])
                        for key in ("effect", "low", "high", "p", "corrected")
                    }
                    graph.add_node((one.layer, unit), verdict=verdict, **numbers)
        for layer, units in self.class_units.items():
            graph.add_nodes_from([(layer, unit) for unit in units], verdict="class")
        graph.add_edges_from(self.edges())
        return graph

    def plot(self, figsize: tuple[float, float] | None = None) -> Figure:
        """Draw the graph: a column a layer, critical units joined to the class by their paths."""
        from causal_widget.plots.class_graphs import class_graph

        columns = {one.layer: one.verdict for one in self.layers}
        effects = {one.layer: one.effect for one in self.layers}
        return class_graph(columns, effects, list(self.edges()), self._title, figsize)

    def plot_ate(self, figsize: tuple[float, float] | None = None) -> Figure:
        """Draw the average treatment effects of all units as a heat map, a column a layer (figure 3)."""
        from causal_widget.plots.class_graphs import ate_heatmap

        scale = abs(self.output) or 1.0
        return ate_heatmap({one.layer: one.effect / scale for one in self.layers}, self._title, figsize)

    @property
    def _title(self) -> str:
        return f'class "{self.name}", {self.mode}, {self.n_images:,} images'

    def save(self, path: str | Path) -> None:
        """Write the graph as JSON; `load` reads it."""
        from causal_widget.explanations.class_graphs.saving import save

        save(self, path)

    @staticmethod
    def load(path: str | Path) -> ClassGraph:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the file is no graph of a class.
        """
        from causal_widget.explanations.class_graphs.saving import load

        return load(path)

    def counts(self) -> pd.DataFrame:
        """Give one row a layer: how many units have which verdict, and why the graph ends, where it does."""
        names = ("critical", "detrimental", "neutral", "undecided", NOT_ASKED)
        rows = [
            {"layer": one.layer} | {name: len(one.where(name)) for name in names} | {"note": one.note}
            for one in self.layers
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        counts = {kind: sum(map(len, self.units(kind).values())) for kind in ("critical", "detrimental")}
        undecided = [one.needed[one.where("undecided")] for one in self.layers]
        needed = np.concatenate([*undecided, np.zeros(0)])
        lines = [
            f'ClassGraph of class {self.target} ("{self.name}"), mode "{self.mode}": {counts["critical"]:,} '
            f"critical and {counts['detrimental']:,} detrimental units of "
            f"{sum(len(one.verdict) for one in self.layers):,}",
            f"  {self._how()}; {self.n_images:,} images, {self.n_wrong:,} of those given are got wrong",
        ]
        if len(needed):
            lines.append(f"  {len(needed):,} units undecided{_how_many(needed)}")
        stops = list(self.ends.items())
        lines += [f"  {layer}: {note}" for layer, note in stops[:3]]
        return "\n".join(lines)

    def _how(self) -> str:
        if self.mode == "paper":
            return f"z-tests at alpha {self.alpha:g}, not corrected for their number"
        return (
            f"least effect {self.min_effect:.3g}; found on one half of the images, confirmed on the other, "
            f"at most {self.alpha:.0%} false discoveries expected"
        )

    def _repr_html_(self) -> str:
        head = "<br>".join(html.escape(line) for line in repr(self).splitlines())
        return f"<p>{head}</p>{self.counts().to_html(index=False, escape=True)}"


def _how_many(needed: Float64[np.ndarray, " unit"]) -> str:
    finite = needed[np.isfinite(needed)]
    if not len(finite):
        return ""
    return f": {int(np.median(finite)):,} images would settle half of those that images can"
