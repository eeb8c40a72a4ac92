"""The one loop behind every exact effect: each batch once for each setting, by the same code path."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from causal_widget.errors import DataError, NonFiniteError, UnsupportedModelError
from causal_widget.graph import FilterGraph, watch
from causal_widget.guard import bare, guarded
from causal_widget.interventions import Intervention, Lever
from causal_widget.jobs import Progress
from causal_widget.responses import Batch, batches, check_range, count_images

__all__ = ["Consume", "floating_type", "for_each_setting", "logits_of"]

Logits = Float64[np.ndarray, "image class"]
Labels = Int64[np.ndarray, " image"]
Consume = Callable[[int, Logits, "Labels | None"], None]


def for_each_setting(
    model: nn.Module,
    graph: FilterGraph | None,
    settings: Sequence[Intervention | None],
    loader: Iterable[Any],
    consume: Consume,
    *,
    device: torch.device | None = None,
    max_batches: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Run every batch once for each setting (None: no intervention), in one pass over the loader.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network and its graph; the graph is not needed where every setting is None.
    settings : sequence of Intervention or None
        Already checked against the graph.
    loader : iterable
        Batches of images, with or without labels.
    consume : callable
        Gets the setting's position, the batch's logits (image, class) in float64, and its labels or None.
    device, max_batches, progress
        Where to run, when to stop, whom to tell. The progress counts images times settings.
    """
    network, told = bare(model), progress or Progress()
    lever = Lever(graph, [one for one in settings if one is not None]) if graph is not None else None
    watched = (
        watch(network, graph, lever.handlers) if graph is not None and lever is not None else nullcontext()
    )
    with guarded(network, device) as guard, watched:
        total = count_images(loader, max_batches)
        told.start(None if total is None else total * len(settings))
        try:
            for batch in batches(loader, guard.device, max_batches, dtype=floating_type(network)):
                labels = _labels(batch)
                for position, setting in enumerate(settings):
                    if lever is not None:
                        lever.pull(setting)
                    logits = _numbers(_run(network, graph, batch), batch)
                    check_range(batch.labels, batch.index, logits.shape[1])
                    consume(position, logits, labels)
                    told.advance(len(batch.images))
        finally:
            told.finish()


def floating_type(model: nn.Module) -> torch.dtype | None:
    """Give the type of the network's weights, which its images must have."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), None)


def logits_of(
    model: nn.Module, images: Float[Tensor, "image channel height width"]
) -> Float[Tensor, "image class"]:
    """Run the model, in halves where the device's memory is too small for the batch.

    Raises
    ------
    UnsupportedModelError
        If the output is not a tensor (image, class).
    """
    try:
        output = model(images)
    except torch.cuda.OutOfMemoryError:
        if len(images) == 1:
            raise
        half = len(images) // 2
        torch.cuda.empty_cache()
        warnings.warn(
            f"out of device memory with {len(images)} images: going on with {half} at a time", stacklevel=2
        )
        return torch.cat([logits_of(model, images[:half]), logits_of(model, images[half:])])
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(images):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UnsupportedModelError(
            f"the model's output must be a tensor ({len(images)} images, classes), got {shape}"
        )
    return output


def _run(model: nn.Module, graph: FilterGraph | None, batch: Batch) -> Tensor:
    """Run one batch; a size that the network cannot take is said in the words of the images."""
    shape, traced = tuple(batch.images.shape[1:]), graph.example_shape if graph is not None else ()
    try:
        return logits_of(model, batch.images)
    except (RuntimeError, ValueError) as error:
        if traced and shape != tuple(traced):
            raise DataError(
                f"batch {batch.index} has images of shape {shape}, but the network was traced with "
                f"{tuple(traced)} and cannot run them: {error}"
            ) from error
        raise


def _numbers(logits: Tensor, batch: Batch) -> Logits:
    wide = logits.detach() if logits.dtype is torch.float64 else logits.detach().float()
    numbers = wide.cpu().numpy()
    if not np.isfinite(numbers).all():
        bad = int(np.flatnonzero(~np.isfinite(numbers).all(axis=1))[0])
        raise NonFiniteError(
            f"the network's output is NaN or infinite in batch {batch.index}, image {bad} of it"
        )
    return np.asarray(numbers, dtype=np.float64)


def _labels(batch: Batch) -> Labels | None:
    if batch.labels is None:
        return None
    return np.asarray(batch.labels.detach().cpu().numpy(), dtype=np.int64)
