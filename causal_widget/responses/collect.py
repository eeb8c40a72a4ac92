"""One pass over the images: responses of every unit, reduced to moments on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.errors import check_seed
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.jobs import Progress
from causal_widget.responses.collection import Collection
from causal_widget.responses.layout import layout_of
from causal_widget.responses.loaders import Batch, batches, check_range, count_images
from causal_widget.responses.probe import Probe, probe
from causal_widget.responses.reader import ResponseReader
from causal_widget.responses.rows import ArmBuffers, uninterrupted
from causal_widget.responses.scores import Scores
from causal_widget.responses.source import Source
from causal_widget.responses.split import Split
from causal_widget.responses.transforms import MapFunction, Transform, get_transform

Sink = Callable[[Mapping[str, Float[np.ndarray, "image unit"]], int], object]


def collect(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    transform: str | Transform | MapFunction = "frobenius",
    site: str = "activation",
    graph: FilterGraph | None = None,
    holdout: float = 0.2,
    folds: int = 4,
    max_batches: int | None = None,
    device: str | torch.device | None = None,
    sinks: Sequence[Sink] = (),
    seed: int = 0,
    memory_limit: int | None = None,
    progress: Progress | None = None,
) -> Collection:
    """Run the model once over a loader and keep the moments of every unit's responses.

    Memory does not grow with the number of images. Model, hooks, training flags, buffers, device and random
    states are afterwards as before, whatever happened.

    Parameters
    ----------
    model
        Any CNN; it runs in eval mode without gradients.
    loader
        Batches as `causal_widget.responses.batches` takes them. Images take the floating type of the
        parameters.
    transform
        Phi: a name or a callable (image, unit, height, width) -> (image, unit). The output layer's response
        is always its signed value, the logit.
    site
        Where activations are read: "conv", "norm" or "activation"; a layer without that site is read at its
        last one.
    graph
        The model's graph; None traces it with the first image.
    holdout
        Share of the images, chosen by a hash of index and seed, that equations are judged on and not fitted
        on.
    folds
        The other images are cut into so many folds, by another hash, whose moments are kept apart for
        cross-validation; 1 keeps them together and needs the least memory.
    max_batches
        Stop after so many batches.
    device
        "auto", "cpu", "cuda:0", ...; None stays where the model is.
    sinks
        Called with each batch's raw responses {layer: (image, unit)} and the index of its first image.
    seed
        Of the held-out split and the folds.
    memory_limit
        Bytes that the moments may take; None takes three quarters of what is available.
    progress
        Told the number of images done; asked whether to stop.

    Raises
    ------
    DataError, NonFiniteError
        The loader, an image, a label or an activation is not what was expected.
    ArgumentError
        A number is out of range, or the moments do not fit in memory.
    Cancelled
        The progress was cancelled.

    Every exception after the first batch carries `partial`: a `Collection` of the images seen until then.
    """
    phi, split, network = get_transform(transform), Split(holdout, folds, check_seed(seed)), bare(model)
    told = progress or Progress()
    where = resolve_device(device, network)
    with guarded(network, where):
        source = batches(loader, where, max_batches, dtype=floating_type(network))
        first = next(source)
        known = graph if graph is not None else trace(network, first.images[:1])
        origin = Source(model, loader, known, phi, site, device, split.share, split.seed, max_batches, folds)
        asked = probe(network, known, phi, site, first.images[:1])
        collector = _Collector(network, origin, asked, memory_limit, sinks)
        told.start(count_images(loader, max_batches), "images", "collecting")
        try:
            collector.run(chain([first], source), told)
        except BaseException as error:
            error.partial = collector.result(complete=False)  # type: ignore[attr-defined]
            raise
        finally:
            told.finish()
    return collector.result(complete=True)


class _Collector:
    """State of one pass."""

    def __init__(
        self,
        model: nn.Module,
        origin: Source,
        asked: Probe,
        memory_limit: int | None,
        sinks: Sequence[Sink],
    ) -> None:
        self._layout = layout_of(origin.graph, asked.components)
        self._origin, self._asked, self._split = origin, asked, origin.split
        self._layout.check_memory(self._split.sets, memory_limit)
        self._graph, self._sinks = origin.graph, sinks
        self._reader = ResponseReader(model, origin.graph, self._layout, origin.transform, origin.site)
        self._observational = ArmBuffers(self._layout, self._split)
        self._scores = Scores(origin.graph.output.units)
        self._began = time.perf_counter()
        self._n_images = 0

    def run(self, source: Iterator[Batch], progress: Progress) -> None:
        """Read every batch; what was read stays when an exception ends the pass."""
        with self._reader.reading():
            for batch in source:
                progress.check()
                check_range(batch.labels, batch.index, self._graph.output.units)
                found = self._reader.read(batch.images, batch.index)
                with uninterrupted():
                    self._keep(batch, found)
                    self._pour(batch, found)
                progress.advance(len(found))

    def _keep(self, batch: Batch, found: Float[np.ndarray, "image column"]) -> None:
        index = np.arange(batch.first, batch.first + len(found))
        self._observational.add(found, self._split.fold(index))
        if batch.labels is not None:
            logits = found[:, self._layout.slices[self._graph.output.name]].astype(np.float64)
            self._scores.add(logits, batch.labels.cpu().numpy())
        self._n_images += len(found)

    def _pour(self, batch: Batch, found: Float[np.ndarray, "image column"]) -> None:
        if self._sinks:
            layers = {name: found[:, columns] for name, columns in self._layout.slices.items()}
            for sink in self._sinks:
                sink(layers, batch.first)

    def result(self, complete: bool) -> Collection:
        """Return the moments of all images read so far."""
        with uninterrupted():
            arm = self._observational.flush()
        scores = self._scores
        return Collection(
            graph=self._graph,
            transform=self._origin.transform.name,
            site=self._origin.site,
            observational=arm,
            n_images=self._n_images,
            accuracy=scores.accuracy,
            loss=scores.loss,
            class_counts=scores.counts.copy() if scores.n_images else None,
            complete=complete,
            seconds=time.perf_counter() - self._began,
            components=self._asked.components,
            silent=self._asked.silent,
            source=self._origin,
        )
