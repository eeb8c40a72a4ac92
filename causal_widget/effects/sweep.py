"""Every unit alone, on every image: the exact sweep, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor, nn

from causal_widget.effects.cutting import (
    Block,
    CutModel,
    CutState,
    Pace,
    WholeModel,
    WholeState,
    single_effects,
)
from causal_widget.effects.effects import Effects
from causal_widget.effects.evidence import ExactEvidence
from causal_widget.effects.outcomes import Outcome, logit_sizes
from causal_widget.effects.questions import Question
from causal_widget.effects.statistics import EffectMoments
from causal_widget.errors import NonFiniteError, check_seed
from causal_widget.graph import FilterGraph
from causal_widget.guard import floating_type, guarded
from causal_widget.interventions import Action, Donors, MeanMaps, Resample, UnitEdit, donors, means
from causal_widget.jobs import Progress
from causal_widget.responses import Batch, batches, check_range, count_images

__all__ = ["Sweep", "sweep"]

State = CutState | WholeState


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep does.

    Attributes
    ----------
    model, loader, graph : nn.Module, iterable, FilterGraph
        The network, its images and its graph.
    units : mapping of layer name to tuple of int
        Which units, each alone.
    action, site, outcomes : Action, str, tuple of Outcome
        What is done where, and what is measured.
    device, max_batches : torch.device, int or None
        Where it runs, and when it stops.
    cut, whole : CutModel, WholeModel or None
        The network, cut where it can be and as a whole for the other layers.
    images : int
        Images that are kept at one time.
    groups : tuple of tuples of layer names
        Layers that share one run without a change; those in no group run as a whole.
    items : mapping of layer name to int
        Pairs of unit and image in one batch: fixed, so that a second run gives the same bits.
    channels_last : bool
        Whether the channels of a pixel lie side by side in memory.
    """

    model: nn.Module
    loader: Iterable[Any]
    graph: FilterGraph
    units: Mapping[str, tuple[int, ...]]
    action: Action
    site: str
    outcomes: tuple[Outcome, ...]
    device: torch.device
    max_batches: int | None
    cut: CutModel | None
    whole: WholeModel | None
    images: int
    groups: tuple[tuple[str, ...], ...]
    items: Mapping[str, int]
    channels_last: bool = False

    def place(self, layer: str) -> tuple[str, str]:
        """Layer and site where its change enters."""
        return layer, self.graph.layer(layer).site(self.site)


@dataclass(frozen=True, eq=False)
class _UnitsAlone:
    """The questions of a sweep: what does each unit alone do."""

    groups: Mapping[str, tuple[Question, ...]]

    @staticmethod
    def of(work: Sweep) -> _UnitsAlone:
        reason = "" if work.whole is None else work.whole.reason
        cut = {layer for group in work.groups for layer in group}
        return _UnitsAlone(
            {
                layer: tuple(
                    Question(
                        f"{layer}[{unit}]",
                        layer,
                        unit,
                        UnitEdit({layer: (unit,)}, work.action, work.site),
                        "" if layer in cut else reason,
                    )
                    for unit in units
                )
                for layer, units in work.units.items()
            }
        )


@dataclass
class _Found:
    """Sums so far."""

    work: Sweep
    progress: Progress
    seed: int = 0
    evidence: dict[str, ExactEvidence] = field(default_factory=dict)
    before: EffectMoments | None = None
    sizes: EffectMoments = field(default_factory=lambda: EffectMoments.empty(()))
    means: MeanMaps | None = None
    donors: Donors | None = None
    ran: int = 0

    def value_of(self, layer: str, index: Tensor) -> Callable[[int, Tensor], Tensor]:
        """Give what the action makes of a unit's maps, for images of these numbers."""
        name, site = self.work.place(layer)
        action, found = self.work.action, self.work.graph.layer(name)
        mean = None if self.means is None else self.means.at(found, site)
        given = None if self.donors is None else self.donors.at(found, site)

        def act(unit: int, maps: Tensor) -> Tensor:
            one = slice(unit, unit + 1)
            changed = action.apply(
                maps[:, None],
                None if mean is None else mean[one],
                index if action.random else None,
                units=torch.tensor([unit], device=maps.device),
                donors=None if given is None else given[:, one],
                donor_index=None if self.donors is None else self.donors.index,
                salt=crc32(f"{name} {site}".encode()),
            )
            return changed[:, 0].to(maps.dtype)

        return act


def sweep(work: Sweep, progress: Progress, seed: int = 0) -> Effects:
    """Run a sweep; the seed is of the halves and the bootstrap of the images.

    Raises
    ------
    NonFiniteError
        If an effect is NaN or infinite.
    DataError
        If an outcome needs labels that the loader does not give.
    Cancelled
        If the progress was cancelled.
    """
    began, found = time.perf_counter(), _Found(work, progress, check_seed(seed))
    n_units = sum(len(units) for units in work.units.values())
    with guarded(work.model, work.device) as guard:
        _look_first(found)
        n = count_images(work.loader, work.max_batches)
        progress.start(None if n is None else n * n_units, "effects")
        try:
            for batch in batches(
                work.loader, guard.device, work.max_batches, dtype=floating_type(work.model)
            ):
                check_range(batch.labels, batch.index, work.graph.output.units)
                for first in range(0, len(batch.images), work.images):
                    _part(found, _cut_out(batch, first, first + work.images))
        finally:
            progress.finish()
    assert found.before is not None  # a loader without images is refused
    return Effects(
        work.graph, _UnitsAlone.of(work), found.evidence, found.before, work.outcomes,
        int(found.sizes.n), time.perf_counter() - began, found.ran, seed, scale=float(found.sizes.mean),
    )  # fmt: skip


def _look_first(found: _Found) -> None:
    """Take the units' means, or other images' maps, where the action needs them."""
    work, layers = found.work, list(found.work.units)
    common = (work.model, work.graph, work.loader, work.site, layers)
    if work.action.needs_means:
        found.means = means(*common)
    if isinstance(work.action, Resample):
        found.donors = donors(*common)


def _cut_out(batch: Batch, first: int, end: int) -> Batch:
    labels = None if batch.labels is None else batch.labels[first:end]
    return Batch(batch.images[first:end], labels, batch.index, batch.first + first)


def _part(found: _Found, part: Batch) -> None:
    work, counted = found.work, False
    for group in work.groups:
        assert work.cut is not None
        places = [work.place(layer) for layer in group]
        with work.cut.run(part.images, places, channels_last=work.channels_last) as state:
            counted = counted or _count_before(found, state, part)
            for layer in group:
                _layer(found, state, layer, part)
    grouped = {layer for group in work.groups for layer in group}
    for layer in (name for name in work.units if name not in grouped):
        assert work.whole is not None
        with work.whole.run(part.images, [work.place(layer)]) as whole:
            counted = counted or _count_before(found, whole, part)
            _layer(found, whole, layer, part)


def _count_before(found: _Found, state: State, part: Batch) -> bool:
    measured = [one.values(state.logits, part.labels) for one in found.work.outcomes]
    batch = EffectMoments.of(_numbers(torch.cat(measured, 1), part))
    found.before = batch if found.before is None else found.before.merge(batch)
    found.sizes = found.sizes.update(_numbers(logit_sizes(state.logits, part.labels), part))
    return True


def _layer(found: _Found, state: State, layer: str, part: Batch) -> None:
    work, units = found.work, found.work.units[layer]
    index = part.first + torch.arange(len(part.images), device=part.images.device)
    pace, effects = Pace([work.items[layer]]), []
    changed: dict[int, NDArray[np.bool_]] = {}

    def value_of(unit: int, maps: Tensor) -> Tensor:
        after = act(unit, maps)
        changed[unit] = (after != maps).reshape(len(maps), -1).any(1).cpu().numpy()
        return after

    act = found.value_of(layer, index)
    for block in single_effects(state, *work.place(layer), units, value_of, pace=pace):
        effects.append(_effects(work.outcomes, block, state.logits, part))
        found.ran += block.items
        found.progress.advance(len(block.units) * state.n, layer)
    values = np.concatenate(effects, axis=1)
    before = found.evidence.get(layer) or ExactEvidence.empty(*values.shape[1:])
    alive = np.stack([changed[unit] for unit in units], axis=1)
    found.evidence[layer] = before.update(values, alive, index.cpu().numpy(), found.seed)


def _effects(
    outcomes: tuple[Outcome, ...], block: Block, base: Tensor, part: Batch
) -> Float64[np.ndarray, "image unit column"]:
    """Outcomes under do() minus those without, paired by image."""
    units, n, _ = block.logits.shape
    flat, before = block.logits.flatten(0, 1), base.repeat(units, 1)
    labels = None if part.labels is None else part.labels.repeat(units)
    columns = torch.cat([one.effects(flat, before, labels) for one in outcomes], 1)
    return _numbers(columns.reshape(units, n, -1).movedim(0, 1), part)


def _numbers(values: Tensor, part: Batch) -> Float64[np.ndarray, "..."]:
    numbers = np.asarray(values.detach().cpu().numpy(), dtype=np.float64)
    if not np.isfinite(numbers).all():
        bad = int(np.flatnonzero(~np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1))[0])
        raise NonFiniteError(
            f"an outcome of image {part.first + bad}, in batch {part.index}, is NaN or infinite"
        )
    return numbers
