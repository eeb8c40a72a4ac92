"""What finding a class's graph takes, foreseen from finding it on very few images."""

from __future__ import annotations

import time

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.explanations.class_graphs.explain import explain_class
from causal_widget.graph import FilterGraph
from causal_widget.jobs import Progress

__all__ = ["expected_seconds"]

_FEW, _MORE = 2, 8
_SURE = 0.99  # at this threshold no unit is neutral: every layer is walked, whatever few images say


def expected_seconds(
    model: nn.Module,
    images: Float[Tensor, "image channel height width"],
    target: int,
    graph: FilterGraph,
    *,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> float | None:
    """Foresee how long `explain_class` takes on some images of a class, at most.

    The graph is found on 2 and on 8 of them; what 6 images more take, so many times, is added to what the
    first take. Every unit is asked on every image then; "sound" asks on half of the images only those that
    the other half found, and so takes less.

    Parameters
    ----------
    model, graph, device, progress
        As for `explain_class`.
    images : Tensor, shape (image, channel, height, width)
        All images that the graph will be found on.
    target : int
        The class.

    Returns
    -------
    float or None
        Seconds; None where there are too few images to tell.
    """
    if len(images) < _MORE:
        return None
    took = []
    for n in (_FEW, _FEW, _MORE):  # what runs first also pays for what is set up once
        began = time.perf_counter()
        explain_class(
            model, images[:n], target, mode="paper", alpha=_SURE, least=2, graph=graph, device=device,
            progress=progress,
        )  # fmt: skip
        took.append(time.perf_counter() - began)
    slope = max(0.0, took[2] - took[1]) / (_MORE - _FEW)
    return took[1] + slope * (len(images) - _FEW)
