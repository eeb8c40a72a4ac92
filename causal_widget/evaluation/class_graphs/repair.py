"""Repair a class: a copy of the network that blocks the paths which hurt it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causal_widget.devices import resolve_device
from causal_widget.effects.cutting import BUDGET
from causal_widget.effects.statistics import split_images
from causal_widget.effects.statistics.checks import check_share
from causal_widget.errors import ArgumentError, DataError, UnknownNameError, check_seed
from causal_widget.evaluation.class_graphs.chosen import (
    blocking,
    check_fraction,
    check_fractions,
    count,
    harmful,
)
from causal_widget.evaluation.class_graphs.predicting import Labelled, labelled
from causal_widget.evaluation.class_graphs.repair_result import AIMS, RepairCurve
from causal_widget.evaluation.class_graphs.repaired import Repaired
from causal_widget.evaluation.class_graphs.repairing import SHARES, curve_of
from causal_widget.explanations.class_graphs import ClassGraph
from causal_widget.explanations.class_graphs.measuring import Network
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.jobs import Progress
from causal_widget.responses import first_images

__all__ = ["repair"]


def repair(
    model: nn.Module,
    graph: ClassGraph,
    images: Iterable[Any] | None = None,
    *,
    share: float | None = None,
    shares: Sequence[float] = SHARES,
    aim: str = "balanced",
    seed: int = 0,
    level: float = 0.95,
    filter_graph: FilterGraph | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
) -> Repaired:
    """Give a copy of a network that blocks a share of the paths which hurt a class.

    The application of Ahmad et al. (2023, section 6, "Repairing model accuracy"): the paths of the
    detrimental units to the targets through which they were found, the most harmful first.

    Parameters
    ----------
    model : nn.Module
        The network; it is not changed.
    graph : ClassGraph
        Of the class to repair.
    images : pair (images, labels) or loader, optional
        With labels, others than the graph was found on. With a share they say what it does; without one, the
        share is chosen on one half of them, drawn by the seed, and what it does is measured on the other.
    share : float, optional
        In 0..1; any above 0 is one unit at least. None: the best of `shares`; that may be 0.
    shares, aim
        What is tried, and for what: "balanced", the mean of the accuracies on the class and on all others, or
        "class", that on the class alone.
    seed, level
        Of the halves; of the intervals.
    filter_graph : FilterGraph, optional
        The network's graph; None: it is traced on the first image, without images on a black one of the size
        that the class's graph was found with.
    device, budget, progress
        Where the network runs on the images, bytes for that, whom to tell.

    Returns
    -------
    Repaired
        A module that says what is blocked, with accuracies before and after.

    Raises
    ------
    ArgumentError
        If the class has no detrimental units, a share is outside 0..1, or there are neither images nor a
        share.
    UnknownNameError
        If the aim is none.
    DataError
        If images have no labels, or none is of the class.
    """
    began, network = time.perf_counter(), bare(model)
    units = harmful(graph)
    if not units:
        raise ArgumentError(
            f'no detrimental unit was found of class {graph.target} ("{graph.name}"): '
            "there is nothing to block"
        )
    fixed = None if share is None else check_fraction(share)
    tried = check_fractions(shares) if fixed is None else (fixed,)
    _check(fixed, images, aim)
    check_share(level, "level")
    check_seed(seed)
    with guarded(network, resolve_device(device, network)) as guard:
        filters = filter_graph or trace(network, _example(network, graph, images).to(guard.device))
        curve, check = None, None
        if images is not None:
            work = _Images(
                Network.of(network, filters, budget), graph, level, seed, began, progress or Progress()
            )
            given = labelled(network, images, filters.output.units, guard.device)
            curve, check, fixed = work.measured(given, tried, fixed, aim)
    assert fixed is not None
    blocked = units[: count(len(units), fixed)]
    edits = blocking(graph, filters, fixed)
    return Repaired(network, filters, edits, graph.target, fixed, blocked, curve, check)


def _check(share: float | None, images: object, aim: str) -> None:
    if aim not in AIMS:
        raise UnknownNameError(f'aim "{aim}" is not known; expected one of {", ".join(AIMS)}.')
    if share is None and images is None:
        raise ArgumentError("give the share of paths to block, or images with labels to choose it on")


def _example(model: nn.Module, graph: ClassGraph, images: Iterable[Any] | None) -> Tensor:
    if images is not None:
        return first_images(images)[:1]
    return torch.zeros(1, *graph.example_shape, dtype=floating_type(model))


@dataclass(frozen=True, eq=False)
class _Images:
    """Measures a repair on images.

    Attributes
    ----------
    network, graph, level, seed, told
        As for `repair`.
    began : float
        When it began.
    """

    network: Network
    graph: ClassGraph
    level: float
    seed: int
    began: float
    told: Progress

    def measured(
        self, given: Labelled, shares: Sequence[float], share: float | None, aim: str
    ) -> tuple[RepairCurve | None, RepairCurve, float]:
        """Give what the share was chosen by, what comes of it on other images, and the share."""
        k = self.graph.target
        if share is not None:
            return None, self._curve(given, shares, "those given"), share
        own = np.flatnonzero(given.labels == k)
        rest = np.flatnonzero(given.labels != k)
        if len(own) < 2:
            raise DataError(
                f"choosing the share takes images of class {k} in both halves, and there are {len(own)}"
            )
        halves = [split_images(len(some), seed=self.seed) if len(some) > 1 else None for some in (own, rest)]
        pairs = [(some, half) for some, half in zip((own, rest), halves, strict=True) if half is not None]
        first, second = (np.sort(np.concatenate([some[half[k]] for some, half in pairs])) for k in (0, 1))
        curve = self._curve(given.take(first), shares, "one half of those given, which chose the share")
        best = curve.best(k, aim)
        held = "one half of those given, the share chosen on the other"
        return curve, self._curve(given.take(second), (best,), held), best

    def _curve(self, given: Labelled, shares: Sequence[float], held: str) -> RepairCurve:
        graphs = {self.graph.target: self.graph}
        return curve_of(
            self.network, graphs, given, shares, self.level, held, self.seed, self.began, self.told
        )
