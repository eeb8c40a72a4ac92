"""Does a class's graph depend on how strongly its paths are intervened on? Many runs with drawn betas."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.effects.cutting import BUDGET
from causal_widget.effects.statistics import minimum_effect
from causal_widget.evaluation.class_graphs.betas import Strengths
from causal_widget.evaluation.class_graphs.reliability_plan import ReliabilityPlan
from causal_widget.evaluation.class_graphs.reliability_result import Reliability
from causal_widget.explanations.class_graphs.class_images import check_class, images_of_classes, left_out
from causal_widget.explanations.class_graphs.finding import found_layers
from causal_widget.explanations.class_graphs.measuring import Measured, Network
from causal_widget.explanations.class_graphs.settings import Settings
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare, guarded
from causal_widget.jobs import Progress
from causal_widget.responses import first_images

__all__ = ["plan_reliability", "reliability"]


def reliability(
    model: nn.Module,
    images: Iterable[Any],
    target: int | str,
    *,
    b: tuple[float, float] = (0.01, 0.5),
    runs: int = 1000,
    betas: int | None = 100,
    mode: str = "sound",
    alpha: float = 0.05,
    seed: int = 0,
    filter_graph: FilterGraph | None = None,
    min_effect: float | str = "1%",
    wrong: str = "use",
    least: int = 30,
    max_images: int | None = None,
    class_names: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
) -> Reliability:
    """Say how often each unit appears in a class's graph over runs with random betas.

    The experiment of Ahmad et al. (2023, section 5.1, figure 7): Algorithm 1 is run again and again on the
    same images, the weights multiplied by betas drawn from U(b - 0.01, b + 0.01), b rising over its range
    every ten runs. `plan_reliability` says beforehand what it costs.

    Every run's graph is what `explain_class` finds with that run's betas. What does not change from run to
    run is measured once: a unit's effect depends on its beta alone while its targets stay; its part of the
    targets' inputs is computed once for all betas, into which beta enters as a factor; and where the targets
    are the classes themselves, beta is a factor of the effect.

    Parameters
    ----------
    model, images, target
        As for `explain_class`.
    b : (low, high)
        Range of b, within 0 and 1.
    runs : int
        How many.
    betas : int, optional
        Size of the pool of different betas of each unit, of which the runs take theirs; None: every run draws
        its own.
    mode, alpha, seed, min_effect, wrong, least, max_images, class_names, device, budget
        As for `explain_class`; the seed is that of the betas too.
    filter_graph : FilterGraph, optional
        The network's graph; None: it is traced on the first image.
    progress : Progress, optional
        Counts pairs of unit and image, then runs; may cancel.

    Raises
    ------
    ArgumentError
        If b is no range within 0 and 1, or runs or betas are no whole numbers from 1.
    DataError, UnknownNameError, UnsupportedModelError
        As for `explain_class`.
    """
    plan = plan_reliability(
        model, images, target, b=b, runs=runs, betas=betas, mode=mode, alpha=alpha, seed=seed,
        filter_graph=filter_graph, min_effect=min_effect, wrong=wrong, least=least, max_images=max_images,
        class_names=class_names, device=device, budget=budget,
    )  # fmt: skip
    return plan.run(progress)


def plan_reliability(
    model: nn.Module,
    images: Iterable[Any],
    target: int | str,
    *,
    b: tuple[float, float] = (0.01, 0.5),
    runs: int = 1000,
    betas: int | None = 100,
    mode: str = "sound",
    alpha: float = 0.05,
    seed: int = 0,
    filter_graph: FilterGraph | None = None,
    min_effect: float | str = "1%",
    wrong: str = "use",
    least: int = 30,
    max_images: int | None = None,
    class_names: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
) -> ReliabilityPlan:
    """Say what `reliability` costs, after finding one graph at the middle of b's range.

    Parameters
    ----------
    model, images, target, b, runs, betas, mode, alpha, seed, filter_graph, min_effect, wrong, least,
    max_images, class_names, device, budget
        As for `reliability`.

    Raises
    ------
    ArgumentError, DataError, UnknownNameError, UnsupportedModelError
        As for `reliability`.
    """
    strengths = Strengths(b, runs, betas, seed)
    middle = (strengths.b[0] + strengths.b[1]) / 2
    settings = Settings(mode, alpha, 0.95, middle, min_effect, wrong, least, seed)
    network, where = bare(model), resolve_device(device, bare(model))
    with guarded(network, where) as guard:
        graph = filter_graph or trace(network, first_images(images)[:1].to(guard.device))
        k = check_class(target, graph.output.units, class_names)
        given = images_of_classes(network, images, [k], graph.output.units, guard.device, max_images)[k]
        cut = Network.of(network, graph, budget)
        kept, logits, _ = left_out(given, cut.logits(given.images), k, wrong)
        measured = Measured(cut, kept.images, kept.index, k)
        small = float(minimum_effect(min_effect, float(np.abs(logits[:, k]).mean())))
        began = time.perf_counter()
        layers = found_layers(
            measured, settings, small if mode == "sound" else 0.0, Progress(), lambda _: None
        )
        seconds = time.perf_counter() - began
    plan = ReliabilityPlan(
        network, where, measured, str(k) if class_names is None else str(class_names[k]), settings,
        small if mode == "sound" else 0.0, strengths, layers, 0.0,
    )  # fmt: skip
    return replace(plan, pace=seconds / max(plan.units * measured.n, 1))
