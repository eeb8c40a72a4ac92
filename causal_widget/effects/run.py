"""One run of a plan: the network, its images and what is finished, shared by all ways to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float64

from causal_widget.effects.cutting import CutState, WholeState
from causal_widget.effects.differences import differences
from causal_widget.effects.measuring import Measured, before, measured, numbers
from causal_widget.effects.pool import Part, Pool
from causal_widget.effects.questions import Context, Question
from causal_widget.effects.shards import Before, Cost, Shards
from causal_widget.effects.work import Settings, Work
from causal_widget.jobs import Progress

__all__ = ["Estimated", "Run"]

State = CutState | WholeState
Wanted = Mapping[str, Bool[np.ndarray, " question"]]
Consume = Callable[[str, Measured, Cost, "Before | None"], None]


@dataclass(frozen=True, eq=False)
class Estimated:
    """First-order estimates of some questions, (image, question, column), and where anything changes."""

    cheap: Float64[np.ndarray, "image question column"]
    changed: Bool[np.ndarray, "image question"]


class Run:
    """What a way to run works with.

    Parameters
    ----------
    work, settings : Work, Settings
        What is done, and how it is cut into pieces.
    pool : Pool
        The images.
    shards : Shards
        What is finished.
    progress : Progress
        Told of what is done; may cancel.
    context : Context
        What edits must know, of no images yet.
    """

    def __init__(
        self,
        work: Work,
        settings: Settings,
        pool: Pool,
        shards: Shards,
        progress: Progress,
        context: Context,
    ) -> None:
        self.work, self.settings, self.pool = work, settings, pool
        self.shards, self.progress, self._context = shards, progress, context
        self._places = {layer: work.questions.places(layer) for layer in work.groups}

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.shards.now.seed

    def everything(self) -> dict[str, Bool[np.ndarray, " question"]]:
        """Give the mask of all questions."""
        return {layer: np.ones(len(group), bool) for layer, group in self.work.groups.items()}

    def begin(self, total: int | None, unit: str, message: str) -> None:
        """Begin to count a stage, from where it was left."""
        self.progress.start(total, unit, message)
        if self.shards.now.counted:
            self.progress.advance(self.shards.now.counted)

    def each_layer(self, part: Part, wanted: Wanted, consume: Consume) -> None:
        """Measure the wanted questions on a part, layer by layer, but those of layers that are finished.

        Parameters
        ----------
        part : Part
            The images.
        wanted : mapping of layer name to array of bool, shape (question,)
            Layers without a wanted question are left out.
        consume : callable (layer, measured, cost, before)
            Given each layer's effects.
        """
        left = [
            layer for layer in self.work.groups
            if layer in wanted and wanted[layer].any() and not self.shards.has(layer)
        ]  # fmt: skip
        for group in self.settings.groups:
            layers = [layer for layer in group if layer in left]
            if not layers:
                continue
            with self._entered(part, layers) as state:
                shared = part.n * 1.0
                for layer in layers:
                    found = self._measured(state, layer, part, wanted[layer])
                    pairs = part.n * int(wanted[layer].sum())
                    cost = Cost(pairs, found.ran, shared + found.ran * self.settings.forwards[layer])
                    known = bool(self.shards.now.layers)
                    consume(layer, found, cost, None if known else before(state, part, self.work.outcomes))
                    shared = 0.0

    def estimated(self, part: Part, wanted: Wanted) -> tuple[dict[str, Estimated], Before]:
        """Estimate the wanted questions to first order on a part, in runs that fit into memory."""
        found: dict[str, list[Estimated]] = {}
        told: Before | None = None
        for piece in _pieces(part, self.settings.recorded):
            for cut in (True, False):
                layers = [layer for layer in wanted if wanted[layer].any() and self._is_cut(layer) == cut]
                if not layers:
                    continue
                asked = {layer: self._chosen(layer, wanted[layer]) for layer in layers}
                with self._entered(piece, layers, grad=self.work.first_order.usable) as state:
                    for layer, one in self._first_order(state, piece, asked).items():
                        found.setdefault(layer, []).append(one)
                    if told is None or cut or not any(self._is_cut(layer) for layer in wanted):
                        told = _merged(told, before(state, piece, self.work.outcomes))
        assert told is not None  # a part has images, and something is wanted
        return {layer: _stacked(parts) for layer, parts in found.items()}, told

    def precisely(self) -> AbstractContextManager[object]:
        """Give the block in which the network computes in the type that was asked for."""
        if self.work.autocast is None:
            return nullcontext()
        return torch.autocast(self.work.device.type, self.work.autocast)

    def _first_order(
        self, state: State, part: Part, asked: Mapping[str, tuple[Question, ...]]
    ) -> dict[str, Estimated]:
        context = replace(self._context, index=part.index)
        join = partial(differences, context=context)
        found = self.work.first_order.estimates(state, part.labels, asked, join)
        given = {}
        for layer, (g, moved) in found.items():
            # Single precision: what is remembered of it is just what was counted.
            single = g.astype(np.float32).astype(np.float64)
            given[layer] = Estimated(numbers(torch.from_numpy(single), part), moved)
        return given

    @contextmanager
    def _entered(self, part: Part, layers: Iterable[str], grad: bool = False) -> Iterator[State]:
        """Run the network on a part, with what some layers' questions need kept."""
        places = sorted({place for layer in layers for place in self._places[layer]})
        if self._is_cut(next(iter(layers))):
            assert self.work.entries.cut is not None
            last = self.settings.channels_last
            how = {"channels_last": last, "grad": grad, "soft": grad}
            with self.work.entries.cut.run(part.images, places, **how) as state:
                yield state
        else:
            assert self.work.entries.whole is not None
            with self.work.entries.whole.run(part.images, places, grad=grad) as whole:
                yield whole

    def _is_cut(self, layer: str) -> bool:
        return layer not in self.work.entries.reasons

    def _chosen(self, layer: str, where: Bool[np.ndarray, " question"]) -> tuple[Question, ...]:
        return tuple(one for one, wanted in zip(self.work.groups[layer], where, strict=True) if wanted)

    def _measured(
        self, state: State, layer: str, part: Part, where: Bool[np.ndarray, " question"]
    ) -> Measured:
        context = replace(self._context, index=part.index)
        return measured(
            state, self._chosen(layer, where), part, context, self.work.outcomes,
            items=self.settings.items[layer], budget=self.work.budget,
            told=lambda pairs: self.progress.advance(pairs, layer),
        )  # fmt: skip


def _pieces(part: Part, size: int) -> Iterator[Part]:
    for first in range(0, part.n, size):
        some = slice(first, first + size)
        labels = None if part.labels is None else part.labels[some]
        yield Part(part.number, part.images[some], labels, part.index[some])


def _merged(first: Before | None, second: Before) -> Before:
    if first is None:
        return second
    hard = np.concatenate([first.hardness, second.hardness])
    return Before(first.outcomes.merge(second.outcomes), first.sizes.merge(second.sizes), hard)


def _stacked(parts: list[Estimated]) -> Estimated:
    return Estimated(
        np.concatenate([one.cheap for one in parts]), np.concatenate([one.changed for one in parts])
    )
