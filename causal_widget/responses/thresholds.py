"""What a transform has to learn from the images before it can be used: a pass of its own over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from causal_widget.errors import DataError
from causal_widget.graph import FilterGraph
from causal_widget.guard import floating_type
from causal_widget.jobs import Progress
from causal_widget.responses.layout import Layout
from causal_widget.responses.loaders import batches, count_images
from causal_widget.responses.moments import Moments
from causal_widget.responses.reader import ResponseReader
from causal_widget.responses.rows import RowBuffer
from causal_widget.responses.split import Split
from causal_widget.responses.transforms import Binary, Transform, frobenius

__all__ = ["learned", "norms_of"]


def learned(
    transform: Transform,
    model: nn.Module,
    graph: FilterGraph,
    loader: Iterable[Any],
    *,
    site: str,
    split: Split,
    device: torch.device | None,
    max_batches: int | None,
    progress: Progress,
) -> Transform:
    """Return the transform, with what it learns from the training images if it has to learn anything.

    Held-out images are left out of it. The model is under `guarded`.

    Raises
    ------
    DataError
        The loader can be iterated only once, and the transform needs a pass of its own.
    """
    if not isinstance(transform, Binary) or transform.thresholds is not None:
        return transform
    if isinstance(loader, Iterator):
        raise DataError(
            f'the transform "{transform.name}" needs two passes over the images, and the loader is a '
            f"one-shot iterator ({type(loader).__name__}); expected a DataLoader, a list of batches or a "
            "tensor"
        )
    progress.start(count_images(loader, max_batches), "images", "thresholds")
    norms = RowBuffer(norms_of(graph))
    reader = ResponseReader(model, graph, norms.moments.layout, frobenius, site)
    with reader.reading():
        for batch in batches(loader, device, max_batches, dtype=floating_type(model)):
            index = np.arange(batch.first, batch.first + len(batch.images))
            norms.add(reader.read(batch.images, batch.index)[~split.held_out(index)])
            progress.advance(len(index))
    norms.flush()
    return replace(transform, thresholds=_thresholds(transform, norms.moments))


def norms_of(graph: FilterGraph) -> Moments:
    """Return empty statistics of every unit's norm: count, mean and centred squares, mergeable, float64."""
    widths = {layer.name: layer.units for layer in graph.layers}
    return Moments(Layout(widths, {}, (), dict.fromkeys(widths, 1)))


def _thresholds(transform: Binary, norms: Moments) -> dict[str, torch.Tensor]:
    found = {}
    for name in norms.layout.widths:
        variance = norms.variance(name)
        spread = variance if transform.spread == "variance" else np.sqrt(variance)
        found[name] = torch.from_numpy(norms.mean(name) + spread)
    return found
