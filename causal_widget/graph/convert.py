"""The filter graph as a networkx graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import networkx as nx
import numpy as np
from jaxtyping import Float, Int

from causal_widget.errors import ArgumentError
from causal_widget.graph.layer import Layer
from causal_widget.graph.wiring import Wiring

Strength = Callable[[str, str], Float[np.ndarray, "target_unit source_unit"]]
Edges = tuple[Wiring, Int[np.ndarray, "edge 2"], Float[np.ndarray, " edge"]]


def layer_digraph(layers: Iterable[Layer], wirings: Iterable[Wiring], kept: Collection[str]) -> nx.DiGraph:
    """Make one node a layer, one edge a wiring."""
    graph = nx.DiGraph()
    for layer in layers:
        if layer.name in kept:
            graph.add_node(layer.name, kind=layer.kind, units=layer.units, is_output=layer.is_output)
    for w in wirings:
        if w.source in kept and w.target in kept:
            graph.add_edge(w.source, w.target, kind=w.kind, n_edges=w.n_edges)
    return graph


def unit_digraph(layers: Iterable[Layer], wirings: Sequence[Wiring], limit: int) -> nx.DiGraph:
    """Make one node a unit, one edge a parent and its child.

    Raises
    ------
    ArgumentError
        If there would be more than `limit` edges.
    """
    edges = sum(w.n_edges for w in wirings)
    if edges > limit:
        raise ArgumentError(
            f"the unit-level graph has {edges} edges, more than limit={limit}; take the strongest with "
            "top_k=... and strength=..., choose some layers with layers=[...], or raise the limit"
        )
    graph = _units(layers)
    for w in wirings:
        for target, source in np.argwhere(w.mask()):
            graph.add_edge((w.source, int(source)), (w.target, int(target)))
    return graph


def strongest_digraph(
    layers: Iterable[Layer], wirings: Sequence[Wiring], top_k: int, strength: Strength
) -> nx.DiGraph:
    """Make one node a unit, and only the strongest edges, with their ``strength``.

    At most one wiring's matrix and `top_k` edges are held at a time.
    """
    best: list[Edges] = []
    for w in wirings:
        values = np.where(w.mask(), np.abs(strength(w.source, w.target)), 0.0)
        best = _strongest([*best, _all_edges(w, values)], top_k)
    graph = _units(layers)
    for w, ends, values in best:
        for (target, source), value in zip(ends.tolist(), values.tolist(), strict=True):
            graph.add_edge((w.source, source), (w.target, target), strength=value)
    return graph


def _units(layers: Iterable[Layer]) -> nx.DiGraph:
    graph = nx.DiGraph()
    for layer in layers:
        graph.add_nodes_from(((layer.name, u) for u in range(layer.units)), layer=layer.name)
    return graph


def _all_edges(w: Wiring, values: Float[np.ndarray, "target_unit source_unit"]) -> Edges:
    ends = np.argwhere(values > 0)
    return w, ends, values[ends[:, 0], ends[:, 1]]


def _strongest(edges: list[Edges], top_k: int) -> list[Edges]:
    values = np.concatenate([v for _, _, v in edges])
    if len(values) <= top_k:
        return edges
    # Stable, so that of equal strengths the earlier edge stays.
    kept = np.zeros(len(values), dtype=bool)
    kept[np.argsort(-values, kind="stable")[:top_k]] = True
    parts = np.split(kept, np.cumsum([len(v) for _, _, v in edges])[:-1])
    return [(w, ends[k], v[k]) for (w, ends, v), k in zip(edges, parts, strict=True)]
