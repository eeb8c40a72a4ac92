"""The graphs of several classes, and what they share."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.explanations.class_graphs.class_graph import ClassGraph
from causal_widget.explanations.class_graphs.saving import from_record, parsed, record_of

__all__ = ["ClassGraphs"]

_FORMAT = "causal_widget class graphs"


class ClassGraphs(Mapping[int, ClassGraph]):
    """Graphs by class, of one network.

    Parameters
    ----------
    graphs : mapping of int to ClassGraph
    """

    def __init__(self, graphs: Mapping[int, ClassGraph]) -> None:
        if not graphs:
            raise ArgumentError("there must be the graph of one class or more, got none")
        self._graphs = dict(graphs)

    def __getitem__(self, target: int) -> ClassGraph:
        """Give the graph of a class.

        Raises
        ------
        UnknownNameError
            If it was not asked for.
        """
        if target not in self._graphs:
            raise UnknownNameError(f"class {target!r:.40} has no graph here, only {sorted(self._graphs)}")
        return self._graphs[target]

    def __iter__(self) -> Iterator[int]:
        return iter(self._graphs)

    def __len__(self) -> int:
        return len(self._graphs)

    def shared(self, verdict: str = "critical") -> pd.DataFrame:
        """Say which classes each unit has a verdict for.

        One row a unit that has it for any class: layer, unit, classes (how many), which.
        """
        found: dict[tuple[str, int], list[int]] = {}
        for target, graph in self.items():
            for layer, units in graph.units(verdict).items():
                for unit in units:
                    found.setdefault((layer, unit), []).append(target)
        order = {one.layer: k for k, one in enumerate(self._first.layers)}
        rows = [
            {"layer": layer, "unit": unit, "classes": len(which), "which": tuple(which)}
            for (layer, unit), which in sorted(
                found.items(), key=lambda item: (order[item[0][0]], item[0][1])
            )
        ]
        return pd.DataFrame(rows, columns=["layer", "unit", "classes", "which"])

    def compared(self, a: int, b: int, verdict: str = "critical") -> dict[str, dict[str, tuple[int, ...]]]:
        """Give the units that two classes share, and those of each alone.

        Returns
        -------
        dict
            "shared", "only a", "only b": each a mapping of layer name to units.
        """
        first, second = self[a].units(verdict), self[b].units(verdict)
        found: dict[str, dict[str, tuple[int, ...]]] = {"shared": {}, "only a": {}, "only b": {}}
        for one in self._first.layers:
            own, other = set(first.get(one.layer, ())), set(second.get(one.layer, ()))
            for name, units in (("shared", own & other), ("only a", own - other), ("only b", other - own)):
                if units:
                    found[name][one.layer] = tuple(sorted(units))
        return found

    def overlap(self, verdict: str = "critical") -> pd.DataFrame:
        """Give the share of two classes' units that both have (Jaccard); NaN where none has any."""
        sets = {
            k: {(layer, unit) for layer, units in graph.units(verdict).items() for unit in units}
            for k, graph in self.items()
        }
        values = [
            [len(a & b) / len(a | b) if a | b else np.nan for b in sets.values()] for a in sets.values()
        ]
        return pd.DataFrame(values, index=list(sets), columns=list(sets))

    def table(self) -> pd.DataFrame:
        """Give one row a class, layer and unit."""
        parts = []
        for target, graph in self.items():
            part = graph.table()
            part.insert(0, "class", target)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    @property
    def _first(self) -> ClassGraph:
        return next(iter(self._graphs.values()))

    def save(self, path: str | Path) -> None:
        """Write the graphs as JSON; `load` reads them."""
        record = {"format": _FORMAT, "graphs": [record_of(graph) for graph in self.values()]}
        Path(path).write_text(json.dumps(record, allow_nan=False))

    @staticmethod
    def load(path: str | Path) -> ClassGraphs:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If the file holds no graphs of classes.
        """
        record = parsed(path)
        if not isinstance(record, dict) or record.get("format") != _FORMAT:
            raise DataError(
                f"{path} holds no graphs of classes: expected a JSON object of format {_FORMAT!r}"
            )
        found = [from_record(one, str(path)) for one in record.get("graphs", ())]
        return ClassGraphs({graph.target: graph for graph in found})

    def __repr__(self) -> str:
        lines = [f'ClassGraphs of {len(self)} classes, mode "{self._first.mode}"']
        for target, graph in self.items():
            counts = {v: sum(map(len, graph.units(v).values())) for v in ("critical", "detrimental")}
            lines.append(
                f'  {target} ("{graph.name}"): {counts["critical"]:,} critical, '
                f"{counts['detrimental']:,} detrimental, {graph.n_images:,} images"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in repr(self).splitlines())
