"""What running again costs: a short measurement at a few layers, carried over to the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from causal_widget.effects.cutting import CutModel, CutState, Pace, WholeModel, WholeState, single_effects
from causal_widget.graph import FilterGraph

__all__ = ["Costs", "measured_costs"]

_MEASURED = 5
_SIZES = {"cpu": (16, 32, 64), "cuda": (64, 256, 1024)}
_LONG = 1.0  # seconds: no larger size is tried after a batch that took this long


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs of a sweep.

    Attributes
    ----------
    forward : float
        Seconds of a whole forward pass, for one image.
    images : int
        Images that are kept at one time.
    channels_last : bool
        Whether the channels of a pixel lie side by side in memory.
    items : mapping of layer name to int
        Pairs of unit and image that run in one batch.
    item_seconds, alive : mapping of layer name to float
        Seconds of one such pair, and the share of pairs in which something changes.
    places : tuple of (layer, site)
        What is entered, in forward order.
    """

    forward: float
    images: int
    channels_last: bool
    items: Mapping[str, int]
    item_seconds: Mapping[str, float]
    alive: Mapping[str, float]
    places: tuple[tuple[str, str], ...]

    def seconds_per_unit_image(self, layer: str) -> float:
        """Give the expected seconds of a pair of unit and image, those counted in which nothing changes."""
        return self.item_seconds[layer] * self.alive[layer]

    def kept(self, cut: CutModel | None, group: tuple[str, ...]) -> int:
        """Bytes kept for a group of layers."""
        sites = dict(self.places)
        return 0 if cut is None else cut.kept_bytes([(name, sites[name]) for name in group], self.images)

    def groups(self, cut: CutModel | None, budget: int) -> tuple[tuple[str, ...], ...]:
        """Cut the layers, in forward order, into groups whose kept values fit into the budget together."""
        found: list[tuple[str, ...]] = []
        for layer, site in self.places:
            if cut is None or isinstance(cut.region(layer, site), str):
                continue
            wider = (*found[-1], layer) if found else (layer,)
            if found and self.kept(cut, wider) <= budget:
                found[-1] = wider
            else:
                found.append((layer,))
        return tuple(found)


def measured_costs(
    entry: Callable[[str], CutModel | WholeModel],
    graph: FilterGraph,
    units: Mapping[str, tuple[int, ...]],
    site: str,
    images: Tensor,
    budget: int,
) -> Costs:
    """Measure some layers on a batch, and carry what was found to those between them.

    Parameters
    ----------
    entry : callable (layer name) -> CutModel or WholeModel
        What enters the network there.
    graph, units, site : FilterGraph, mapping, str
        Which units are changed where.
    images : Tensor
        The first batch.
    budget : int
        Bytes for what is kept, and again for what runs.
    """
    places = tuple((name, graph.layer(name).site(site)) for name in units)
    images = images[: _images_at_once(entry, places, len(images), budget)]
    forward = _forward_seconds(entry(places[0][0]), images)
    names, last = list(units), _faster_with_channels_last(entry(places[0][0]), places[0], images)
    positions = sorted({round(p) for p in np.linspace(0, len(names) - 1, min(_MEASURED, len(names)))})
    found = [_measured(entry(names[p]), places[p], units[names[p]], images, budget, last) for p in positions]
    every = np.arange(len(names))
    seconds = np.interp(every, positions, [one[1] for one in found])
    alive = np.interp(every, positions, [one[2] for one in found])
    near = [found[int(np.argmin([abs(p - k) for p in positions]))][0] for k in every]
    items = {name: _fitting(entry(name), place, size, budget)
             for name, place, size in zip(names, places, near, strict=True)}  # fmt: skip
    return Costs(
        forward, len(images), last, items,
        dict(zip(names, seconds.tolist(), strict=True)),
        dict(zip(names, alive.tolist(), strict=True)),
        places,
    )  # fmt: skip


def _images_at_once(
    entry: Callable[[str], CutModel | WholeModel], places: tuple[tuple[str, str], ...], n: int, budget: int
) -> int:
    each = [found.kept_bytes([p], 1) for p in places if isinstance(found := entry(p[0]), CutModel)]
    return max(1, min(n, budget // max(max(each, default=1), 1)))


def _fitting(entry: CutModel | WholeModel, place: tuple[str, str], size: int, budget: int) -> int:
    region = entry.region(*place) if isinstance(entry, CutModel) else ""
    return size if isinstance(region, str) else max(1, min(size, budget // max(region.bytes_per_item, 1)))


def _forward_seconds(entry: CutModel | WholeModel, images: Tensor) -> float:
    best = np.inf
    for _ in range(2):
        began = time.perf_counter()
        with entry.run(images, ()):
            _wait(images)
        best = min(best, time.perf_counter() - began)
    return float(best) / len(images)


def _faster_with_channels_last(
    entry: CutModel | WholeModel, place: tuple[str, str], images: Tensor, tries: int = 3
) -> bool:
    """Whether running again is clearly faster with a pixel's channels side by side, and possible at all."""
    if not isinstance(entry, CutModel) or images.ndim != 4:
        return False
    some, best = images[:32], {False: np.inf, True: np.inf}
    try:
        for _ in range(tries):
            for last in best:
                with entry.run(some, [place], channels_last=last) as state:
                    tensor, began = state.value(*place), time.perf_counter()
                    state.again(*place, tensor)
                    _wait(tensor)
                    best[last] = min(best[last], time.perf_counter() - began)
    except RuntimeError:  # the network asks for a view that only the usual order has
        return False
    return best[True] < 0.95 * best[False]


def _measured(
    entry: CutModel | WholeModel,
    place: tuple[str, str],
    units: tuple[int, ...],
    images: Tensor,
    budget: int,
    channels_last: bool,
) -> tuple[int, float, float]:
    """Batch size, seconds of an item at it, and the share of pairs that change, at one layer."""
    layout = {"channels_last": True} if channels_last and isinstance(entry, CutModel) else {}
    with entry.run(images, [place], **layout) as state:
        most = max(1, budget // state.bytes_per_item(*place))
        sizes = [size for size in _SIZES.get(images.device.type, _SIZES["cuda"]) if size <= most] or [most]
        share, best = _share_alive(state, place, units), (sizes[0], np.inf)
        for size in sizes:
            wanted = 1 + size // max(int(share * state.n), 1)
            some = tuple(units[int(k)] for k in np.linspace(0, len(units) - 1, min(wanted, len(units))))
            seconds, items = _timed(state, place, some, size)
            if items and seconds / items < best[1]:
                best = (size, seconds / items)
            if seconds > _LONG:
                break
    return best[0], (float(best[1]) if np.isfinite(best[1]) else 0.0), share


def _share_alive(state: CutState | WholeState, place: tuple[str, str], units: tuple[int, ...]) -> float:
    """Share of pairs of unit and image in which the unit is not silent; zeroing changes nothing in others."""
    axis = state.graph.layer(place[0]).unit_axis
    maps = state.value(*place).movedim(axis, 1)[:, list(units)]
    return (
        float((maps != 0).flatten(2).any(2).double().mean())
        if maps.ndim > 2
        else float((maps != 0).double().mean())
    )


def _timed(
    state: CutState | WholeState, place: tuple[str, str], units: tuple[int, ...], size: int
) -> tuple[float, int]:
    began = time.perf_counter()
    blocks = list(
        single_effects(state, *place, units, lambda _, maps: torch.zeros_like(maps), pace=Pace([size]))
    )
    _wait(state.logits)
    return time.perf_counter() - began, sum(block.items for block in blocks)


def _wait(tensor: Tensor) -> None:
    if tensor.device.type == "cuda":
        torch.cuda.synchronize(tensor.device)
