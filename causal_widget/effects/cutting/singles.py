"""One unit at a time, many in one batch: the logits under do() of each of a layer's units."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causal_widget.effects.cutting.pace import BUDGET, Pace
from causal_widget.effects.forward import in_halves
from causal_widget.errors import ArgumentError
from causal_widget.graph import FilterGraph

__all__ = ["Block", "State", "ValueOf", "single_effects"]

ValueOf = Callable[[int, Float[Tensor, "image ..."]], Tensor]


class State(Protocol):
    """What `CutState` and `WholeState` have in common."""

    graph: FilterGraph
    logits: Tensor

    @property
    def n(self) -> int:
        """Number of images."""

    def value(self, layer: str, site: str) -> Tensor:
        """Give the tensor at a site without any change."""

    def bytes_per_item(self, layer: str, site: str) -> int:
        """Bytes that one item takes."""

    def again_units(self, layer: str, site: str, units: Tensor, maps: Tensor, rows: Tensor) -> Tensor:
        """Run again with one unit's map replaced in each item."""


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


@dataclass(frozen=True, eq=False)
class _Changes:
    """All (unit, image) pairs of a block in which something changes."""

    position: Int[Tensor, " item"]
    units: Int[Tensor, " item"]
    rows: Int[Tensor, " item"]
    maps: Float[Tensor, "item ..."]


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
    told = pace or Pace.within(budget, state.bytes_per_item(layer, site))
    maps = state.value(layer, site).movedim(found.unit_axis, 1)
    each = _units_a_block(state, told, maps, budget)
    for first in range(0, len(units), each):
        yield _block(state, (layer, site), tuple(units[first : first + each]), maps, value_of, told)


def _units_a_block(state: State, pace: Pace, maps: Tensor, budget: int) -> int:
    """Enough units to fill a batch several times, whose maps and logits fit into half the budget."""
    numbers = maps[:, 0].numel() + state.logits.numel()
    fitting = budget // (2 * numbers * state.logits.element_size())
    wanted = 4 * pace.largest // state.n + 1
    return max(1, min(fitting, wanted))


def _block(
    state: State,
    place: tuple[str, str],
    units: tuple[int, ...],
    maps: Tensor,
    value_of: ValueOf,
    pace: Pace,
) -> Block:
    logits = state.logits.repeat(len(units), 1, 1)
    changes = _changes(units, maps, value_of)
    n, first = len(changes.rows), 0
    while first < n:
        size = min(pace.size, n - first)
        some = slice(first, first + size)
        began = time.perf_counter()
        result = in_halves(_runner(state, place, changes), torch.arange(n, device=maps.device)[some])
        logits[changes.position[some], changes.rows[some]] = result
        if result.device.type == "cuda":
            torch.cuda.synchronize(result.device)
        pace.note(size, time.perf_counter() - began)
        first += size
    return Block(units, logits, n)


def _runner(state: State, place: tuple[str, str], changes: _Changes) -> Callable[[Tensor], Tensor]:
    def run(items: Tensor) -> Tensor:
        part = slice(int(items[0]), int(items[-1]) + 1)
        return state.again_units(*place, changes.units[part], changes.maps[part], changes.rows[part])

    return run


def _changes(units: tuple[int, ...], maps: Tensor, value_of: ValueOf) -> _Changes:
    positions, rows, values = [], [], []
    for position, unit in enumerate(units):
        before = maps[:, unit]
        after = value_of(unit, before)
        if after.shape != before.shape:
            raise ArgumentError(
                f"the new maps of unit {unit} must have shape {tuple(before.shape)}, got {tuple(after.shape)}"
            )
        changed = (after != before).flatten(1).any(1) if before.ndim > 1 else after != before
        found = changed.nonzero().flatten()
        rows.append(found)
        values.append(after[found])
        positions.append(torch.full_like(found, position))
    place = torch.cat(positions)
    numbers = torch.tensor(units, device=maps.device)
    return _Changes(place, numbers[place], torch.cat(rows), torch.cat(values))
