"""Evaluate a network, and the effect of an intervention on it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from causal_widget.effects.effect import Effect
from causal_widget.effects.forward import Labels, Logits, for_each_setting
from causal_widget.errors import ArgumentError, DataError
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Intervention
from causal_widget.jobs import Progress
from causal_widget.responses.evaluation import Evaluation

__all__ = ["effect_of", "evaluate"]


def evaluate(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    class_names: Sequence[str] | None = None,
    device: torch.device | None = None,
    max_batches: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run the model over a loader and keep its logits.

    Parameters
    ----------
    model : nn.Module
        A classifier whose output is (image, class); the model's mode and everything else of it stay as they
        are.
    loader : iterable
        Batches ``(images, labels)``, ``(images, labels, ...)``, ``{"image": ..., "label": ...}`` or images
        alone.
    class_names : sequence of str, optional
        One name a class; otherwise "0", "1", ...
    device : torch.device, optional
        Where to run. None: where the model is.
    max_batches : int, optional
        Stop after so many batches.
    progress : Progress, optional
        Told of every batch; may cancel.

    Raises
    ------
    UnsupportedModelError
        If the output is not a tensor (image, class).
    DataError
        If the loader is empty, images or labels are not what was expected, a label is no class.
    NonFiniteError
        If images or logits are NaN or infinite.
    """
    kept = _Kept(1)
    for_each_setting(
        model, None, [None], loader, kept.add, device=device, max_batches=max_batches, progress=progress
    )  # fmt: skip
    return kept.evaluation(0, class_names)


def effect_of(
    model: nn.Module,
    graph: FilterGraph,
    intervention: Intervention,
    loader: Iterable[Any],
    progress: Progress | None = None,
    baseline: Evaluation | None = None,
    *,
    class_names: Sequence[str] | None = None,
    device: torch.device | None = None,
    max_batches: int | None = None,
) -> Effect:
    """Measure what an intervention does to the network's answers, image by image.

    Each batch goes through the network twice, without and under do(), so that the pairing holds for loaders
    that shuffle or augment. With `baseline` only the second pass is made; the loader must then give the same
    images in the same order.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network and its graph.
    intervention : Intervention
        What is set, to what, and where.
    loader : iterable
        As for `evaluate`.
    progress : Progress, optional
        Told of every batch; may cancel.
    baseline : Evaluation, optional
        The network without the intervention on the same images.
    class_names, device, max_batches
        As for `evaluate`.

    Raises
    ------
    UnknownNameError
        If a layer or unit does not exist.
    ArgumentError
        If the intervention is on the output.
    UnsupportedModelError, DataError, NonFiniteError
        As for `evaluate`; DataError also if the baseline is of other images.
    """
    checked = intervention.checked(graph)
    settings = [None, checked] if baseline is None else [checked]
    kept = _Kept(len(settings))
    for_each_setting(
        model, graph, settings, loader, kept.add, device=device, max_batches=max_batches, progress=progress
    )  # fmt: skip
    if baseline is None:
        return Effect(checked, kept.evaluation(0, class_names), kept.evaluation(1, class_names))
    return Effect(checked, baseline, kept.evaluation(0, class_names or baseline.class_names))


class _Kept:
    """Logits and labels of every batch, for each setting."""

    def __init__(self, settings: int) -> None:
        self._logits: list[list[Logits]] = [[] for _ in range(settings)]
        self._labels: list[Labels | None] = []
        self._began = time.perf_counter()

    def add(self, position: int, logits: Logits, labels: Labels | None) -> None:
        if position == 0:
            self._labels.append(labels)
        self._logits[position].append(logits)

    def evaluation(self, position: int, class_names: Sequence[str] | None) -> Evaluation:
        logits = np.concatenate(self._logits[position])
        names = tuple(map(str, range(logits.shape[1]) if class_names is None else class_names))
        if len(names) != logits.shape[1]:
            raise ArgumentError(
                f"there are {len(names)} class names for the {logits.shape[1]} classes of the network"
            )
        return Evaluation(logits, self._all_labels(), names, time.perf_counter() - self._began)

    def _all_labels(self) -> Labels | None:
        known = [labels for labels in self._labels if labels is not None]
        if not known:
            return None
        if len(known) < len(self._labels):
            raise DataError(
                f"only {len(known)} of {len(self._labels)} batches have labels; expected all or none"
            )
        return np.concatenate(known)
