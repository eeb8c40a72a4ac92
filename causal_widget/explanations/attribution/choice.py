"""Which units a map is made of, and how much each counts: given by hand, or read off a class's graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from causal_widget.errors import ArgumentError, NonFiniteError
from causal_widget.graph import FilterGraph, Layer

__all__ = ["Choice", "ClassUnits", "chosen_parents", "chosen_units"]

Parents = dict[str, tuple[int, ...]]


@runtime_checkable
class ClassUnits(Protocol):
    """A class's explanatory graph, as far as an attribution needs it."""

    def critical(self, layer: str) -> Any:
        """Give the critical units of a layer.

        A table with a column "unit" (and "effect", where there is one), a mapping of unit to effect, or the
        units' numbers.
        """


@dataclass(frozen=True)
class Choice:
    """Units of one layer, ascending, with the weight of each; None: all count alike."""

    units: tuple[int, ...]
    weights: tuple[float, ...] | None = None

    def strongest(self, n: int) -> Choice:
        """Give the n units of largest absolute weight.

        Raises
        ------
        ArgumentError
            If they have no weights.
        """
        if self.weights is None:
            raise ArgumentError("the strongest units can be chosen only among units that have effects")
        order = np.argsort(-np.abs(self.weights), kind="stable")[:n]
        kept = sorted(int(k) for k in order)
        return Choice(tuple(self.units[k] for k in kept), tuple(self.weights[k] for k in kept))


def chosen_units(graph: FilterGraph, layer: Layer, given: Any) -> Choice:
    """Read a choice of units of one layer.

    Parameters
    ----------
    graph, layer : FilterGraph, Layer
    given : None, ClassUnits, table, mapping of unit to weight, or iterable of int
        None: all units.

    Raises
    ------
    UnknownNameError
        If a unit does not exist.
    ArgumentError
        If there is none, one comes twice, or the form is another.
    NonFiniteError
        If a weight is NaN or infinite.
    """
    if given is None:
        return Choice(tuple(range(layer.units)))
    found = given.critical(layer.name) if isinstance(given, ClassUnits) else given
    units, weights = _read(layer, found)
    if not units:
        raise ArgumentError(
            f'no unit of layer "{layer.name}" is chosen: there is nothing to make a map of'
            + (" (the graph has no critical unit there)" if isinstance(given, ClassUnits) else "")
        )
    if len(set(units)) < len(units):
        raise ArgumentError(f'units of layer "{layer.name}" must be named once each, got {units!r:.80}')
    graph.check_units({layer.name: units})
    order = sorted(range(len(units)), key=lambda k: units[k])
    ordered = None if weights is None else tuple(weights[k] for k in order)
    if ordered is not None and not np.isfinite(ordered).all():
        raise NonFiniteError(f'weights of units of layer "{layer.name}" hold NaN or infinity')
    return Choice(tuple(int(units[k]) for k in order), ordered)


def chosen_parents(graph: FilterGraph, layer: Layer, given: Any, strongest: int | None) -> Parents | None:
    """Read which parents a layer's units are given: None is all of them, the image's channels included.

    Parameters
    ----------
    graph, layer : FilterGraph, Layer
    given : None, ClassUnits, or mapping of parent layer to a choice of its units
    strongest : int, optional
        Keep so many, of all parents' layers together, by absolute effect.

    Raises
    ------
    ArgumentError
        If the class's graph has no critical parent, or the strongest are asked of parents without effects.
    """
    sources = [w.source for w in graph.parents(layer.name)]
    if isinstance(given, ClassUnits):
        if not sources:
            return None
        given = {source: given.critical(source) for source in sources}
        given = {source: found for source, found in given.items() if len(found)}
    if given is None or not sources:
        if strongest is not None:
            raise ArgumentError("the strongest parents can be chosen only among parents that have effects")
        return None
    if not isinstance(given, Mapping) or not given:
        raise ArgumentError(
            f'layer "{layer.name}" is left without parents: expected units of {", ".join(sources)}, '
            f"got {given!r:.80}"
        )
    found = {name: chosen_units(graph, graph.layer(name), units) for name, units in given.items()}
    return {n: c.units for n, c in (found if strongest is None else _best(found, strongest)).items()}


def _best(found: Mapping[str, Choice], n: int) -> dict[str, Choice]:
    if n < 1:
        raise ArgumentError(f"strongest must be a whole number of parents, 1 or more, got {n!r:.80}")
    everything = sorted(
        (-abs(weight), name, unit)
        for name, choice in ((name, c.strongest(len(c.units))) for name, c in found.items())
        for unit, weight in zip(choice.units, choice.weights or (), strict=True)
    )
    kept: dict[str, list[int]] = {}
    for _, name, unit in everything[:n]:
        kept.setdefault(name, []).append(unit)
    return {name: Choice(tuple(sorted(units))) for name, units in kept.items()}


def _read(layer: Layer, found: Any) -> tuple[list[int], list[float] | None]:
    if isinstance(found, pd.DataFrame) and "unit" in found:
        effects = [float(e) for e in found["effect"]] if "effect" in found else None
        return [int(unit) for unit in found["unit"]], effects
    if isinstance(found, Mapping):
        return list(found), [float(weight) for weight in found.values()]
    if isinstance(found, Iterable) and not isinstance(found, str):
        return list(found), None
    raise ArgumentError(
        f'units of layer "{layer.name}" must be numbers, a mapping of unit to weight, a table with a column '
        f'"unit", or a class\'s graph, got {found!r:.80}'
    )
