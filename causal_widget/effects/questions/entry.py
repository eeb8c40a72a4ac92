"""Where an edit enters the network, and what it changes there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causal_widget.effects.cutting import Change, CutState, Place, WholeState
from causal_widget.effects.cutting.joint import JointChange, jointly
from causal_widget.effects.questions.context import Context
from causal_widget.effects.questions.path_entry import State, path_entry
from causal_widget.errors import ArgumentError
from causal_widget.graph import SITES, FilterGraph
from causal_widget.interventions import Action, Edits, PathEdit, Resample, UnitEdit, acted

__all__ = ["Entry", "JointEntry", "UnitEntry", "entry_of"]


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

    def whole(self, state: State) -> str:
        """Say why a whole pass must answer it from this state; empty where none must."""

    def change(self, state: State, context: Context) -> Change:
        """Give what the edit makes of the tensor at the place."""

    def active(self, state: State, context: Context) -> Bool[Tensor, " image"]:
        """Say in which images it may change anything."""


class UnitEntry:
    """Units of one layer, at one site, each under one action or several in a row."""

    def __init__(
        self, graph: FilterGraph, layer: str, site: str, deeds: Iterable[tuple[tuple[int, ...], Action]]
    ) -> None:
        self.layer, self.deeds = graph.layer(layer), tuple(deeds)
        self.place: Place = (layer, site)
        self.needs: tuple[Place, ...] = (self.place,)
        self.units = sorted({unit for units, _ in self.deeds for unit in units})

    def whole(self, state: State) -> str:
        """No whole pass is needed for it."""
        return ""

    def active(self, state: State, context: Context) -> Bool[Tensor, " image"]:
        """Say in which images it changes a map."""
        return self.change(state, context).changed

    @torch.no_grad()
    def change(self, state: State, context: Context) -> Change:
        """Give the units' maps without and with the actions."""
        maps = state.value(*self.place).detach().movedim(self.layer.unit_axis, 1)
        chosen = torch.tensor(self.units, device=maps.device)
        before = maps[:, chosen] if len(self.units) < maps.shape[1] else maps
        after = before
        for units, action in self.deeds:
            after = self._acted(state, after, units, action, context)
        return Change(chosen, before, after)

    def _acted(
        self,
        state: State,
        maps: Float[Tensor, "image unit ..."],
        units: tuple[int, ...],
        action: Action,
        context: Context,
    ) -> Float[Tensor, "image unit ..."]:
        if isinstance(action, Resample) and context.donors is None:
            raise ArgumentError(
                f"{action} of {self.layer.name} needs donors: an image's effect must not depend on the "
                "images beside it"
            )
        place = torch.tensor(units, device=maps.device)
        index = context.index.to(maps.device)[state.rows]
        given = (place, index, context.means, context.donors)
        if list(units) == self.units:
            return acted(action, self.layer, self.place[1], maps, *given)
        where: Int[Tensor, " unit"] = torch.tensor([self.units.index(u) for u in units], device=maps.device)
        new = acted(action, self.layer, self.place[1], maps[:, where], *given)
        return maps.index_copy(1, where, new)


class JointEntry:
    """Edits of several places: the run below all of them makes each change of what it has come to there.

    Attributes
    ----------
    entries : tuple of Entry
        One for each place, in forward order.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self.place: Place = self.entries[0].place
        self.needs: tuple[Place, ...] = tuple(
            dict.fromkeys(place for entry in self.entries for place in entry.needs)
        )

    def whole(self, state: State) -> str:
        """Say whether the network cannot be entered."""
        if isinstance(state, WholeState):
            return "it changes several places, and the network runs as a whole"
        return ""

    def logits(
        self, state: CutState, context: Context, rows: Int[Tensor, " item"]
    ) -> Float[Tensor, "item class"]:
        """Give the logits of some images under all edits."""
        made = [
            JointChange(entry.place, entry.needs, lambda passing, e=entry: e.change(passing, context))  # type: ignore[misc]
            for entry in self.entries
        ]
        return jointly(state, made, rows)

    def active(self, state: State, context: Context) -> Bool[Tensor, " image"]:
        """Say in which images any edit may change anything: where none does alone, all do not."""
        return torch.stack([entry.active(state, context) for entry in self.entries]).any(0)


def entry_of(graph: FilterGraph, edit: UnitEdit | PathEdit | Edits) -> Entry | JointEntry | str:
    """Give where a checked edit enters the network.

    Returns
    -------
    Entry, JointEntry, or str
        Why it cannot be entered.
    """
    edits = Edits.of(edit)
    deeds: dict[Place, list[tuple[tuple[int, ...], Action]]] = {}
    for one in edits.units:
        for layer, units in one.units.items():
            deeds.setdefault((layer, graph.layer(layer).site(one.site)), []).append(
                (tuple(units), one.action)
            )
    found: list[Entry] = [UnitEntry(graph, *place, several) for place, several in deeds.items()]
    for target in dict.fromkeys(path.target for path in edits.paths):
        entered = path_entry(graph, tuple(path for path in edits.paths if path.target == target))
        if isinstance(entered, str):
            return entered
        found.append(entered)
    if not found:
        return "it changes nothing"
    # What paths add to a layer's output is there before anything is done to its units.
    order = {site: k for k, site in enumerate(SITES)}
    found.sort(key=lambda e: (graph.layer(e.place[0]).index, order[e.place[1]], isinstance(e, UnitEntry)))
    return found[0] if len(found) == 1 else JointEntry(found)
