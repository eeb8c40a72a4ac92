"""One question to the network: what does this edit do to its answers."""

from __future__ import annotations

import html
from dataclasses import dataclass

from causal_widget.interventions import Edits, PathEdit, UnitEdit

__all__ = ["Question"]


@dataclass(frozen=True, repr=False)
class Question:
    """An edit whose effect is asked for.

    Attributes
    ----------
    name : str
        "conv1[3]" for one unit alone; otherwise what the edit says of itself.
    layer : str
        Where its change enters the network. What is measured is grouped by it.
    unit : int or None
        The unit, where the edit is of one unit alone.
    edit : UnitEdit, PathEdit or Edits
        What is done.
    reason : str
        Why whole forward passes answer it; empty where only what the edit changes runs again.
    """

    name: str
    layer: str
    unit: int | None
    edit: UnitEdit | PathEdit | Edits
    reason: str = ""

    def __repr__(self) -> str:
        return f"Question({self.edit!r}{f', by whole passes: {self.reason}' if self.reason else ''})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"
