"""The errors of causal_widget: each message names the offending value and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
    close = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.4)
    return f' Did you mean "{close[0]}"?' if close else ""
