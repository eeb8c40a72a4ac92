"""The one loop behind every exact effect: each batch once for each setting, by the same code path."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from causal_widget.errors import (
    CausalWidgetError,
    DataError,
    DeviceError,
    NonFiniteError,
    UnsupportedModelError,
)
from causal_widget.graph import FilterGraph, watch
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.interventions import Intervention, Lever
from causal_widget.jobs import Progress
from causal_widget.responses import Batch, batches, check_range, count_images

__all__ = ["Consume", "for_each_setting", "in_halves", "logits_of", "sizes_said"]

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
                    with sizes_said(graph, batch.images, f"batch {batch.index} has images"):
                        logits = _numbers(logits_of(network, batch.images), batch)
                    check_range(batch.labels, batch.index, logits.shape[1])
                    consume(position, logits, labels)
                    told.advance(len(batch.images))
                if lever is not None:
                    lever.pull(None)  # the loader may run the model itself
        finally:
            told.finish()


def logits_of(
    model: nn.Module, images: Float[Tensor, "image channel height width"]
) -> Float[Tensor, "image class"]:
    """Run the model, in halves where the device's memory is too small for the batch.

    Raises
    ------
    UnsupportedModelError
        If the output is not a tensor (image, class).
    DeviceError
        If the device's memory is too small for one image.
    """

    def run(part: Tensor) -> Tensor:
        output = model(part)
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(part):
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UnsupportedModelError(
                f"the model's output must be a tensor ({len(part)} images, classes), got {shape}"
            )
        return output

    return in_halves(run, images)


def in_halves(run: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Run a function of some images, in halves where the device's memory is too small for all of them.

    Raises
    ------
    DeviceError
        If it is too small for one image.
    """
    try:
        return run(images)
    except torch.cuda.OutOfMemoryError as error:
        if len(images) == 1:
            raise DeviceError(
                "the device is out of memory with a single image; take another device"
            ) from error
    # Not within the handler: the exception keeps alive all that the failed run had on the device.
    half = len(images) // 2
    torch.cuda.empty_cache()
    warnings.warn(
        f"out of device memory with {len(images)} images: going on with {half} at a time", stacklevel=2
    )
    return torch.cat([in_halves(run, images[:half]), in_halves(run, images[half:])])


@contextmanager
def sizes_said(graph: FilterGraph | None, images: Tensor, where: str) -> Iterator[None]:
    """Say a size that the network cannot take in the words of the images.

    Raises
    ------
    DataError
        If the network raises on images of another size than it was traced with.
    """
    shape, traced = tuple(images.shape[1:]), () if graph is None else tuple(graph.example_shape)
    try:
        yield
    except CausalWidgetError:
        raise
    except (RuntimeError, ValueError) as error:
        if not traced or shape == traced:
            raise
        raise DataError(
            f"{where} of shape {shape}, but the network was traced with {traced} and cannot run them: {error}"
        ) from error


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
