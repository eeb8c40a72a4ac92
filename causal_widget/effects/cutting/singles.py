"""One unit at a time: the logits under a change of each of a layer's units alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causal_widget.effects.cutting.changed import Change, State, changed_logits
from causal_widget.effects.cutting.pace import BUDGET, Pace
from causal_widget.errors import ArgumentError

__all__ = ["Block", "ValueOf", "single_effects"]

ValueOf = Callable[[int, Float[Tensor, "image ..."]], Tensor]


@dataclass(frozen=True, eq=False)
class Block:
    """Some units' logits under do().

    Attributes
    ----------
    units : tuple of int
        Which units.
    logits : Tensor, shape (unit, image, class)
        The network's output with one of them changed.
    items : int
        How many of the (unit, image) pairs were run: in the others the unit already had its value, and the
        logits are those without a change, to the bit.
    """

    units: tuple[int, ...]
    logits: Float[Tensor, "unit image class"]
    items: int


def single_effects(
    state: State,
    layer: str,
    site: str,
    units: Sequence[int],
    value_of: ValueOf,
    *,
    pace: Pace | None = None,
    budget: int = BUDGET,
) -> Iterator[Block]:
    """Change each of a layer's units alone, and give the logits.

    Parameters
    ----------
    state : CutState or WholeState
        Within its block; run with this layer and site among its places.
    layer, site : str
        Where the change enters.
    units : sequence of int
        Which units, each by itself.
    value_of : callable (unit, maps (image, ...)) -> maps (image, ...)
        What a unit's maps become; it gives a new tensor.
    pace : Pace, optional
        How many items run in one batch; None: measured on the first blocks.
    budget : int
        Bytes that running again may take, besides what is kept.

    Yields
    ------
    Block
        In the order of the units.

    Raises
    ------
    UnknownNameError
        If a unit does not exist.
    ArgumentError
        If `value_of` gives maps of another shape.
    """
    found = state.graph.layer(layer)
    for unit in units:
        state.graph.check_units({found.name: [unit]})
    maps = state.value(layer, site).detach().movedim(found.unit_axis, 1)
    changes = (_change(unit, maps[:, unit], value_of) for unit in units)
    for found_here in changed_logits(state, (layer, site), changes, pace=pace, budget=budget):
        some = tuple(units[found_here.first : found_here.first + len(found_here.logits)])
        yield Block(some, found_here.logits, found_here.items)


def _change(unit: int, before: Tensor, value_of: ValueOf) -> Change:
    after = value_of(unit, before)
    if after.shape != before.shape:
        raise ArgumentError(
            f"the new maps of unit {unit} must have shape {tuple(before.shape)}, got {tuple(after.shape)}"
        )
    return Change(torch.tensor([unit], device=before.device), before[:, None], after[:, None])
