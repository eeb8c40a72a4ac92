"""What silencing each unit alone does to the network itself: the plain, exact loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from causal_widget.effects.forward import Labels, Logits, for_each_setting
from causal_widget.errors import DataError, UnknownNameError, nearest
from causal_widget.evaluation.kinds import hidden_layers
from causal_widget.evaluation.truth import margins
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Intervention
from causal_widget.jobs import Progress
from causal_widget.responses import Evaluation

__all__ = ["MEASURES", "network_effects"]

MEASURES = ("loss", "margin", "accuracy")


def network_effects(
    model: nn.Module,
    graph: FilterGraph,
    layers: str | Sequence[str] | None,
    loader: Iterable[Any],
    by: str = "loss",
    *,
    site: str = "activation",
    device: torch.device | None = None,
    max_batches: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Float64[np.ndarray, " unit"]]:
    """Silence every unit alone and measure what it costs the network, to stand beside a ranking.

    One forward pass a unit and image. What is measured is `ranking`'s: how much the mean accuracy or margin
    falls, or the mean loss rises, over the same images; positive where the unit is needed.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network and its graph.
    layers : str, sequence of str or None
        Whose units; None for all layers but the output.
    loader : iterable
        As for `evaluate`, with labels.
    by : {"loss", "margin", "accuracy"}
        What is measured.
    site, device, max_batches, progress
        Where units are silenced, where to run, when to stop, whom to tell.

    Returns
    -------
    dict of layer to array (unit,)

    Raises
    ------
    UnknownNameError
        If a layer or measure does not exist.
    DataError
        If there are no labels.
    """
    if by not in MEASURES:
        raise UnknownNameError(
            f'measure "{by}" does not exist; expected one of {", ".join(MEASURES)}.'
            f"{nearest(str(by), MEASURES)}"
        )
    asked = [layers] if isinstance(layers, str) else layers
    chosen = hidden_layers(graph) if asked is None else [graph.layer(name) for name in asked]
    singles = [(layer.name, unit) for layer in chosen for unit in range(layer.units)]
    settings = [None, *(Intervention({name: [u]}, site=site).checked(graph) for name, u in singles)]
    sums, count = np.zeros(len(settings)), 0

    def add(position: int, logits: Logits, labels: Labels | None) -> None:
        nonlocal count
        if labels is None:
            raise DataError(f"the images have no labels; the {by} needs them")
        sums[position] += _total(logits, labels, by)
        count += len(labels) if position == 0 else 0

    for_each_setting(
        model, graph, settings, loader, add, device=device, max_batches=max_batches, progress=progress
    )  # fmt: skip
    sign = -1 if by == "loss" else 1
    drops = sign * (sums[0] - sums[1:]) / count
    ends = np.cumsum([layer.units for layer in chosen])[:-1]
    return {layer.name: part for layer, part in zip(chosen, np.split(drops, ends), strict=True)}


def _total(logits: Logits, labels: Labels, by: str) -> float:
    if by == "margin":
        return float(margins(logits, labels).sum())
    found = Evaluation(logits, labels, tuple(map(str, range(logits.shape[1]))))
    values = found.losses if by == "loss" else found.correct
    return 0.0 if values is None else float(values.sum())
