"""What finding a class's graph takes, foreseen from beginning to find it."""

from __future__ import annotations

import threading
import time

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.errors import Cancelled
from causal_widget.explanations.class_graphs.explain import explain_class
from causal_widget.graph import FilterGraph
from causal_widget.jobs import Progress, Tick

__all__ = ["expected_seconds"]

_BUDGET = 1.5  # seconds


def expected_seconds(
    model: nn.Module,
    images: Float[Tensor, "image channel height width"],
    target: int,
    graph: FilterGraph,
    *,
    mode: str = "sound",
    device: str | torch.device | None = None,
    budget: float = _BUDGET,
) -> float | None:
    """Foresee how long `explain_class` takes.

    It is begun, and stopped after a while. A unit is taken to cost as many steps as there are layers from it
    to the class, since so much of the network runs again; in the sound mode the second half of the images is
    taken to cost as much as the first, though only what was found is asked there.

    Parameters
    ----------
    model, target, graph, mode, device
        As for `explain_class`.
    images : Tensor, shape (image, channel, height, width)
        All images that the graph will be found on.
    budget : float
        Seconds after which it is stopped.

    Returns
    -------
    float or None
        Seconds; None where nothing was done within the budget.
    """
    began, cancel, done = time.perf_counter(), threading.Event(), 0
    asking: float | None = None

    def heard(tick: Tick) -> None:
        nonlocal asking, done
        asking = time.perf_counter() if asking is None else asking  # until then the network was set up
        done = tick.done
        if time.perf_counter() - asking > budget:
            cancel.set()

    try:
        explain_class(
            model,
            images,
            target,
            mode=mode,
            graph=graph,
            device=device,
            progress=Progress(heard, cancel, 0.0),
        )
    except Cancelled:
        share = _share(graph, done, len(images) // 2 if mode == "sound" else len(images))
        if not share or asking is None:
            return None
        return asking - began + (time.perf_counter() - asking) / share * (2 if mode == "sound" else 1)
    return time.perf_counter() - began


def _share(graph: FilterGraph, done: int, images: int) -> float:
    """Give the share of the work that so many pairs of unit and image are, from the last layer on."""
    total, finished, left = 0, 0, done
    for steps, layer in enumerate(reversed([one for one in graph.layers if not one.is_output]), start=1):
        pairs = layer.units * images
        total += pairs * steps
        finished += min(pairs, left) * steps
        left = max(0, left - pairs)
    return min(1.0, finished / total) if total else 0.0
