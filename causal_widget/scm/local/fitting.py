"""Measure local coefficients: gradients by every unit's scale, averaged over random interventions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from causal_widget.devices import list_devices
from causal_widget.errors import ArgumentError, NonFiniteError, UnsupportedModelError, check_seed
from causal_widget.graph import FilterGraph, watch
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.jobs import Progress
from causal_widget.responses import Batch, batches, count_images
from causal_widget.scm.local.coefficients import LocalCoefficients
from causal_widget.scm.local.contexts import Contexts, checked_contexts
from causal_widget.scm.local.knobs import Knobs
from causal_widget.scm.local.outcomes import Outcome, checked_outcomes, read_outcomes

__all__ = ["FRACTIONS", "PASSES", "local_bytes", "local_coefficients"]

FRACTIONS = (0.0, 0.02, 0.10, 0.20)
PASSES = (1, 6, 16, 6)


def local_coefficients(
    model: nn.Module,
    graph: FilterGraph,
    images: Iterable[Any],
    *,
    outcomes: object = "true",
    site: str = "activation",
    fractions: object = FRACTIONS,
    passes: object = PASSES,
    seed: int = 0,
    batch_size: int = 64,
    device: torch.device | None = None,
    max_batches: int | None = None,
    progress: Progress | None = None,
) -> LocalCoefficients:
    """Measure, for each image, what each unit adds to its outcome: a linear causal model local to the image.

    Let s_u scale the map of unit u (1: as it is, 0: silenced) and y(s) be the outcome. One backward pass
    gives dy/ds_u of every unit of every layer; it is the structural equations of the network, made linear
    at this image, solved by back-substitution from the outcome to the first layer. Its average over random
    interventions of some share of the units estimates E[y | u kept] - E[y | u silenced], the coefficients of
    the best linear approximation of y under such interventions. COAR finds the same numbers by regression
    on thousands of forward passes; here every pass is about every unit.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network and its graph.
    images : tensor, (images, labels) or loader
        As for `evaluate`.
    outcomes : str, int or iterable of them
        ``"true"`` (the true class's logit), ``"margin"`` (that minus the largest other), ``"all"`` classes,
        class numbers, or several of these. Each costs one more backward pass a pass.
    site : str
        Where units are silenced.
    fractions : iterable of float
        Shares of all units that are silenced while gradients are taken; 0, the network as it is, is always
        one of them. Coefficients for a set of units are read off between the two fractions next to its size.
    passes : int or sequence of int
        Random sets an image at each fraction.
    seed : int
        An image's sets depend on it and on the image's number alone, not on the batches.
    batch_size : int
        Images in one pass, which holds the network's activations for the backward pass.
    device, max_batches, progress
        Where to run, when to stop, whom to tell. The progress counts images times passes.

    Raises
    ------
    ArgumentError
        If an argument is outside its range, or the result would be larger than the free memory.
    UnknownNameError
        If an outcome or the site is none.
    DataError
        If the true class is needed and there are no labels; as `evaluate` otherwise.
    NonFiniteError
        If outcomes or gradients are NaN or infinite.

    References
    ----------
    Reverse-mode differentiation as back-substitution: Baur and Strassen 1983, "The complexity of partial
    derivatives". E[y | kept] - E[y | silenced] as main effects: Hoeffding 1948. COAR: Shah, Ilyas and Madry
    2024, arXiv:2404.11534. Averages of gradients along and off the way to silence: Owen 1972, "Multilinear
    extensions of games"; Sundararajan, Taly and Yan 2017, arXiv:1703.01365.
    """
    network, told = bare(model), progress or Progress()
    knobs = Knobs(graph, site)
    contexts = checked_contexts(fractions, passes, sum(layer.units for layer in knobs.layers))
    chosen = checked_outcomes(outcomes, graph.output.units)
    seed, size = check_seed(seed), _checked_size(batch_size)
    total = count_images(images, max_batches)
    _refuse_large(graph, total, contexts, chosen)
    measured = _Measured(contexts)
    with guarded(network, device, grad=True) as guard, watch(network, graph, knobs.handlers):
        told.start(None if total is None else total * sum(contexts.passes))
        around = nullcontext
        try:
            loaded = batches(
                images, guard.device, max_batches, classes=graph.output.units, dtype=floating_type(network)
            )
            for batch in loaded:
                if batch.index == 0:
                    around = _around(network, knobs, batch)
                for part in _parts(batch, size):
                    with around():
                        measured.add(_measure(network, knobs, contexts, part, chosen, seed, told))
        finally:
            told.finish()
    return measured.result(graph, site, chosen, seed)


def local_bytes(
    graph: FilterGraph, n_images: int, *, fractions: int = len(FRACTIONS), outcomes: int = 1
) -> int:
    """Say how many bytes the coefficients of so many images take: 8 a unit, fraction and outcome."""
    units = sum(layer.units for layer in graph.layers if not layer.is_output)
    return 8 * n_images * units * fractions * outcomes


def _refuse_large(
    graph: FilterGraph, n_images: int | None, contexts: Contexts, outcomes: tuple[Outcome, ...]
) -> None:
    free = list_devices()[0].free_bytes
    if n_images is None or free is None:
        return
    needed = local_bytes(graph, n_images, fractions=len(contexts.fractions), outcomes=len(outcomes))
    if needed > free:
        raise ArgumentError(
            f"local coefficients of {n_images:,} images for {len(outcomes)} outcome(s) take "
            f"{needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; give fewer images or outcomes"
        )


def _checked_size(size: object) -> int:
    if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
        raise ArgumentError(f"batch_size must be a whole number from 1, got {size!r:.80}")
    return int(size)


def _parts(batch: Batch, size: int) -> Iterator[Batch]:
    for start in range(0, len(batch.images), size):
        rows = slice(start, start + size)
        labels = None if batch.labels is None else batch.labels[rows]
        yield Batch(batch.images[rows], labels, batch.index, batch.first + start)


def _around(network: nn.Module, knobs: Knobs, batch: Batch) -> Any:
    """Choose what to run within, by a trial with one image.

    Networks with in-place activations write into what the backward pass still needs; PyTorch then keeps
    copies, which takes a quarter longer, so only where it must.
    """
    image = batch.images[:1]
    knobs.turn(image.new_ones(1, sum(layer.units for layer in knobs.layers)))
    try:
        knobs.gradients(network(image)[:, 0], again=False)
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        return torch.autograd.graph.allow_mutation_on_saved_tensors
    return nullcontext


class _Part:
    """What one batch leaves."""

    def __init__(self, contexts: Contexts, batch: Batch, outcomes: int) -> None:
        shape = (len(contexts.fractions), len(batch.images), contexts.units, outcomes)
        self.scale = np.zeros(shape, dtype=np.float32)
        self.shift = np.zeros(shape, dtype=np.float32)
        self.mean = np.zeros((shape[0], shape[1], outcomes))
        self.intercept = np.zeros_like(self.mean)
        self.logits = np.zeros((0, 0))
        self.labels = None if batch.labels is None else batch.labels.cpu().numpy()


def _measure(
    network: nn.Module,
    knobs: Knobs,
    contexts: Contexts,
    batch: Batch,
    outcomes: tuple[Outcome, ...],
    seed: int,
    told: Progress,
) -> _Part:
    part = _Part(contexts, batch, len(outcomes))
    numbers = range(batch.first, batch.first + len(batch.images))
    for context, passes in enumerate(contexts.passes):
        silenced = np.stack([contexts.draw(context, seed, image) for image in numbers], axis=1)
        total = [torch.zeros(()), torch.zeros(())]
        for at in range(passes):
            kept = torch.from_numpy(~silenced[at]).to(batch.images)
            knobs.turn(kept)
            logits = _checked_logits(network(batch.images), batch)
            values = read_outcomes(logits, batch.labels, outcomes)
            part.mean[context] += values.detach().double().cpu().numpy() / passes
            total = [old + new for old, new in zip(total, _gradients(knobs, values), strict=True)]
            if context == 0:
                part.logits = logits.detach().double().cpu().numpy()
            told.advance(len(batch.images))
        part.scale[context], part.shift[context] = ((one / passes).float().cpu().numpy() for one in total)
        part.intercept[context] = _intercept(part, context, silenced.mean(axis=0))
    _refuse_infinite(part, batch)
    return part


def _gradients(knobs: Knobs, values: Tensor) -> tuple[Tensor, Tensor]:
    """Give the gradients (image, unit, outcome) by scale and by shift."""
    count = values.shape[1]
    found = [knobs.gradients(values[:, k], again=k + 1 < count) for k in range(count)]
    return torch.stack([one[0] for one in found], dim=2), torch.stack([one[1] for one in found], dim=2)


def _checked_logits(output: object, batch: Batch) -> Tensor:
    n = len(batch.images)
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != n:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UnsupportedModelError(f"the model's output must be a tensor ({n} images, classes), got {shape}")
    return output


def _refuse_infinite(part: _Part, batch: Batch) -> None:
    for what, values in (("outcome", part.mean), ("gradient", part.scale), ("gradient", part.shift)):
        bad = np.atleast_1d(~np.isfinite(values).all(axis=(0, *range(2, values.ndim))))
        if bad.any():
            raise NonFiniteError(
                f"the network's {what} is NaN or infinite for image "
                f"{batch.first + int(np.flatnonzero(bad)[0])}"
            )


class _Measured:
    """The parts of all batches, put together."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts
        self._parts: list[_Part] = []

    def add(self, part: _Part) -> None:
        self._parts.append(part)

    def result(
        self, graph: FilterGraph, site: str, outcomes: tuple[Outcome, ...], seed: int
    ) -> LocalCoefficients:
        parts = self._parts
        labels = [part.labels for part in parts if part.labels is not None]
        return LocalCoefficients(
            graph=graph,
            site=site,
            contexts=self._contexts,
            outcomes=outcomes,
            scale=np.concatenate([part.scale for part in parts], axis=1),
            shift=np.concatenate([part.shift for part in parts], axis=1),
            intercept=np.concatenate([part.intercept for part in parts], axis=1),
            logits=np.concatenate([part.logits for part in parts]),
            labels=np.concatenate(labels) if len(labels) == len(parts) else None,
            seed=seed,
        )


def _intercept(
    part: _Part, context: int, frequency: Float64[np.ndarray, "image unit"]
) -> Float64[np.ndarray, "image outcome"]:
    """Give the mean change over the sets that were drawn, less what the coefficients say of these very sets.

    Of these, not of the average set: a few sets do not silence every unit equally often, and where the
    outcome is linear nothing must remain.
    """
    foreseen = np.einsum("iu,iuo->io", frequency, part.scale[context].astype(np.float64))
    return np.asarray(part.mean[context] - part.mean[0] + foreseen)
