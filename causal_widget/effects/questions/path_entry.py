"""Paths into one layer: what they add to its output, entered at that output."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from causal_widget.effects.cutting import Change, CutState, Place, WholeState
from causal_widget.effects.cutting.joint import Passing
from causal_widget.effects.cutting.places import input_of, route
from causal_widget.effects.cutting.slices import Slices
from causal_widget.effects.questions.context import Context
from causal_widget.graph import FilterGraph
from causal_widget.interventions import (
    PathEdit,
    Piece,
    TargetPlan,
    channels_in,
    check_plain,
    piece_change,
    plan_paths,
)

__all__ = ["PathEntry", "path_entry"]

State = CutState | WholeState | Passing


class PathEntry:
    """All of some path edits into one layer.

    The layer's output becomes itself plus what `interventions.piece_change` gives. Where a channel carries
    its unit alone, that is (beta - 1) times the channel's part of the output. Where units share a channel,
    the nodes between the source unit and the layer's input run again, up to that input and no further.

    Parameters
    ----------
    plan : TargetPlan
        The edits.
    """

    def __init__(self, plan: TargetPlan) -> None:
        self.plan = plan
        self.place: Place = (plan.layer.name, "conv")
        self.needs: tuple[Place, ...] = (self.place, input_of(plan.layer.name), *self._routes)

    @cached_property
    def _routes(self) -> tuple[Place, ...]:
        target = self.plan.layer.name
        found = [route(layer, site, target) for s in self.plan.shadows for layer, _, site, _ in s]
        return tuple(dict.fromkeys(found))

    def whole(self, state: State) -> str:
        """Say whether units share channels in a network that cannot be entered on the way to them."""
        if self._routes and isinstance(state, WholeState):
            return "its unit shares its channels with others, and the network runs as a whole"
        return ""

    @property
    def linear(self) -> tuple[object, float] | None:
        """What tells the path without its beta, and beta, where the change is (beta - 1) times a part."""
        if len(self.plan.edits) != 1 or self._routes:
            return None
        (edit,) = self.plan.edits
        return (edit.source, edit.children, edit.shared), edit.beta

    @torch.no_grad()
    def active(self, state: State, context: Context) -> Bool[Tensor, " image"]:
        """Say in which images any of the sources, or of their own channels, holds anything."""
        module, own = state.model.get_submodule(self.plan.layer.module), self._own(state)
        found = [
            (channels_in(module, own, piece.channels[~piece.shadowed]) != 0).flatten(1).any(1)
            for piece in self.plan.pieces
        ]
        for layer, unit, site, _ in (one for shadow in self.plan.shadows for one in shadow):
            maps = state.value(*route(layer, site, self.plan.layer.name))
            maps = maps.movedim(self.plan.graph.layer(layer).unit_axis, 1)[:, [unit]]
            found.append((maps != 0).flatten(1).any(1))
        return torch.stack(found).any(0)

    def change(self, state: State, context: Context) -> Change:
        """Give the children's output without and with the edits."""
        return self.under(state, self.delta(state))

    @torch.no_grad()
    def under(self, state: State, delta: Float[Tensor, "image unit ..."]) -> Change:
        """Give the children's output without and with something added to it."""
        units = torch.cat([torch.as_tensor(piece.units) for piece in self.plan.pieces]).to(delta.device)
        output = state.value(*self.place).detach().movedim(self.plan.layer.unit_axis, 1)
        before = output[:, units]
        return Change(units, before, before + delta.to(before.dtype))

    @torch.no_grad()
    def delta(self, state: State) -> Float[Tensor, "image unit ..."]:
        """Give what is added to the output of the children, in the order of the plan's pieces."""
        module = state.model.get_submodule(self.plan.layer.module)
        check_plain(self.plan.layer.name, module)
        own, axis, found = self._own(state), self.plan.layer.unit_axis, []
        for piece in self.plan.pieces:
            other = self._seen(state, module, own, piece) if piece.shadow else None
            added = piece_change(piece, module, channels_in(module, own, piece.channels), other)
            found.append(added.movedim(axis, 1))
        return torch.cat(found, 1)

    def _own(self, state: State) -> Tensor:
        return state.value(*input_of(self.plan.layer.name)).detach()

    def _seen(self, state: State, module: nn.Module, own: Tensor, piece: Piece) -> Tensor:
        """Give the channels that a piece's units see otherwise: its units are scaled on the way to them."""
        assert not isinstance(state, WholeState)  # whole() says otherwise
        shadow, channels = piece.shadow, piece.channels[piece.shadowed]
        layer, _, site, _ = shadow[0]
        axis = self.plan.graph.layer(layer).unit_axis
        units = torch.tensor([unit for _, unit, _, _ in shadow], device=own.device)
        betas = torch.tensor([beta for *_, beta in shadow], device=own.device, dtype=own.dtype)
        maps = state.value(*route(layer, site, self.plan.layer.name)).detach().movedim(axis, 1)[:, units]
        scaled = maps * betas.reshape(1, -1, *[1] * (maps.ndim - 2))
        seen = state.along(*route(layer, site, self.plan.layer.name), units, scaled)
        if not isinstance(seen, Slices):
            return channels_in(module, seen, channels)
        known = seen.channels[0].cpu().numpy()
        where = np.searchsorted(known, channels) if _rises(known) else None
        if where is None or (where >= len(known)).any() or (known[where] != channels).any():
            rows = torch.arange(len(own), device=own.device)
            return channels_in(module, seen.into(own, rows), channels)
        return seen.values[:, torch.as_tensor(where, device=own.device)]


def _rises(numbers: Int[np.ndarray, " number"]) -> bool:
    return bool((np.diff(numbers) > 0).all())


def path_entry(graph: FilterGraph, edits: tuple[PathEdit, ...]) -> PathEntry | str:
    """Give where path edits into one layer enter the network.

    Returns
    -------
    PathEntry, or str
        Why they need whole passes: units of several places share the channels that the same children read.
    """
    (plan,) = plan_paths(graph, edits)
    for shadow in plan.shadows:
        if len({(layer, site) for layer, _, site, _ in shadow}) > 1:
            return "units of several layers share the channels that it scales"
    return PathEntry(plan)
