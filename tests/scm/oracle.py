"""Slow and plain answers: raw tables of responses, one regression after another."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from causal_widget.graph import FilterGraph, trace
from causal_widget.responses import Arm, Collection, Moments, layout_of
from tests.responses.networks import images, residual

Table = dict[str, np.ndarray]


def residual_graph() -> FilterGraph:
    """Stem, branch, left, depthwise, grouped, head: dense, one-to-one and blocks wirings."""
    return trace(residual(), images(1))


def chain_graph(width: int = 6) -> FilterGraph:
    """A chain of three dense layers."""
    model = nn.Sequential(
        nn.Conv2d(3, width, 1),
        nn.ReLU(),
        nn.Conv2d(width, width, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width, 3),
    )
    return trace(model, torch.zeros(1, 3, 1, 1))


def drawn(
    graph: FilterGraph, n: int, seed: int = 0, noise: float = 0.3
) -> tuple[Table, dict[str, np.ndarray]]:
    """Responses of a linear SCM with known coefficients; means far from zero, scales unequal."""
    rng = np.random.default_rng(seed)
    coefficients, table = {}, {}
    for layer in graph.layers:
        parents = graph.parents(layer.name)
        table[layer.name] = rng.normal(size=(n, layer.units)) * noise + rng.normal(size=layer.units) * 3
        if not parents:
            table[layer.name] = rng.normal(size=(n, layer.units)) * rng.uniform(0.1, 10, layer.units) + 5
            continue
        whole = [rng.normal(size=(layer.units, len(w.mask()[0]))) * w.mask() for w in parents]
        coefficients[layer.name] = np.concatenate(whole, axis=1)
        table[layer.name] += (
            np.concatenate([table[w.source] for w in parents], axis=1) @ coefficients[layer.name].T
        )
    return table, coefficients


def collected(graph: FilterGraph, train: Table, heldout: Table | None = None, chunk: int = 50) -> Collection:
    """What `collect` would have left of these responses."""
    return Collection(
        graph=graph,
        transform="frobenius",
        site="activation",
        observational=Arm(
            (moments_of(graph, train, chunk),),
            None if heldout is None else moments_of(graph, heldout, chunk),
        ),
        n_images=len(next(iter(train.values()))),
        accuracy=None,
        loss=None,
        class_counts=None,
        complete=True,
        seconds=0.0,
    )


def moments_of(graph: FilterGraph, table: Table, chunk: int) -> Moments:
    moments = Moments(layout_of(graph))
    for first in range(0, len(next(iter(table.values()))), chunk):
        moments.update({name: rows[first : first + chunk] for name, rows in table.items()})
    return moments


def parents_table(graph: FilterGraph, table: Table, layer: str) -> np.ndarray:
    return np.concatenate([table[wiring.source] for wiring in graph.parents(layer)], axis=1)


def mask_of(graph: FilterGraph, layer: str) -> np.ndarray:
    return np.concatenate([wiring.mask() for wiring in graph.parents(layer)], axis=1)


def cut(table: Table, rows: slice) -> Table:
    return {name: part[rows] for name, part in table.items()}
