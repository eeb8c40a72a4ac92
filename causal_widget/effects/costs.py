"""What running again costs: a short measurement at a few layers, carried over to the others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from causal_widget.effects.cutting import CutModel, CutState, Pace, Place, WholeModel, WholeState
from causal_widget.effects.differences import differences
from causal_widget.effects.entries import Entries
from causal_widget.effects.first_order import FirstOrder
from causal_widget.effects.questions import Context, Question, answers, changes
from causal_widget.effects.work import Settings
from causal_widget.responses import Batch

__all__ = ["Costs", "measured_costs"]

_MEASURED = 5
_SIZES = {"cpu": (16, 32, 64), "cuda": (64, 256, 1024)}
_LONG = 1.0  # seconds: no larger size is tried after a batch that took this long
_RECORDED = 16  # images on which a recorded run is timed
_SAMPLE = 64  # questions of a layer in which it is looked how often anything changes


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs of a run.

    Attributes
    ----------
    forward, recorded : float
        Seconds of a forward pass of the whole network, and of one that is recorded with its backward passes,
        for one image.
    item_seconds, alive : mapping of layer name to float
        Seconds of a pair of question and image, and the share of pairs in which something changes.
    settings : Settings
        How the work is cut into pieces.
    """

    forward: float
    recorded: float
    item_seconds: Mapping[str, float]
    alive: Mapping[str, float]
    settings: Settings

    def of_a_pair(self, layer: str) -> float:
        """Give the expected seconds of a pair, those counted in which nothing changes."""
        return self.item_seconds[layer] * self.alive[layer]


def measured_costs(
    entries: Entries,
    first: Batch,
    known: Context,
    estimate: FirstOrder | None,
    budget: int,
    autocast: torch.dtype | None = None,
) -> Costs:
    """Measure some layers on a batch, and carry what was found to those between them.

    Parameters
    ----------
    entries : Entries
        What is asked, and what enters the network.
    first : Batch
        The first batch.
    known : Context
        What edits must know, as of that batch.
    estimate : FirstOrder, optional
        What is estimated to first order; None: nothing.
    budget : int
        Bytes for what is kept, and again for what runs.
    autocast : torch.dtype, optional
        Type in which the network computes.
    """
    if autocast is not None:
        with torch.autocast(first.images.device.type, autocast):
            return measured_costs(entries, first, known, estimate, budget)
    names = list(entries.questions.groups)
    images = first.images[: _images_at_once(entries, len(first.images), budget)]
    forward = _forward_seconds(entries.entry(names[0]), images)
    last = _faster_with_channels_last(entries, names, images)
    positions = sorted({round(p) for p in np.linspace(0, len(names) - 1, min(_MEASURED, len(names)))})
    found = [_measured(entries, names[p], images, known, budget, last) for p in positions]
    every = np.arange(len(names))
    seconds = dict(zip(names, np.interp(every, positions, [one[1] for one in found]).tolist(), strict=True))
    alive = dict(zip(names, np.interp(every, positions, [one[2] for one in found]).tolist(), strict=True))
    near = [found[int(np.argmin([abs(p - k) for p in positions]))][0] for k in every]
    items = {name: _fitting(entries, name, size, budget) for name, size in zip(names, near, strict=True)}
    recorded, each = len(images), 0.0
    if estimate is not None:
        recorded = max(1, min(len(images), budget // max(_recorded_bytes(entries, images, estimate), 1)))
        each = _recorded_seconds(entries, estimate, first, known, min(recorded, _RECORDED), last)
    settings = Settings(
        len(images), recorded, entries.groups(len(images), budget), items, last,
        {name: seconds[name] / forward for name in names}, each / forward,
    )  # fmt: skip
    return Costs(forward, each, seconds, alive, settings)


def _images_at_once(entries: Entries, n: int, budget: int) -> int:
    each = [entries.kept((layer,), 1) for layer in entries.questions.groups if layer not in entries.reasons]
    return max(1, min(n, budget // max(max(each, default=1), 1)))


def _fitting(entries: Entries, layer: str, size: int, budget: int) -> int:
    return max(1, min(size, budget // max(entries.bytes_per_item(layer), 1)))


def _forward_seconds(entry: CutModel | WholeModel, images: Tensor) -> float:
    best = np.inf
    for _ in range(2):
        began = time.perf_counter()
        with entry.run(images, ()):
            _wait(images)
        best = min(best, time.perf_counter() - began)
    return float(best) / len(images)


def _faster_with_channels_last(entries: Entries, names: list[str], images: Tensor, tries: int = 3) -> bool:
    """Whether running again is clearly faster with a pixel's channels side by side, and possible at all."""
    layer = next((name for name in names if name not in entries.reasons), None)
    places: tuple[Place, ...] = () if layer is None else entries.questions.entries(layer)
    if entries.cut is None or images.ndim != 4 or not places:
        return False
    some, best, place = images[:32], {False: np.inf, True: np.inf}, places[0]
    try:
        for _ in range(tries):
            for last in best:
                with entries.cut.run(some, [place], channels_last=last) as state:
                    tensor, began = state.value(*place), time.perf_counter()
                    state.again(*place, tensor)
                    _wait(tensor)
                    best[last] = min(best[last], time.perf_counter() - began)
    except RuntimeError:  # the network asks for a view that only the usual order has
        return False
    return best[True] < 0.95 * best[False]


def _measured(
    entries: Entries, layer: str, images: Tensor, known: Context, budget: int, channels_last: bool
) -> tuple[int, float, float]:
    """Batch size, seconds of a pair at it, and the share of pairs that change, at one layer."""
    entry, asked = entries.entry(layer), entries.questions.groups[layer]
    layout = {"channels_last": True} if channels_last and isinstance(entry, CutModel) else {}
    with entry.run(images, entries.questions.places(layer), **layout) as state:
        most = max(1, budget // max(entries.bytes_per_item(layer), 1))
        sizes = [size for size in _SIZES.get(images.device.type, _SIZES["cuda"]) if size <= most] or [most]
        context = Context(known.index[: len(images)], known.means, known.donors)
        share, best = _share_alive(state, asked, context), (sizes[0], np.inf)
        for size in sizes:
            some = _spread(asked, 1 + size // max(int(share * state.n), 1))
            seconds, items = _timed(state, some, context, size, budget)
            if items and seconds / items < best[1]:
                best = (size, seconds / items)
            if seconds > _LONG:
                break
    return best[0], (float(best[1]) if np.isfinite(best[1]) else 0.0), share


def _spread(asked: tuple[Question, ...], wanted: int) -> list[Question]:
    return [asked[int(k)] for k in np.linspace(0, len(asked) - 1, min(wanted, len(asked)))]


def _share_alive(state: CutState | WholeState, asked: tuple[Question, ...], context: Context) -> float:
    """Share of pairs of question and image in which anything changes; 1 where that is not known."""
    shares = []
    for question in _spread(asked, _SAMPLE):
        moved = [(delta != 0).flatten(1).any(1) for _, _, delta in changes(state, question, context)]
        shares.append(float(torch.stack(moved).any(0).double().mean()) if moved else 1.0)
    return float(np.mean(shares))


def _timed(
    state: CutState | WholeState, asked: list[Question], context: Context, size: int, budget: int
) -> tuple[float, int]:
    began = time.perf_counter()
    items = sum(one.items for one in answers(state, asked, context, pace=Pace([size]), budget=budget))
    _wait(state.logits)
    return time.perf_counter() - began, items


def _recorded_bytes(entries: Entries, images: Tensor, estimate: FirstOrder) -> int:
    """Bytes that a recorded run takes for one image: all values, each target's slopes, and what edits add."""
    layers = entries.questions.graph.layers
    maps = sum(int(np.prod(layer.shape)) for layer in layers) * images.element_size()
    values = 4 * maps if entries.cut is None else entries.cut.all_bytes(1)  # some more stand between layers
    return values + (3 + estimate.passes) * maps


def _recorded_seconds(
    entries: Entries, estimate: FirstOrder, first: Batch, known: Context, size: int, channels_last: bool
) -> float:
    """Seconds of a recorded run with all questions' estimates, for one image; the second one counts."""
    found = 0.0
    for cut in (True, False):
        asked = {n: g for n, g in entries.questions.groups.items() if (n not in entries.reasons) == cut}
        if not asked:
            continue
        entry = entries.entry(next(iter(asked)))
        cut_here = isinstance(entry, CutModel)
        layout = {"channels_last": channels_last, "soft": estimate.usable} if cut_here else {}
        places = sorted({place for layer in asked for place in entries.questions.places(layer)})
        context = Context(known.index[:size], known.means, known.donors)
        labels = None if first.labels is None else first.labels[:size]
        join = partial(differences, context=context)
        best = np.inf
        for _ in range(2):  # the first one also warms up
            began = time.perf_counter()
            with entry.run(first.images[:size], places, grad=estimate.usable, **layout) as state:
                estimate.estimates(state, labels, asked, join)
                _wait(state.logits)
            best = min(best, time.perf_counter() - began)
        found += float(best)
    return found / size


def _wait(tensor: Tensor) -> None:
    if tensor.device.type == "cuda":
        torch.cuda.synchronize(tensor.device)
