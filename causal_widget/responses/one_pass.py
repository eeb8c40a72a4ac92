"""One pass over the images: what it needs to know, what it has seen, and how it can go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from causal_widget.jobs import Progress
from causal_widget.responses.collection import Collection
from causal_widget.responses.forcing import lost
from causal_widget.responses.interventional import InterventionalMoments
from causal_widget.responses.layout import Layout, layout_of
from causal_widget.responses.loaders import Batch, check_range
from causal_widget.responses.moments import Moments
from causal_widget.responses.probe import Probe
from causal_widget.responses.randomised import RandomInterventions
from causal_widget.responses.raw import RawTables
from causal_widget.responses.reader import ResponseReader
from causal_widget.responses.rows import ArmBuffers, InterventionalBuffer, RowBuffer, uninterrupted
from causal_widget.responses.scores import Scores
from causal_widget.responses.source import Source

__all__ = ["Pass", "Seen", "Sink"]

Rows = Float[np.ndarray, "image column"]
Sink = Callable[[Mapping[str, Rows], int], object]


@dataclass(eq=False)
class Seen:
    """All that a pass has gathered: enough to go on with it, to the same bits.

    Attributes
    ----------
    source, probed, layout, randomised
        Model, images and transform; widths of the responses; their columns; what is drawn.
    observational, interventional
        Moments and the rows that wait.
    scores
        Accuracy and loss so far.
    tables
        Raw responses, where they are kept.
    n_images, seconds
        So far.
    last
        The last image that was counted, to recognise the loader by.
    spent
        Whether another pass has taken this up.
    """

    source: Source
    probed: Probe
    layout: Layout
    randomised: RandomInterventions | None
    observational: ArmBuffers
    interventional: ArmBuffers | None
    scores: Scores
    tables: RawTables | None
    n_images: int = 0
    seconds: float = 0.0
    last: Tensor | None = field(default=None, repr=False)
    spent: bool = False

    @classmethod
    def nothing(
        cls,
        source: Source,
        probed: Probe,
        randomised: RandomInterventions | None,
        memory_limit: int | None,
        make_tables: Callable[[Layout], RawTables | None],
    ) -> Seen:
        """Return the state before the first image, with all the memory it will need.

        Raises
        ------
        ArgumentError
            The moments do not fit in memory, or the raw responses on the disk.
        """
        layout, split = layout_of(source.graph, probed.components), source.split
        layout.check_memory(split.sets, memory_limit, 0 if randomised is None else split.sets)
        tables = make_tables(layout)
        interventional = None
        if randomised is not None:
            assert randomised.layers is not None
            interventional = ArmBuffers(
                partial(_interventional_buffer, layout, randomised.layers, split.sets), split
            )
        return cls(
            source,
            probed,
            layout,
            randomised,
            ArmBuffers(partial(_observational_buffer, layout, split.sets), split),
            interventional,
            Scores(source.graph.output.units),
            tables,
        )

    def collection(self, complete: bool) -> Collection:
        """Return the moments of all images so far; of an incomplete pass with what it takes to go on."""
        scores, forced, tables = self.scores, self.interventional, self.tables
        with uninterrupted():
            return Collection(
                graph=self.source.graph,
                transform=self.source.transform.name,
                site=self.source.site,
                observational=self.observational.arm(complete),
                n_images=self.n_images,
                accuracy=scores.accuracy,
                loss=scores.loss,
                class_counts=scores.counts.copy() if scores.n_images else None,
                complete=complete,
                seconds=self.seconds,
                interventional=None if forced is None else forced.arm(complete),
                components=self.probed.components,
                silent=self.probed.silent,
                randomised=self.randomised,
                source=self.source,
                raw=None if tables is None else tables.result(),
                seen=None if complete else self,
            )


def _observational_buffer(layout: Layout, sets: int) -> RowBuffer:
    return RowBuffer(Moments(layout), sets)


def _interventional_buffer(layout: Layout, drawn: Sequence[str], sets: int) -> RowBuffer:
    return InterventionalBuffer(InterventionalMoments(layout, drawn), sets)


class Pass:
    """Runs a model over batches and adds what it answers to what was seen.

    Parameters
    ----------
    model
        The network, under `guarded`.
    seen
        What this or an earlier pass has gathered; it is added to.
    sinks
        Called with each batch's responses and the index of its first image.
    """

    def __init__(self, model: nn.Module, seen: Seen, sinks: Sequence[Sink]) -> None:
        self.seen, self._sinks = seen, sinks
        source, drawn = seen.source, seen.randomised
        self._reader = ResponseReader(
            model,
            source.graph,
            seen.layout,
            source.transform,
            source.site,
            None if drawn is None else drawn.site,
        )

    def run(self, source: Iterator[Batch], progress: Progress) -> None:
        """Read every batch; what was read stays when an exception ends the pass."""
        began, before = time.perf_counter(), self.seen.seconds
        try:
            with self._reader.reading():
                for batch in source:
                    progress.check()
                    self._add(batch)
                    progress.advance(len(batch.images))
        finally:
            self.seen.seconds = before + time.perf_counter() - began

    def _add(self, batch: Batch) -> None:
        seen = self.seen
        check_range(batch.labels, batch.index, seen.source.graph.output.units)
        index = np.arange(batch.first, batch.first + len(batch.images))
        found = self._reader.read(batch.images, batch.index)
        actual: Rows | None = None
        beside: tuple[NDArray[Any], ...] = ()
        if seen.randomised is not None:
            draw = seen.randomised.draw(seen.source.graph, index)
            actual = self._reader.read_under(batch.images, batch.index, draw, found)
            beside = (draw.layer, lost(seen.layout, draw, found, actual))
        with uninterrupted():
            fold = seen.source.split.fold(index)
            labels = None if batch.labels is None else batch.labels.cpu().numpy()
            if seen.tables is not None:
                seen.tables.add(fold, labels, found, actual)
            seen.observational.add(fold, found)
            if seen.interventional is not None and actual is not None:
                seen.interventional.add(fold, actual, *beside)
            if labels is not None:
                logits = found[:, seen.layout.slices[seen.source.graph.output.name]].astype(np.float64)
                seen.scores.add(logits, labels)
            seen.n_images += len(found)
            seen.last = batch.images[-1].cpu().clone()
            self._pour(batch, found)

    def _pour(self, batch: Batch, found: Rows) -> None:
        if self._sinks:
            layers = {name: found[:, columns] for name, columns in self.seen.layout.slices.items()}
            for sink in self._sinks:
                sink(layers, batch.first)
