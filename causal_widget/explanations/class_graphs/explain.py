"""Explain one class, or many: the public entry."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.effects.cutting import BUDGET
from causal_widget.effects.statistics import minimum_effect
from causal_widget.errors import ArgumentError
from causal_widget.explanations.class_graphs.class_graph import ClassGraph
from causal_widget.explanations.class_graphs.class_graphs import ClassGraphs
from causal_widget.explanations.class_graphs.class_images import (
    ClassImages,
    check_class,
    images_of_classes,
    left_out,
)
from causal_widget.explanations.class_graphs.finding import Seen, found_layers
from causal_widget.explanations.class_graphs.measuring import Measured, Network
from causal_widget.explanations.class_graphs.settings import Settings
from causal_widget.explanations.class_graphs.walk import first_targets
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare, guarded
from causal_widget.jobs import Progress
from causal_widget.responses import first_images

__all__ = ["explain_class", "explain_classes"]


def explain_class(
    model: nn.Module,
    images: Iterable[Any],
    target: int | str,
    *,
    alpha: float = 0.05,
    mode: str = "sound",
    seed: int = 0,
    graph: FilterGraph | None = None,
    b: float | None = None,
    min_effect: float | str = "1%",
    level: float = 0.95,
    wrong: str = "use",
    least: int = 30,
    max_images: int | None = None,
    class_names: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
    seen: Seen | None = None,
) -> ClassGraph:
    """Find the units that make a network say a class, and those that keep it from saying so.

    Algorithm 1 of Ahmad et al. (2023), from the class backwards: of each unit the weights to the target
    children are scaled together, what this does to the class's output is measured on every image and tested;
    the critical units are the targets for the layers before.

    Parameters
    ----------
    model : nn.Module
        The network; it is not changed.
    images : Tensor, pair (images, labels), or loader
        Images of the class; of images with labels those of the class are taken.
    target : int or str
        The class, by its number, or by its name in `class_names`.
    alpha : float
        "paper": threshold of each test. "sound": rate of false discoveries.
    mode : {"sound", "paper"}
        "paper": z-tests on all images, as written. "sound": paired t-tests against a least effect, found on
        one half of the images and confirmed on the other, the rate of false discoveries controlled over the
        whole graph.
    seed : int
        Of the halves and the drawn betas.
    graph : FilterGraph, optional
        The network's graph; None: it is traced on the first image.
    b : float, optional
        Weights are multiplied by a beta drawn from U(b - 0.01, b + 0.01). None: by 0.
    min_effect : number or str
        "sound": least effect that matters, in units of the class's output, or a share of its mean size.
    level : float
        Of the intervals, each for its unit alone.
    wrong : {"use", "leave out"}
        What becomes of images that the network gets wrong.
    least : int
        Fewer images, in "sound" in each half, give no verdict.
    max_images : int, optional
        Use so many images at most, the first.
    class_names : sequence of str, optional
        Names of the classes.
    device : str or torch.device, optional
        Where to run; None: where the model is.
    budget : int
        Bytes for what is kept, and again for what runs.
    progress : Progress, optional
        Counts pairs of unit and image; may cancel.
    seen : callable (LayerUnits), optional
        Told of each layer as it is found, from the class backwards.

    Returns
    -------
    ClassGraph
        With too few images it is empty, its units undecided, with the number that would do.

    Raises
    ------
    DataError
        If there is no image of the class, or the network gets all wrong and they are to be left out.
    UnknownNameError
        If the class, the mode or the rule for wrong images does not exist.
    ArgumentError
        If a setting is outside its range, such as b outside 0 to 1.
    UnsupportedModelError
        If an image's answer depends on the images beside it, or a path leads into a layer that computes in a
        way of its own.
    """
    settings = Settings(mode, alpha, level, b, min_effect, wrong, least, seed)
    found = _explained(
        model, images, [target], settings, graph, max_images, class_names, device, budget, progress, seen
    )
    (one,) = found.values()
    return one


def explain_classes(
    model: nn.Module,
    images: Iterable[Any],
    targets: Iterable[int | str] | None = None,
    *,
    alpha: float = 0.05,
    mode: str = "sound",
    seed: int = 0,
    graph: FilterGraph | None = None,
    b: float | None = None,
    min_effect: float | str = "1%",
    level: float = 0.95,
    wrong: str = "use",
    least: int = 30,
    max_images: int | None = None,
    class_names: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
    seen: Seen | None = None,
) -> ClassGraphs:
    """Find the graphs of several classes: the images are read and the network is cut once for all.

    Parameters
    ----------
    model, images
        As for `explain_class`; the images have labels.
    targets : iterable of int or str, optional
        Which classes; None: all.
    alpha, mode, seed, graph, b, min_effect, level, wrong, least, max_images, class_names, device, budget,
    progress, seen
        As for `explain_class`; `max_images` is for each class.

    Raises
    ------
    DataError, UnknownNameError, ArgumentError, UnsupportedModelError
        As for `explain_class`.
    """
    settings = Settings(mode, alpha, level, b, min_effect, wrong, least, seed)
    asked = None if targets is None else list(targets)
    found = _explained(
        model, images, asked, settings, graph, max_images, class_names, device, budget, progress, seen
    )
    return ClassGraphs(found)


@dataclass(frozen=True, eq=False)
class _Work:
    """What the graphs of all classes share."""

    model: nn.Module
    network: Network
    settings: Settings
    names: Sequence[str] | None
    progress: Progress
    seen: Seen


def _explained(
    model: nn.Module,
    images: Iterable[Any],
    asked: Sequence[int | str] | None,
    settings: Settings,
    graph: FilterGraph | None,
    most: int | None,
    names: Sequence[str] | None,
    device: str | torch.device | None,
    budget: int,
    progress: Progress | None,
    seen: Seen | None,
) -> dict[int, ClassGraph]:
    network, told = bare(model), progress or Progress()
    with guarded(network, resolve_device(device, network)) as guard:
        if graph is None:
            graph = trace(network, first_images(images)[:1].to(guard.device))
        targets = _targets(asked, graph.output.units, names)
        given = images_of_classes(network, images, targets, graph.output.units, guard.device, most)
        work = _Work(
            network, Network.of(network, graph, budget), settings, names, told, seen or (lambda _: None)
        )
        units = sum(layer.units for layer in graph.layers if not layer.is_output)
        told.start(units * sum(one.n for one in given.values()), "pairs of unit and image", "class graphs")
        try:
            return {k: _one(work, k, given[k]) for k in targets}
        finally:
            told.finish()


def _targets(asked: Sequence[int | str] | None, classes: int, names: Sequence[str] | None) -> list[int]:
    if names is not None and len(names) != classes:
        raise ArgumentError(f"class_names must be {classes} names, one a class, got {len(names)}")
    found = [check_class(k, classes, names) for k in (range(classes) if asked is None else asked)]
    if not found or len(set(found)) < len(found):
        raise ArgumentError(f"classes must be one or more, each once, got {asked!r:.80}")
    return found


def _one(work: _Work, target: int, given: ClassImages) -> ClassGraph:
    began, settings, network = time.perf_counter(), work.settings, work.network
    kept, logits, n_wrong = left_out(given, network.logits(given.images), target, settings.wrong)
    measured = Measured(network, kept.images, kept.index, target)
    own = logits[:, target]
    least = 0.0
    if settings.mode == "sound":
        least = float(minimum_effect(settings.min_effect, float(np.abs(own).mean())))
    layers = found_layers(measured, settings, least, work.progress, work.seen)
    name = str(target) if work.names is None else str(work.names[target])
    return ClassGraph(
        target, name, settings.mode, settings.alpha, settings.level, settings.b, settings.seed, layers,
        first_targets(measured), least, float(own.mean()), kept.n, n_wrong, settings.choices,
        network.graph.model_name, time.perf_counter() - began, tuple(network.graph.example_shape),
        work.model,
    )  # fmt: skip
