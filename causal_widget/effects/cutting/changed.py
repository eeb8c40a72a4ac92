"""Many changes of some units' maps at one place, many in one batch: the logits under each of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causal_widget.effects.cutting.pace import BUDGET, Pace
from causal_widget.effects.cutting.places import Place
from causal_widget.effects.forward import in_halves
from causal_widget.graph import FilterGraph

__all__ = ["Change", "ChangedLogits", "State", "changed_logits"]


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

    def again_sets(self, layer: str, site: str, units: Tensor, maps: Tensor, rows: Tensor) -> Tensor:
        """Run again with the maps of some units replaced in each item."""


@dataclass(frozen=True, eq=False)
class Change:
    """What the maps of some units are and become, for all images.

    Attributes
    ----------
    units : int Tensor, shape (unit,)
        Which units of the layer.
    before, after : Tensor, shape (image, unit, ...)
        Their maps without and with the change.
    """

    units: Int[Tensor, " unit"]
    before: Float[Tensor, "image unit ..."]
    after: Float[Tensor, "image unit ..."]

    @property
    def changed(self) -> Bool[Tensor, " image"]:
        """In which images anything changes at all."""
        return (self.after != self.before).flatten(1).any(1)


@dataclass(frozen=True, eq=False)
class ChangedLogits:
    """The logits under some changes in a row.

    Attributes
    ----------
    first : int
        Position of the first of them.
    logits : Tensor, shape (change, image, class)
        The network's output under each.
    changed : bool Tensor, shape (change, image)
        Which pairs were run: in the others nothing changes, and the logits are those without a change, to
        the bit.
    """

    first: int
    logits: Float[Tensor, "change image class"]
    changed: Bool[Tensor, "change image"]

    @property
    def items(self) -> int:
        """How many pairs were run."""
        return int(self.changed.sum())


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The images in which one change is one."""

    units: Int[Tensor, "item unit"]
    maps: Float[Tensor, "item unit ..."]
    rows: Int[Tensor, " item"]
    changed: Bool[Tensor, " image"]

    @staticmethod
    def of(change: Change) -> _Pairs:
        changed = change.changed
        rows = changed.nonzero().flatten()
        return _Pairs(change.units.expand(len(rows), -1), change.after[rows], rows, changed)


def changed_logits(
    state: State,
    place: Place,
    changes: Iterable[Change],
    *,
    pace: Pace | None = None,
    budget: int = BUDGET,
) -> Iterator[ChangedLogits]:
    """Give the logits under each of some changes at one place.

    Parameters
    ----------
    state : CutState or WholeState
        Within its block; run with this place among its places.
    place : (layer, site)
        Where they enter.
    changes : iterable of Change
        Taken one by one, so that not all need be in memory at one time.
    pace : Pace, optional
        How many items run in one batch; None: measured on the first.
    budget : int
        Bytes that running again may take, besides what is kept.

    Yields
    ------
    ChangedLogits
        Some changes at a time, in their order.
    """
    told = pace or Pace.within(budget, state.bytes_per_item(*place))
    waiting: list[_Pairs] = []
    first = 0
    for change in changes:
        pairs = _Pairs.of(change)
        if waiting and (_enough(state, waiting, told, budget) or not _alike(waiting[0], pairs)):
            yield _run(state, place, first, waiting, told)
            first, waiting = first + len(waiting), []
        waiting.append(pairs)
    if waiting:
        yield _run(state, place, first, waiting, told)


def _alike(one: _Pairs, other: _Pairs) -> bool:
    return one.units.shape[1] == other.units.shape[1]


def _enough(state: State, waiting: list[_Pairs], pace: Pace, budget: int) -> bool:
    """Whether there are items to fill a batch several times, or half the budget is taken."""
    items = sum(len(one.rows) for one in waiting)
    numbers = sum(one.maps.numel() for one in waiting) + (len(waiting) + 1) * state.logits.numel()
    return items >= 4 * pace.largest or 2 * numbers * state.logits.element_size() >= budget


@torch.no_grad()
def _run(state: State, place: Place, first: int, waiting: list[_Pairs], pace: Pace) -> ChangedLogits:
    logits = state.logits.detach().repeat(len(waiting), 1, 1)
    units, maps = torch.cat([one.units for one in waiting]), torch.cat([one.maps for one in waiting])
    rows = torch.cat([one.rows for one in waiting])
    position = torch.cat([torch.full_like(one.rows, k) for k, one in enumerate(waiting)])
    n, done = len(rows), 0

    def again(items: Tensor) -> Tensor:
        part = slice(int(items[0]), int(items[-1]) + 1)
        return state.again_sets(*place, units[part], maps[part], rows[part])

    while done < n:
        size = min(pace.size, n - done)
        some = slice(done, done + size)
        began = time.perf_counter()
        result = in_halves(again, torch.arange(n, device=rows.device)[some])
        logits[position[some], rows[some]] = result
        if result.device.type == "cuda":
            torch.cuda.synchronize(result.device)
        pace.note(size, time.perf_counter() - began)
        done += size
    return ChangedLogits(first, logits, torch.stack([one.changed for one in waiting]))
