"""Where an edit enters the network, and what it changes there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causal_widget.effects.cutting import Change, CutState, Place, WholeState
from causal_widget.effects.questions.context import Context
from causal_widget.effects.questions.path_entry import PathEntry, path_entry
from causal_widget.errors import ArgumentError
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Action, Edits, PathEdit, Resample, UnitEdit, acted

__all__ = ["Entry", "UnitEntry", "entry_of"]


class Entry(Protocol):
    """One place at which all of an edit enters the network.

    Attributes
    ----------
    place : (layer, site)
        Where.
    needs : tuple of places
        What must be kept of the run for it.
    """

    place: Place
    needs: tuple[Place, ...]

    def whole(self, state: CutState | WholeState) -> str:
        """Say why a whole pass must answer it from this state; empty where none must."""

    def change(self, state: CutState | WholeState, context: Context) -> Change:
        """Give what the edit makes of the tensor at the place."""


class UnitEntry:
    """Units of one layer, at one site, each under one action or several in a row."""

    def __init__(
        self, graph: FilterGraph, layer: str, site: str, deeds: Iterable[tuple[tuple[int, ...], Action]]
    ) -> None:
        self.layer, self.deeds = graph.layer(layer), tuple(deeds)
        self.place: Place = (layer, site)
        self.needs: tuple[Place, ...] = (self.place,)
        self.units = sorted({unit for units, _ in self.deeds for unit in units})

    def whole(self, state: CutState | WholeState) -> str:
        """No whole pass is needed for it."""
        return ""

    @torch.no_grad()
    def change(self, state: CutState | WholeState, context: Context) -> Change:
        """Give the units' maps without and with the actions."""
        maps = state.value(*self.place).detach().movedim(self.layer.unit_axis, 1)
        chosen = torch.tensor(self.units, device=maps.device)
        before = maps[:, chosen] if len(self.units) < maps.shape[1] else maps
        after = before
        for units, action in self.deeds:
            after = self._acted(after, units, action, context)
        return Change(chosen, before, after)

    def _acted(
        self, maps: Float[Tensor, "image unit ..."], units: tuple[int, ...], action: Action, context: Context
    ) -> Float[Tensor, "image unit ..."]:
        if isinstance(action, Resample) and context.donors is None:
            raise ArgumentError(
                f"{action} of {self.layer.name} needs donors: an image's effect must not depend on the "
                "images beside it"
            )
        place = torch.tensor(units, device=maps.device)
        index = context.index.to(maps.device)
        given = (place, index, context.means, context.donors)
        if list(units) == self.units:
            return acted(action, self.layer, self.place[1], maps, *given)
        where: Int[Tensor, " unit"] = torch.tensor([self.units.index(u) for u in units], device=maps.device)
        new = acted(action, self.layer, self.place[1], maps[:, where], *given)
        return maps.index_copy(1, where, new)


def entry_of(graph: FilterGraph, edit: UnitEdit | PathEdit | Edits) -> Entry | str:
    """Give where a checked edit enters the network.

    Returns
    -------
    Entry, or str
        Why it does not enter at one place.
    """
    edits = Edits.of(edit)
    targets = {path.target for path in edits.paths}
    places = {place for one in edits.units for place in _places(graph, one)}
    if not targets and len(places) == 1:
        ((layer, site),) = places
        deeds = [(tuple(one.units[layer]), one.action) for one in edits.units if one.units]
        return UnitEntry(graph, layer, site, deeds)
    if len(targets) == 1 and not places:
        found: PathEntry | str = path_entry(graph, edits.paths)
        return found
    if not targets and not places:
        return "it changes nothing"
    return f"it changes {len(places) + len(targets)} places of the network"


def _places(graph: FilterGraph, edit: UnitEdit) -> list[Place]:
    return [(layer, graph.layer(layer).site(edit.site)) for layer in edit.units]
