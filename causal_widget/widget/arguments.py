"""What each request may ask: the arguments of every operation, how they are checked, and their defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from causal_widget.errors import CausalWidgetError

_MAX_TEXT = 1000
_MAX_ITEMS = 100_000


class ProtocolError(CausalWidgetError, ValueError):
    """A message from the page that is not what the protocol says."""


REQUIRED = object()


@dataclass(frozen=True)
class _Field:
    check: Callable[[str, Any], Any]
    default: Any = REQUIRED


def text(where: str, value: Any) -> str:
    """Give a value that is a text."""
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ProtocolError(f"{where} must be a text of at most {_MAX_TEXT} characters, got {show(value)}")
    return value


def natural(where: str, value: Any) -> int:
    """Give a value that is a whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ProtocolError(f"{where} must be a whole number, 0 or more, got {show(value)}")
    return value


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProtocolError(f"{where} must be a finite number, got {show(value)}")
    return float(value)


def _list_of(check: Callable[[str, Any], Any]) -> Callable[[str, Any], list[Any]]:
    def checked(where: str, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple) or len(value) > _MAX_ITEMS:
            raise ProtocolError(f"{where} must be a list of at most {_MAX_ITEMS} entries, got {show(value)}")
        return [check(f"{where}[{i}]", item) for i, item in enumerate(value)]

    return checked


def _optional(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda where, value: None if value is None else check(where, value)


def _units(where: str, value: Any) -> dict[str, list[int]]:
    if not isinstance(value, Mapping):
        raise ProtocolError(f"{where} must map layer names to lists of units, got {show(value)}")
    listed = _list_of(natural)
    return {text(f"{where} name", name): listed(f"{where}[{name!r}]", units) for name, units in value.items()}


_DO = {
    "ablated": _Field(_optional(_units), None),
    "site": _Field(_optional(text), None),
    "scale": _Field(_optional(_number), None),
}
_RANK = {
    "layers": _Field(_optional(_list_of(text)), None),
    "precision": _Field(_optional(_number), None),
}
_CLASS = {
    "target": _Field(natural),
    "images": _Field(_optional(natural), None),
    "mode": _Field(text, "sound"),
}
_CHECK = {"images": _Field(natural, 64), "draws": _Field(natural, 10)}
ARGUMENTS: dict[str, dict[str, _Field]] = {
    "hello": {},
    "graph": {},
    "importance": {"rule": _Field(text)},
    "edges": {"wirings": _Field(_list_of(natural))},
    "unit": {"layer": _Field(text), "unit": _Field(natural)},
    "equations": {},
    "equation": {"layer": _Field(text), "unit": _Field(natural)},
    "collect": {"batches": _Field(natural, 0), "device": _Field(_optional(text), None)},
    "cancel": {},
    "effect": {**_DO, "seconds": _Field(_optional(_number), None)},
    "predict": {**_DO, "by": _Field(text, "equations")},
    "local": {"seed": _Field(natural, 0)},
    "images": {},
    "heatmap": {
        "image": _Field(natural),
        "layer": _Field(text),
        "unit": _Field(_optional(natural), None),
        "unitLayer": _Field(_optional(text), None),
        **_DO,
    },
    "prune": {
        "percents": _Field(_list_of(_number)),
        "rules": _Field(_list_of(text)),
        "repeats": _Field(natural, 10),
        "seed": _Field(natural, 0),
    },
    "pruning": {},
    "check": {**_CHECK, "seed": _Field(natural, 0)},
    "checked": dict(_CHECK),
    "rankPlan": dict(_RANK),
    "rank": dict(_RANK),
    "ranking": {
        "outcome": _Field(_optional(text), None),
        "minEffect": _Field(_optional(_number), None),
    },
    "classPlan": dict(_CLASS),
    "explain": dict(_CLASS),
    "explained": {"target": _Field(_optional(natural), None), "other": _Field(_optional(natural), None)},
    "classUnit": {
        "target": _Field(natural),
        "layer": _Field(text),
        "unit": _Field(natural),
        "image": _Field(natural, 0),
    },
    "repair": {"target": _Field(natural)},
    "poll": {},
}


def show(value: object) -> str:
    """Give a value as it is said in an error, cut where it is long."""
    said = repr(value)
    return said if len(said) <= 80 else said[:77] + "..."
