"""An edit of units: which units, what is done to their maps, at which site."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import SITES, FilterGraph
from causal_widget.interventions.actions import Action, Constant, Scale, Zero, action_from_json
from causal_widget.interventions.intervention import Intervention, Units, frozen_units, units_in


@dataclass(frozen=True, repr=False)
class UnitEdit:
    """do(units: action): an action on the maps of some units, at a site.

    Parameters
    ----------
    units : mapping of layer name to units
        Stored with names and units sorted, each unit once; layers without units are left out.
    action : Action
        What is done to each of their maps.
    site : str
        Where: ``"conv"``, ``"norm"`` or ``"activation"``. A layer without the site is edited at the last one
        before it.

    Raises
    ------
    ArgumentError
        If the units are no whole numbers or the action is none.
    UnknownNameError
        If the site is none.
    """

    units: Units
    action: Action = field(default_factory=Zero)
    site: str = "activation"

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", frozen_units(self.units))
        if not isinstance(self.action, Action):
            raise ArgumentError(f"action must be one such as Zero() or Scale(0.5), got {self.action!r:.80}")
        check_site(self.site)

    @staticmethod
    def of(intervention: Intervention) -> UnitEdit:
        """Give the edit that does what an `Intervention` does."""
        if intervention.scale is not None:
            return UnitEdit(intervention.units, Scale(intervention.scale), intervention.site)
        action = Constant(intervention.value) if intervention.value else Zero()
        return UnitEdit(intervention.units, action, intervention.site)

    def __hash__(self) -> int:
        return hash((tuple(self.units.items()), self.action, self.site))

    @property
    def n_units(self) -> int:
        """How many units are edited."""
        return sum(len(tuple(units)) for units in self.units.values())

    def checked(self, graph: FilterGraph) -> UnitEdit:
        """Give the same edit, every layer and unit of which exists in `graph`.

        Raises
        ------
        UnknownNameError
            If a layer or unit does not exist; the message carries the nearest name.
        ArgumentError
            If a unit is a class: the outcome cannot be intervened on.
        """
        return replace(self, units=units_in(graph, self.units))

    def to_dict(self) -> dict[str, Any]:
        """Give the edit as plain values."""
        units = {layer: list(numbers) for layer, numbers in self.units.items()}
        return {"units": units, **self.action.to_dict(), "site": self.site}

    def to_json(self) -> str:
        """Give the edit as JSON; `edit_from_json` reads it."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> UnitEdit:
        """Make the edit of what `to_dict` gave.

        Raises
        ------
        ArgumentError, UnknownNameError
            As for the edit and its action.
        """
        fields = dict(record)
        units, site = fields.pop("units", None), fields.pop("site", "activation")
        return UnitEdit(units, action_from_json(fields), site)

    def told(self) -> str:
        """Say what is done, without the do()."""
        where = ", ".join(f"{layer}[{', '.join(map(str, units))}]" for layer, units in self.units.items())
        return f"{where}: {self.action} at {self.site}" if where else "nothing"

    def __repr__(self) -> str:
        return f"do({self.told()})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def check_site(site: object) -> None:
    """Refuse a word that is no site.

    Raises
    ------
    UnknownNameError
        Carries the nearest name.
    """
    if site not in SITES:
        raise UnknownNameError(
            f'site "{site}" is not known; expected one of {", ".join(SITES)}.{nearest(str(site), SITES)}'
        )
