"""What a run does, and the measured settings that its bits depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from causal_widget.effects.aims import Aims
from causal_widget.effects.cutting import BUDGET
from causal_widget.effects.entries import Entries
from causal_widget.effects.first_order import FirstOrder
from causal_widget.effects.outcomes import Outcome
from causal_widget.effects.questions import Question, Questions
from causal_widget.graph import FilterGraph

__all__ = ["Settings", "Work"]


@dataclass(frozen=True)
class Settings:
    """What a short measurement chose; a run that goes on takes it over, so that it gives the same bits.

    Attributes
    ----------
    images, recorded : int
        Images that are kept at one time, and those of a run that is recorded for gradients.
    groups : tuple of tuples of layer names
        Layers that share one run without a change.
    items : mapping of layer name to int
        Pairs of question and image in one batch.
    channels_last : bool
        Whether the channels of a pixel lie side by side in memory.
    forwards : mapping of layer name to float
        Work of one such pair, in forward passes of one image.
    recorded_forwards : float
        Work of a recorded run with its backward passes, for one image.
    """

    images: int
    recorded: int
    groups: tuple[tuple[str, ...], ...]
    items: Mapping[str, int]
    channels_last: bool
    forwards: Mapping[str, float]
    recorded_forwards: float

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain values."""
        return asdict(self)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Settings:
        """Make the settings of what `to_dict` gave."""
        fields = dict(record)
        fields["groups"] = tuple(tuple(group) for group in fields["groups"])
        return Settings(**fields)


@dataclass(frozen=True, eq=False)
class Work:
    """What a run does.

    Attributes
    ----------
    model, loader, graph : nn.Module, iterable, FilterGraph
        The network, its images and its graph.
    entries : Entries
        What is asked, and where it enters the network.
    outcomes, columns : tuple of Outcome, tuple of str
        What is measured, and the names of the measured columns.
    widths : tuple of int
        Columns of each outcome.
    aims : Aims
        How sure it is to be.
    device, max_batches : torch.device, int or None
        Where it runs, and when a pass stops.
    first : str
        Digest of the first batch.
    budget : int
        Bytes for what is kept, again for what runs, and again for images.
    autocast : torch.dtype or None
        Type in which the network computes.
    """

    model: nn.Module
    loader: Iterable[Any]
    graph: FilterGraph
    entries: Entries
    outcomes: tuple[Outcome, ...]
    columns: tuple[str, ...]
    widths: tuple[int, ...]
    aims: Aims
    device: torch.device
    max_batches: int | None
    first: str
    budget: int = BUDGET
    autocast: torch.dtype | None = None

    @property
    def first_order(self) -> FirstOrder:
        """How effects are estimated to first order."""
        return FirstOrder(self.outcomes, self.graph.output.units, self.widths)

    @property
    def questions(self) -> Questions:
        """What is asked."""
        return self.entries.questions

    @property
    def groups(self) -> Mapping[str, tuple[Question, ...]]:
        """The questions of each layer, in forward order."""
        return self.entries.questions.groups

    @property
    def n_questions(self) -> int:
        """How many questions there are."""
        return len(self.questions)
