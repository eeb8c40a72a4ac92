"""The errors of causal_widget: each message names the offending value and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import takewhile
from numbers import Integral

__all__ = [
    "ArgumentError",
    "Cancelled",
    "CausalWidgetError",
    "DataError",
    "DeviceError",
    "NonFiniteError",
    "OrderError",
    "UnknownNameError",
    "UnsupportedModelError",
    "check_seed",
    "nearest",
]


class CausalWidgetError(Exception):
    """Base of every error that causal_widget raises on purpose."""


class UnsupportedModelError(CausalWidgetError, ValueError):
    """The model is not a module, has no convolution, or does something whose parents cannot be read."""


class UnknownNameError(CausalWidgetError, LookupError):
    """A layer, unit, site, rule, transform or estimator that does not exist."""


class DataError(CausalWidgetError, ValueError):
    """A loader, an image or a label is not what was expected."""


class NonFiniteError(DataError):
    """NaN or infinity in images or activations."""


class OrderError(CausalWidgetError, RuntimeError):
    """A call that needs another call first."""


class DeviceError(CausalWidgetError, RuntimeError):
    """A device that was asked for and is not there."""


class ArgumentError(CausalWidgetError, ValueError):
    """Any other argument outside its range."""


class Cancelled(CausalWidgetError):
    """A job was cancelled by the person who started it."""


def check_seed(seed: object) -> int:
    """Give the seed of a random generator as an int.

    Raises
    ------
    ArgumentError
        If it is no whole number from 0 to 2**32 - 1.
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= int(seed) < 2**32:
        raise ArgumentError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r:.80}")
    return int(seed)


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest the known name that is closest to an unknown one.

    Parameters
    ----------
    name : str
        What was asked for.
    names : iterable of str
        What exists.

    Returns
    -------
    str
        ``' Did you mean "conv1"?'`` with a leading space, or the empty string where nothing is close.
    """
    word = str(name)
    close = difflib.get_close_matches(word, list(names), n=8, cutoff=0.4)
    best = max(close, key=lambda known: _likeness(known, word), default="")
    return f' Did you mean "{best}"?' if close else ""


def _likeness(known: str, word: str) -> tuple[float, int]:
    """Rank equally close names by how far they begin alike: for "conv9", "conv2" before "fc2"."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(known, word, strict=False))
    return difflib.SequenceMatcher(None, known, word).ratio(), len(list(alike))
