"""Going on with a pass that was cut short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from causal_widget.errors import ArgumentError, DataError, OrderError
from causal_widget.responses.collection import Collection
from causal_widget.responses.loaders import Batch
from causal_widget.responses.one_pass import Seen
from causal_widget.responses.randomised import RandomInterventions
from causal_widget.responses.source import Source, refuse_shuffling

__all__ = ["remaining", "taken_up"]


def taken_up(
    partial: Collection, source: Source, randomised: RandomInterventions | None, keep_raw: bool
) -> Seen:
    """Return what the earlier pass had seen, if this one would gather the same.

    Raises
    ------
    OrderError
        The earlier pass was complete, or was already taken up.
    ArgumentError
        Transform, site, split, seed, interventions or network differ; says which.
    DataError
        The loader shuffles.
    """
    seen = partial.seen
    if seen is None:
        raise OrderError("this collection is complete: there is nothing to resume")
    if seen.spent:
        raise OrderError("this collection was already resumed: take what came of that")
    for what, was, now in _compared(seen, source, randomised, keep_raw):
        if was != now:
            raise ArgumentError(
                f"the pass to resume had {what} {was!r:.200}, and now it is {now!r:.200}; "
                "expected the same, or collect anew"
            )
    refuse_shuffling(source.loader, "what was already counted")
    seen.source = replace(
        source, graph=seen.source.graph, transform=seen.source.transform, loader=source.loader
    )
    return seen


def _compared(
    seen: Seen, source: Source, randomised: RandomInterventions | None, keep_raw: bool
) -> list[tuple[str, object, object]]:
    was = seen.source
    return [
        ("the network", _units(was), _units(source)),
        ("the transform", was.transform.name, source.transform.name),
        ("the site", was.site, source.site),
        ("holdout", was.holdout, source.holdout),
        ("folds", was.folds, source.folds),
        ("the seed", was.seed, source.seed),
        ("interventions", seen.randomised, randomised),
        ("raw responses", seen.tables is not None, keep_raw),
    ]


def _units(source: Source) -> tuple[tuple[str, int], ...]:
    return tuple((layer.name, layer.units) for layer in source.graph.layers)


def remaining(batches: Iterator[Batch], seen: Seen) -> Iterator[Batch]:
    """Yield what was not counted yet, without running the model on what was.

    Raises
    ------
    DataError
        The last image that was counted is another one now: it is not the same loader, or not in that order.
    """
    for batch in batches:
        counted = seen.n_images - batch.first
        if counted <= 0:
            yield batch
            continue
        if counted <= len(batch.images):
            _check_last(batch, counted, seen)
        if counted < len(batch.images):
            labels = None if batch.labels is None else batch.labels[counted:]
            yield Batch(batch.images[counted:], labels, batch.index, batch.first + counted)


def _check_last(batch: Batch, counted: int, seen: Seen) -> None:
    now, was = batch.images[counted - 1].cpu(), seen.last
    if was is not None and not (now.shape == was.shape and torch.equal(now, was)):
        raise DataError(
            f"image {seen.n_images - 1} is another one than in the pass to resume; "
            "expected the same loader in the same order"
        )
