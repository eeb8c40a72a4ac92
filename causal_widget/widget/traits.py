"""Whether a choice is one that this network offers; each says which choice is nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from traitlets import TraitError

from causal_widget.errors import CausalWidgetError, nearest
from causal_widget.graph import FilterGraph

T = TypeVar("T")
N = TypeVar("N", int, float)


def one_of(trait: str, value: str, choices: Iterable[str]) -> str:
    """Give `value` if it is a choice.

    Raises
    ------
    TraitError
        If it is none; the message carries the nearest.
    """
    known = list(choices)
    if value not in known:
        raise TraitError(
            f"{trait} {value!r} does not exist; expected one of {_listed(known)}.{nearest(value, known)}"
        )
    return value


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def forward_order(trait: str, names: Iterable[Any], graph: FilterGraph) -> list[str]:
    """Give layer names in forward order, each once."""
    asked = set(_refused(trait, lambda: [graph.layer(name).name for name in names]))
    return [name for name in graph.names if name in asked]


def chosen_units(trait: str, units: Mapping[Any, Any], graph: FilterGraph) -> dict[str, list[int]]:
    """Give units by layer, in forward order, ascending, each once."""
    checked = _refused(trait, lambda: graph.check_units(units))
    return {name: list(numbers) for name, numbers in checked.items()}


def removable_units(trait: str, units: Mapping[Any, Any], graph: FilterGraph) -> dict[str, list[int]]:
    """Give units by layer, none of them a class: the outcome cannot be intervened on."""
    chosen = chosen_units(trait, units, graph)
    if graph.output.name in chosen:
        raise TraitError(f"{trait}: {graph.output.name!r} gives the classes, which cannot be zeroed")
    return chosen


def within(trait: str, value: N, low: N, high: N | None = None) -> N:
    """Give `value` if it is in ``low .. high``; NaN is in no range."""
    if not value >= low or (high is not None and not value <= high):
        expected = f"{low} or more" if high is None else f"{low} to {high}"
        raise TraitError(f"{trait} must be {expected}, got {value}")
    return value


def _refused(trait: str, check: Callable[[], T]) -> T:
    try:
        return check()
    except CausalWidgetError as error:
        raise TraitError(f"{trait}: {error}") from error
    except TypeError as error:
        raise TraitError(f"{trait}: expected lists of unit numbers, got {error}") from error
