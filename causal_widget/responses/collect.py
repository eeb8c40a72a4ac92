"""One pass over the images: responses of every unit, reduced to moments on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.errors import check_seed
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.jobs import Progress
from causal_widget.responses.collection import Collection
from causal_widget.responses.layout import Layout
from causal_widget.responses.loaders import Batch, batches, count_images
from causal_widget.responses.one_pass import Pass, Seen, Sink
from causal_widget.responses.probe import probe
from causal_widget.responses.randomised import RandomInterventions
from causal_widget.responses.raw import RawTables
from causal_widget.responses.resuming import remaining, taken_up
from causal_widget.responses.source import Source
from causal_widget.responses.split import Split
from causal_widget.responses.thresholds import learned
from causal_widget.responses.transforms import MapFunction, Transform, get_transform

__all__ = ["Sink", "collect"]


def collect(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    transform: str | Transform | MapFunction = "frobenius",
    site: str = "activation",
    graph: FilterGraph | None = None,
    intervene: float | RandomInterventions | None = None,
    raw: bool | str | Path = False,
    holdout: float = 0.2,
    folds: int = 4,
    max_batches: int | None = None,
    device: str | torch.device | None = None,
    sinks: Sequence[Sink] = (),
    seed: int = 0,
    memory_limit: int | None = None,
    progress: Progress | None = None,
    resume: Collection | None = None,
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
        Phi: a name or a callable (image, unit, height, width) -> (image, unit[, k]). The output layer's
        response is always its signed value, the logit. A transform that has to learn something from the
        images first ("binary") costs another pass over them.
    site
        Where activations are read: "conv", "norm" or "activation"; a layer without that site is read at its
        last one.
    graph
        The model's graph; None traces it with the first image.
    intervene
        Random interventions, with which each batch is run once more: a share of units, such as 0.1, of one
        random layer for every image, set to 0 where responses are read; or `RandomInterventions`.
    raw
        Whether the responses of every image are kept as well; a path says in which folder, if they are more
        than 64 MB. Their size is told by `progress` before the pass.
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
        Of the held-out split, the folds and the random interventions.
    memory_limit
        Bytes that the moments may take; None takes three quarters of what is available.
    progress
        Told the number of images done; asked whether to stop.
    resume
        What an earlier pass over the same loader, with the same arguments, left when it was cut short: the
        images that it counted are skipped, and the answer is that of one uninterrupted pass, to the bit.

    Raises
    ------
    DataError, NonFiniteError
        The loader, an image, a label or an activation is not what was expected.
    ArgumentError
        A number is out of range, an intervention is on the output, the moments do not fit in memory, or the
        raw responses on the disk.
    UnknownNameError
        A transform, site or layer does not exist.
    OrderError
        There is nothing to resume.
    Cancelled
        The progress was cancelled.

    Every exception during the pass carries `partial`: a `Collection` of the images seen until then, which
    `resume` takes.
    """
    phi, split, network = get_transform(transform), Split(holdout, folds, check_seed(seed)), bare(model)
    told, where = progress or Progress(), resolve_device(device, network)
    with guarded(network, where):
        first_batch, source = _opened(batches(loader, where, max_batches, dtype=floating_type(network)))
        image = first_batch.images[:1]
        known = graph if graph is not None else trace(network, image)
        drawn = _randomised(intervene, known, split.seed, site)
        origin = Source(model, loader, known, phi, site, device, split.share, split.seed, max_batches, folds)
        n_images = count_images(loader, max_batches)
        if resume is not None:
            seen = taken_up(resume, origin, drawn, bool(raw))
        else:
            phi = learned(
                phi,
                network,
                known,
                loader,
                site=site,
                split=split,
                device=where,
                max_batches=max_batches,
                progress=told,
            )
            seen = Seen.nothing(
                replace(origin, transform=phi),
                probe(network, known, phi, site, image),
                drawn,
                memory_limit,
                lambda layout: _tables(raw, known, layout, drawn, n_images),
            )
        told.start(n_images, "images", _message(seen))
        return _run(Pass(network, seen, sinks), remaining(source, seen), told)


def _opened(source: Iterator[Batch]) -> tuple[Batch, Iterator[Batch]]:
    """Return the first batch, and all of them."""
    first = next(source)
    return first, chain([first], source)


def _run(one_pass: Pass, source: Iterator[Batch], told: Progress) -> Collection:
    """Run a pass; an exception carries what was collected."""
    seen = one_pass.seen
    seen.spent = True
    try:
        told.advance(seen.n_images)
        one_pass.run(source, told)
    except BaseException as error:
        seen.spent = False
        error.partial = seen.collection(complete=False)  # type: ignore[attr-defined]
        raise
    finally:
        told.finish()
    return seen.collection(complete=True)


def _randomised(
    intervene: float | RandomInterventions | None, graph: FilterGraph, seed: int, site: str
) -> RandomInterventions | None:
    if intervene is None:
        return None
    asked = intervene if isinstance(intervene, RandomInterventions) else RandomInterventions(intervene)
    return asked.checked(graph, seed, site)


def _tables(
    raw: bool | str | Path,
    graph: FilterGraph,
    layout: Layout,
    randomised: RandomInterventions | None,
    n_images: int | None,
) -> RawTables | None:
    if raw is False:
        return None
    return RawTables(graph, layout, randomised, n_images, None if raw is True else Path(raw))


def _message(seen: Seen) -> str:
    return "collecting" if seen.tables is None else f"collecting, {seen.tables.size}"
