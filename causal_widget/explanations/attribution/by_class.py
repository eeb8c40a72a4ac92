"""Eq. (3) as an attribution method among others: images and classes in, one signed map an image out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from causal_widget.errors import ArgumentError
from causal_widget.explanations.attribution.attribute import attribute
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare

__all__ = ["class_attribution"]

Maps = Float64[np.ndarray, "image height width"]


def class_attribution(
    layer: str | int,
    by_class: Mapping[int, Any],
    *,
    absolute: bool = False,
    strongest: int | None = None,
    graph: FilterGraph | None = None,
) -> Callable[[nn.Module, Tensor, np.ndarray | Tensor, int], Maps]:
    """Give a method that explains each image by the critical units of its class.

    Parameters
    ----------
    layer : str or int
        Whose responses are aggregated (Ahmad et al. 2023, section 5.2: "the relevant nodes in a specific
        layer").
    by_class : mapping of class to units
        What `attribute` takes as units: a class's explanatory graph, numbers, or units with weights.
    absolute : bool
        Aggregate absolute responses (`Attribution.magnitude`) rather than signed ones.
    strongest, graph
        As for `attribute`.

    Returns
    -------
    callable (model, images, targets, seed) -> array (image, height, width)
        The aggregates, not normalised; nothing is random.
    """
    kept: dict[int, FilterGraph] = {} if graph is None else {0: graph}

    def causal(model: nn.Module, images: Tensor, targets: np.ndarray | Tensor, seed: int = 0) -> Maps:
        classes = torch.as_tensor(targets).cpu().numpy()
        traced = kept.setdefault(0, graph or trace(bare(model), images[:1]))
        maps = np.empty((len(images), *images.shape[-2:]))
        for target in np.unique(classes):
            if int(target) not in by_class:
                raise ArgumentError(
                    f"class {target} has no units to explain it by; known are {sorted(by_class)!r:.80}"
                )
            at = np.flatnonzero(classes == target)
            chosen = images[torch.as_tensor(at, device=images.device)]
            units = by_class[int(target)]
            found = attribute(model, chosen, layer, units, strongest=strongest, graph=traced)
            maps[at] = found.magnitude if absolute else found.aggregate
        return maps

    return causal
