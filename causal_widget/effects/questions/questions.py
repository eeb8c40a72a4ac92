"""Questions to a network, grouped by where their changes enter it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from torch import nn

from causal_widget.effects.cutting import CutModel, Place
from causal_widget.effects.questions.entry import Entry, JointEntry, entry_of
from causal_widget.effects.questions.question import Question
from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Edits, Resample, UnitEdit, check_plain

__all__ = ["Questions"]


@dataclass(frozen=True, eq=False, repr=False)
class Questions:
    """What is asked: the effect of each of some edits.

    Attributes
    ----------
    graph : FilterGraph
        The network's graph.
    all : tuple of Question
        In forward order of the layers where they enter, within a layer as they were asked.
    """

    graph: FilterGraph
    all: tuple[Question, ...]

    @cached_property
    def groups(self) -> Mapping[str, tuple[Question, ...]]:
        """The questions by the layer where they enter, in forward order."""
        found: dict[str, list[Question]] = {}
        for question in self.all:
            found.setdefault(question.layer, []).append(question)
        return {layer: tuple(group) for layer, group in found.items()}

    def __len__(self) -> int:
        return len(self.all)

    @cached_property
    def _unit_edits(self) -> tuple[UnitEdit, ...]:
        return tuple(edit for question in self.all for edit in Edits.of(question.edit).units)

    @property
    def needs_means(self) -> bool:
        """Whether the units' means must be known."""
        return any(edit.action.needs_means for edit in self._unit_edits)

    @property
    def needs_donors(self) -> bool:
        """Whether other images' maps must be known."""
        return any(isinstance(edit.action, Resample) for edit in self._unit_edits)

    @cached_property
    def seen(self) -> tuple[str, tuple[str, ...]] | None:
        """At which site of which layers means or donors are to be taken; None where none are needed.

        Raises
        ------
        ArgumentError
            If edits ask for them at several sites.
        """
        wanted = [e for e in self._unit_edits if e.action.needs_means or isinstance(e.action, Resample)]
        sites = sorted({edit.site for edit in wanted})
        if len(sites) > 1:
            raise ArgumentError(f"means and donors are taken at one site, and the edits ask for {sites}")
        names = {layer for edit in wanted for layer in edit.units}
        return (sites[0], tuple(n for n in self.graph.names if n in names)) if wanted else None

    def group(self, layer: str) -> tuple[Question, ...]:
        """Give the questions that enter at a layer.

        Raises
        ------
        UnknownNameError
            If none does.
        """
        if layer not in self.groups:
            raise UnknownNameError(f'no question enters at layer "{layer}".{nearest(layer, self.groups)}')
        return self.groups[layer]

    def places(self, layer: str) -> tuple[Place, ...]:
        """Give what a run must keep to answer the questions of a layer."""
        needs = [place for entry in self._entries(layer) for place in entry.needs]
        return tuple(dict.fromkeys(needs))

    def entries(self, layer: str) -> tuple[Place, ...]:
        """Give the places at which the questions of a layer enter; none where all take whole passes."""
        return tuple(dict.fromkeys(entry.place for entry in self._entries(layer)))

    def reason(self, layer: str, cut: CutModel | str) -> str:
        """Say why a cut network cannot answer the questions of a layer; empty where it can.

        Parameters
        ----------
        layer : str
            The layer.
        cut : CutModel or str
            The network, or why it could not be cut.
        """
        if isinstance(cut, str):
            return cut
        refused = [region for place in self.places(layer) if isinstance(region := cut.region(*place), str)]
        return refused[0] if refused else ""

    def check(self, model: nn.Module) -> None:
        """Refuse paths into layers that compute in a way of their own.

        Raises
        ------
        UnsupportedModelError
            Names the layer.
        """
        for question in self.all:
            for path in Edits.of(question.edit).paths:
                target = self.graph.layer(path.target)
                check_plain(target.name, model.get_submodule(target.module))

    def _entries(self, layer: str) -> list[Entry | JointEntry]:
        asked = [entry_of(self.graph, question.edit) for question in self.group(layer) if not question.reason]
        return [entry for entry in asked if not isinstance(entry, str)]

    def table(self) -> pd.DataFrame:
        """Give one row a question."""
        rows = [
            {"question": q.name, "layer": q.layer, "edit": repr(q.edit), "by whole passes": q.reason}
            for q in self.all
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        whole = sum(1 for question in self.all if question.reason)
        told = f", {whole:,} of them by whole passes" if whole else ""
        what = next(iter(self.all)).name if len(self.all) == 1 else f"{len(self.all):,} edits"
        return f"Questions: {what} at {len(self.groups)} layers{told}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.table().head(40).to_html(index=False, escape=True)}"
