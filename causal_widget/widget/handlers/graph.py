"""graph, importance, edges: what the picture is drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causal_widget.errors import UnknownNameError, nearest
from causal_widget.widget.protocol import Reply
from causal_widget.widget.store import SHOWN_RULES
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend


def graph(backend: Backend, task: Task) -> Reply:
    """Give layers and wirings, both in forward order."""
    found = backend.explainer.graph
    layers = [
        {
            "name": layer.name,
            "index": layer.index,
            "kind": layer.kind,
            "units": layer.units,
            "isOutput": layer.is_output,
            "shape": layer.shape,
            "sites": layer.sites,
        }
        for layer in found.layers
    ]
    wirings = [
        {
            "source": w.source,
            "target": w.target,
            "kind": w.kind,
            "rows": w.target_units,
            "cols": w.source_units,
        }
        for w in found.wirings
    ]
    return Reply({"layers": layers, "wirings": wirings, "tracedBy": found.traced_by})


def importance(backend: Backend, task: Task) -> Reply:
    """Give one number a unit over all layers in graph order, NaN where the rule has none."""
    rule = task.request.args["rule"]
    if rule not in SHOWN_RULES:
        raise UnknownNameError(f'rule "{rule}" does not exist.{nearest(rule, SHOWN_RULES)}')
    known = backend.store.importance(rule)
    parts = [
        np.asarray(known.get(layer.name, np.full(layer.units, np.nan)), dtype=np.float32)
        for layer in backend.explainer.graph.layers
    ]
    return Reply({"rule": rule}, (("importance", np.concatenate(parts)),))


def edges(backend: Backend, task: Task) -> Reply:
    """Give one byte an edge for each wiring asked for."""
    count = len(backend.explainer.graph.wirings)
    asked = task.request.args["wirings"]
    for i in asked:
        if i >= count:
            raise UnknownNameError(f"wiring {i} does not exist; the graph has wirings 0 to {count - 1}")
    arrays = tuple((f"edges {i}", backend.store.edges(i)) for i in asked)
    return Reply({"source": backend.store.edge_source, "wirings": asked}, arrays)
