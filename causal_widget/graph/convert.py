"""The filter graph as a networkx graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import networkx as nx
import numpy as np

from causal_widget.errors import ArgumentError
from causal_widget.graph.layer import Layer
from causal_widget.graph.wiring import Wiring


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


def unit_digraph(
    layers: Iterable[Layer], wirings: Iterable[Wiring], kept: Collection[str], limit: int
) -> nx.DiGraph:
    """Make one node a unit, one edge a parent and its child.

    Raises
    ------
    ArgumentError
        If there would be more than `limit` edges.
    """
    chosen = [w for w in wirings if w.source in kept and w.target in kept]
    edges = sum(w.n_edges for w in chosen)
    if edges > limit:
        raise ArgumentError(
            f"the unit-level graph has {edges} edges, more than limit={limit}; "
            "choose some layers with layers=[...], or raise the limit"
        )
    graph = nx.DiGraph()
    for layer in layers:
        if layer.name in kept:
            graph.add_nodes_from(((layer.name, u) for u in range(layer.units)), layer=layer.name)
    for w in chosen:
        for target, source in np.argwhere(w.mask()):
            graph.add_edge((w.source, int(source)), (w.target, int(target)))
    return graph
