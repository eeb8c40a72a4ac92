"""Several edits at once, and edits in JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from causal_widget.errors import ArgumentError
from causal_widget.graph import FilterGraph
from causal_widget.interventions.actions import parsed
from causal_widget.interventions.intervention import Intervention
from causal_widget.interventions.path_edit import PathEdit
from causal_widget.interventions.unit_edit import UnitEdit

Edit = UnitEdit | PathEdit


@dataclass(frozen=True, repr=False)
class Edits:
    """Several edits in force together.

    Units of several layers are each edited as they are under what is done to the layers before; edits of the
    same unit at the same site are done in the order given; weights that several paths scale are multiplied by
    all their betas.

    Parameters
    ----------
    edits : iterable of UnitEdit, PathEdit, Intervention or Edits
        Stored as one tuple of unit and path edits.

    Raises
    ------
    ArgumentError
        If one is no edit.
    """

    edits: tuple[Edit, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "edits", tuple(_flat(self.edits)))

    @staticmethod
    def of(edits: Edits | Edit | Intervention | Iterable[Edits | Edit | Intervention]) -> Edits:
        """Give one edit or several as `Edits`."""
        return edits if isinstance(edits, Edits) else Edits(tuple(_flat(edits)))

    @property
    def units(self) -> tuple[UnitEdit, ...]:
        """Those of units."""
        return tuple(edit for edit in self.edits if isinstance(edit, UnitEdit))

    @property
    def paths(self) -> tuple[PathEdit, ...]:
        """Those of paths."""
        return tuple(edit for edit in self.edits if isinstance(edit, PathEdit))

    def __iter__(self) -> Iterator[Edit]:
        return iter(self.edits)

    def __len__(self) -> int:
        return len(self.edits)

    def checked(self, graph: FilterGraph) -> Edits:
        """Give the same edits, each checked against `graph`.

        Raises
        ------
        UnknownNameError, ArgumentError
            As `UnitEdit.checked` and `PathEdit.checked`.
        """
        return Edits(tuple(edit.checked(graph) for edit in self.edits))

    def to_dict(self) -> dict[str, Any]:
        """Give the edits as plain values."""
        return {"edits": [edit.to_dict() for edit in self.edits]}

    def to_json(self) -> str:
        """Give the edits as JSON; `edit_from_json` reads it."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def __repr__(self) -> str:
        return f"do({'; '.join(edit.told() for edit in self.edits) or 'nothing'})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def edit_from_json(text: str | Mapping[str, Any]) -> Edits | Edit:
    """Read what the `to_json` or `to_dict` of a unit edit, a path edit or several gave.

    Raises
    ------
    ArgumentError
        If it is no JSON object of these, or its values are not an edit's.
    UnknownNameError
        If an action or a site is none.
    """
    record = parsed(text, "an edit")
    if "edits" in record and isinstance(record["edits"], list):
        return Edits(tuple(_flat(edit_from_json(parsed(one, "an edit")) for one in record["edits"])))
    if "action" in record:
        return UnitEdit.from_dict(record)
    if "source" in record:
        return PathEdit.from_dict(record)
    raise ArgumentError(
        "an edit has an action (of units), a source (of a path) or a list of edits; got "
        f"{dict(record)!r:.120}"
    )


def _flat(edits: object) -> Iterator[Edit]:
    if isinstance(edits, UnitEdit | PathEdit):
        yield edits
    elif isinstance(edits, Intervention):
        yield UnitEdit.of(edits)
    elif isinstance(edits, Iterable) and not isinstance(edits, str | Mapping):
        for edit in edits:
            yield from _flat(edit)
    else:
        raise ArgumentError(f"expected UnitEdit, PathEdit, Intervention or several, got {edits!r:.80}")
