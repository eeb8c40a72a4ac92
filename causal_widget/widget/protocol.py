"""The request and reply protocol between page and kernel: what a message must be, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from causal_widget.errors import CausalWidgetError, nearest

VERSION = 1
_OWN_KEYS = ("v", "id", "op", "args")
_MAX_TEXT = 1000
_MAX_ITEMS = 100_000


class ProtocolError(CausalWidgetError, ValueError):
    """A message from the page that is not what the protocol says."""


class SupersededError(CausalWidgetError):
    """A request that a newer one of its kind replaced before it was answered."""


@dataclass(frozen=True)
class Request:
    """One valid message from a page.

    Attributes
    ----------
    id : int
        The page's number for it.
    op : str
        What is asked.
    args : mapping
        Arguments, complete: what the page left out has its default.
    extra : mapping
        Further keys of the message; they come back in the reply, so that a page can tell its own.
    """

    id: int
    op: str
    args: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """An answer: JSON values, and arrays that travel beside them.

    Attributes
    ----------
    result : dict
        JSON values; NumPy numbers and non-finite floats are allowed and become numbers and null.
    arrays : tuple of (name, array)
        uint8 or float32, sent as buffers in C order.
    """

    result: dict[str, Any]
    arrays: tuple[tuple[str, np.ndarray[Any, Any]], ...] = ()


_REQUIRED = object()


@dataclass(frozen=True)
class _Field:
    check: Callable[[str, Any], Any]
    default: Any = _REQUIRED


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ProtocolError(f"{where} must be a text of at most {_MAX_TEXT} characters, got {_show(value)}")
    return value


def _natural(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ProtocolError(f"{where} must be a whole number, 0 or more, got {_show(value)}")
    return value


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProtocolError(f"{where} must be a finite number, got {_show(value)}")
    return float(value)


def _list_of(check: Callable[[str, Any], Any]) -> Callable[[str, Any], list[Any]]:
    def checked(where: str, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple) or len(value) > _MAX_ITEMS:
            raise ProtocolError(f"{where} must be a list of at most {_MAX_ITEMS} entries, got {_show(value)}")
        return [check(f"{where}[{i}]", item) for i, item in enumerate(value)]

    return checked


def _optional(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda where, value: None if value is None else check(where, value)


def _units(where: str, value: Any) -> dict[str, list[int]]:
    if not isinstance(value, Mapping):
        raise ProtocolError(f"{where} must map layer names to lists of units, got {_show(value)}")
    listed = _list_of(_natural)
    return {
        _text(f"{where} name", name): listed(f"{where}[{name!r}]", units) for name, units in value.items()
    }


_DO = {
    "ablated": _Field(_optional(_units), None),
    "site": _Field(_optional(_text), None),
    "scale": _Field(_optional(_number), None),
}
_RANK = {
    "layers": _Field(_optional(_list_of(_text)), None),
    "precision": _Field(_optional(_number), None),
}
_CLASS = {
    "target": _Field(_natural),
    "images": _Field(_optional(_natural), None),
    "mode": _Field(_text, "sound"),
}
_CHECK = {"images": _Field(_natural, 64), "draws": _Field(_natural, 10)}
ARGUMENTS: dict[str, dict[str, _Field]] = {
    "hello": {},
    "graph": {},
    "importance": {"rule": _Field(_text)},
    "edges": {"wirings": _Field(_list_of(_natural))},
    "unit": {"layer": _Field(_text), "unit": _Field(_natural)},
    "equations": {},
    "equation": {"layer": _Field(_text), "unit": _Field(_natural)},
    "collect": {"batches": _Field(_natural, 0), "device": _Field(_optional(_text), None)},
    "cancel": {},
    "effect": {**_DO, "seconds": _Field(_optional(_number), None)},
    "predict": {**_DO, "by": _Field(_text, "equations")},
    "local": {"seed": _Field(_natural, 0)},
    "images": {},
    "heatmap": {
        "image": _Field(_natural),
        "layer": _Field(_text),
        "unit": _Field(_optional(_natural), None),
        "unitLayer": _Field(_optional(_text), None),
        **_DO,
    },
    "prune": {
        "percents": _Field(_list_of(_number)),
        "rules": _Field(_list_of(_text)),
        "repeats": _Field(_natural, 10),
        "seed": _Field(_natural, 0),
    },
    "pruning": {},
    "check": {**_CHECK, "seed": _Field(_natural, 0)},
    "checked": dict(_CHECK),
    "rankPlan": dict(_RANK),
    "rank": dict(_RANK),
    "ranking": {
        "outcome": _Field(_optional(_text), None),
        "minEffect": _Field(_optional(_number), None),
    },
    "classPlan": dict(_CLASS),
    "explain": dict(_CLASS),
    "explained": {"target": _Field(_optional(_natural), None), "other": _Field(_optional(_natural), None)},
    "classUnit": {
        "target": _Field(_natural),
        "layer": _Field(_text),
        "unit": _Field(_natural),
        "image": _Field(_natural, 0),
    },
    "repair": {"target": _Field(_natural)},
    "poll": {},
}


def parse(content: object) -> Request:
    """Turn a message from the page into a request.

    Parameters
    ----------
    content : object
        What came over the wire, anything at all.

    Raises
    ------
    ProtocolError
        If it is no message of this version, asks for something unknown, or has a wrong argument.
    """
    if not isinstance(content, Mapping):
        raise ProtocolError(f"a message must be an object with v, id, op and args, got {_show(content)}")
    if content.get("v") != VERSION or isinstance(content.get("v"), bool):
        raise ProtocolError(
            f"this kernel speaks protocol version {VERSION}, the page sent {_show(content.get('v'))}: "
            "reload the page"
        )
    number = _natural("id", content.get("id"))
    op = _text("op", content.get("op"))
    if op not in ARGUMENTS:
        raise ProtocolError(
            f"op {_show(op)} is unknown; known are {', '.join(ARGUMENTS)}.{nearest(op, ARGUMENTS)}"
        )
    args = content.get("args", {})
    if not isinstance(args, Mapping):
        raise ProtocolError(f"args of {op!r} must be an object, got {_show(args)}")
    return Request(number, op, _arguments(op, args), echo_of(content))


def _arguments(op: str, args: Mapping[Any, Any]) -> dict[str, Any]:
    fields = ARGUMENTS[op]
    for name in args:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise ProtocolError(
                f"{op!r} has no argument {_show(name)}; known: {known}.{nearest(str(name), fields)}"
            )
    checked = {}
    for name, known_field in fields.items():
        value = args.get(name, known_field.default)
        if value is _REQUIRED:
            raise ProtocolError(f"{op!r} needs the argument {name!r}")
        checked[name] = known_field.check(f"{name!r} of {op!r}", value)
    return checked


def echo_of(content: object) -> dict[str, Any]:
    """Give the keys of a message that only the page understands: short texts and numbers, at most eight."""
    if not isinstance(content, Mapping):
        return {}
    extra = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and key not in _OWN_KEYS and key not in ("ok", "result", "error", "event")
        if isinstance(value, str | int | float | None) and len(str(value)) <= 100
    }
    return dict(list(extra.items())[:8])


def id_of(content: object) -> int | None:
    """Give the number of a message, None where it has none to answer to."""
    number = content.get("id") if isinstance(content, Mapping) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def write_reply(request: Request, reply: Reply) -> tuple[dict[str, Any], list[memoryview]]:
    """Write a reply as message content and buffers.

    Raises
    ------
    TypeError
        If an array is neither uint8 nor float32.
    """
    result = clean(reply.result)
    buffers: list[memoryview] = []
    if reply.arrays:
        result["buffers"] = []
    for name, array in reply.arrays:
        if array.dtype not in (np.uint8, np.float32):
            raise TypeError(f"buffer {name!r} must be uint8 or float32, got {array.dtype}")
        result["buffers"].append({"name": name, "dtype": str(array.dtype), "shape": list(array.shape)})
        # a memoryview with a zero in its shape cannot be cast to bytes
        buffers.append(memoryview(np.ascontiguousarray(array).tobytes()))
    return {**request.extra, "v": VERSION, "id": request.id, "ok": True, "result": result}, buffers


def write_error(number: int | None, extra: Mapping[str, Any], error: BaseException) -> dict[str, Any]:
    """Write an error as a reply: its class and its message, as data."""
    return {**extra, "v": VERSION, "id": number, "ok": False, "error": error_data(error)}


def write_event(name: str, **content: Any) -> dict[str, Any]:
    """Write an event that no page asked for."""
    return {"v": VERSION, "event": name, **clean(content)}


def error_data(error: BaseException) -> dict[str, str]:
    """Give kind and message of an error."""
    kind = type(error).__name__
    if isinstance(error, SupersededError):
        kind = "Superseded"
    return {"kind": kind, "message": str(error) or kind}


def clean(value: Any) -> Any:
    """Turn NumPy numbers into numbers and what JSON cannot say (NaN, infinity) into null."""
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return clean(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [clean(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
