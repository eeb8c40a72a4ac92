"""The request and reply protocol between page and kernel: what a message must be, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from causal_widget.errors import CausalWidgetError, nearest
from causal_widget.widget.arguments import ARGUMENTS, REQUIRED, ProtocolError, natural, show, text

VERSION = 1
_OWN_KEYS = ("v", "id", "op", "args")


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
        raise ProtocolError(f"a message must be an object with v, id, op and args, got {show(content)}")
    if content.get("v") != VERSION or isinstance(content.get("v"), bool):
        raise ProtocolError(
            f"this kernel speaks protocol version {VERSION}, the page sent {show(content.get('v'))}: "
            "reload the page"
        )
    number = natural("id", content.get("id"))
    op = text("op", content.get("op"))
    if op not in ARGUMENTS:
        raise ProtocolError(
            f"op {show(op)} is unknown; known are {', '.join(ARGUMENTS)}.{nearest(op, ARGUMENTS)}"
        )
    args = content.get("args", {})
    if not isinstance(args, Mapping):
        raise ProtocolError(f"args of {op!r} must be an object, got {show(args)}")
    return Request(number, op, _arguments(op, args), echo_of(content))


def _arguments(op: str, args: Mapping[Any, Any]) -> dict[str, Any]:
    fields = ARGUMENTS[op]
    for name in args:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise ProtocolError(
                f"{op!r} has no argument {show(name)}; known: {known}.{nearest(str(name), fields)}"
            )
    checked = {}
    for name, known_field in fields.items():
        value = args.get(name, known_field.default)
        if value is REQUIRED:
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
