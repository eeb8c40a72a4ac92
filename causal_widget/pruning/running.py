"""Measure a pruning curve: every share of every rule on the same images, in one pass over the loader."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import nn

from causal_widget.effects import Evaluation, for_each_setting
from causal_widget.errors import ArgumentError, DataError
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Intervention
from causal_widget.jobs import Progress
from causal_widget.pruning.choose import Order, check_percent, count, lowest, prunable, random_order, ranking
from causal_widget.pruning.curve import PruningCurve

__all__ = ["pruning_curve"]

Importance = Mapping[str, Float64[np.ndarray, " unit"]]


def pruning_curve(
    model: nn.Module,
    graph: FilterGraph,
    loader: Iterable[Any],
    percents: Sequence[float],
    importances: Mapping[str, Importance],
    *,
    repeats: int = 10,
    seed: int = 0,
    device: torch.device | None = None,
    max_batches: int | None = None,
    progress: Progress | None = None,
) -> PruningCurve:
    """Silence the least important filters of every convolution and measure the accuracy that is left.

    Of each layer ``int(units * percent / 100)`` filters go, those with the lowest importance, equals by
    index; layers whose filters are the classes stay whole, and only 100 percent empties a layer. A filter is
    silenced by do(activation = 0), which takes BatchNorm's shift with it. Every batch goes through the
    network once for each different choice of filters, so all points of the curve are of the same images.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network, which is not changed, and its graph.
    loader : iterable
        Batches of images with labels.
    percents : sequence of float
        In 0..100.
    importances : mapping of rule to {layer: array (unit,)}
        An empty mapping of layers stands for random choice, drawn `repeats` times.
    repeats, seed : int
        Number of random draws, and their seed. One draw's choices are nested: what goes at 10 percent goes at
        20.
    device, max_batches, progress
        Where to run, when to stop, whom to tell. The progress counts images times choices.

    Raises
    ------
    ArgumentError
        If a percentage is outside 0..100, there is no percentage or rule, or importances are missing.
    DataError
        If the loader gives no labels.
    """
    shares = _shares(percents)
    orders = _orders(graph, importances, repeats, seed)
    choices = {
        rule: [[_silenced(graph, lowest(order, share)) for share in shares] for order in draws]
        for rule, draws in orders.items()
    }
    every = (choice for draws in choices.values() for draw in draws for choice in draw)
    distinct = list(dict.fromkeys([Intervention({}), *every]))
    tally = _Tally(len(distinct))
    began = time.perf_counter()
    for_each_setting(
        model, graph, distinct, loader, tally.add, device=device, max_batches=max_batches, progress=progress
    )  # fmt: skip
    where = {choice: position for position, choice in enumerate(distinct)}
    positions = {
        rule: np.array([[where[choice] for choice in draw] for draw in draws])
        for rule, draws in choices.items()
    }
    sizes = prunable(graph)
    return PruningCurve(
        percents=shares,
        removed=tuple(sum(count(filters, share) for filters in sizes.values()) for share in shares),
        accuracy={rule: tally.accuracy[at] for rule, at in positions.items()},
        loss={rule: tally.loss[at] for rule, at in positions.items()},
        baseline=float(tally.accuracy[0]),
        baseline_loss=float(tally.loss[0]),
        n=tally.n,
        n_filters=sum(sizes.values()),
        seconds=time.perf_counter() - began,
    )


def _shares(percents: Sequence[float]) -> tuple[float, ...]:
    if isinstance(percents, str) or not isinstance(percents, Iterable):
        raise ArgumentError(f"percents must be several numbers in 0..100, got {percents!r:.80}")
    shares = tuple(check_percent(percent) for percent in percents)
    if not shares:
        raise ArgumentError("percents is empty; expected at least one percentage in 0..100")
    return shares


def _orders(
    graph: FilterGraph, importances: Mapping[str, Importance], repeats: int, seed: int
) -> dict[str, list[Order]]:
    if not importances:
        raise ArgumentError("there is no rule; expected at least one")
    if not isinstance(repeats, Integral) or repeats < 1:
        raise ArgumentError(f"repeats must be a whole number from 1, got {repeats!r:.80}")
    return {
        rule: [ranking(graph, given)]
        if given
        else [random_order(graph, seed, draw) for draw in range(repeats)]
        for rule, given in importances.items()
    }


def _silenced(graph: FilterGraph, filters: Mapping[str, tuple[int, ...]]) -> Intervention:
    """Set the filters to zero at every call of their module."""
    return Intervention({layer.name: filters.get(layer.module, ()) for layer in graph.hidden_conv_layers})


class _Tally:
    """Right answers and summed loss of each choice: memory does not grow with the images."""

    def __init__(self, choices: int) -> None:
        self._right: Int64[np.ndarray, " choice"] = np.zeros(choices, dtype=np.int64)
        self._lost: Float64[np.ndarray, " choice"] = np.zeros(choices)
        self.n = 0

    def add(
        self,
        position: int,
        logits: Float64[np.ndarray, "image class"],
        labels: Int64[np.ndarray, " image"] | None,
    ) -> None:
        if labels is None:
            raise DataError("a pruning curve needs labels; the loader gives images alone")
        batch = Evaluation(logits, labels, ())
        if batch.correct is not None and batch.losses is not None:
            self._right[position] += int(batch.correct.sum())
            self._lost[position] += float(batch.losses.sum())
        if position == 0:
            self.n += len(labels)

    @property
    def accuracy(self) -> Float64[np.ndarray, " choice"]:
        return np.asarray(self._right / self.n)

    @property
    def loss(self) -> Float64[np.ndarray, " choice"]:
        return np.asarray(self._lost / self.n)
