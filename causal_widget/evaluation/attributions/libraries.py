"""The libraries that other people's attribution methods come from, and what to install for them."""

from __future__ import annotations

import importlib
from typing import Any

from causal_widget.errors import CausalWidgetError

__all__ = ["MissingLibraryError", "library"]

EXTRA = "causal_widget[evaluate]"


class MissingLibraryError(CausalWidgetError, ImportError):
    """A library that comes with an extra is not installed."""


def library(module: str, purpose: str) -> Any:
    """Import a module of the extra.

    Raises
    ------
    MissingLibraryError
        If it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise MissingLibraryError(
            f'{purpose} needs {name}, which is not installed: pip install "{EXTRA}"'
        ) from error
