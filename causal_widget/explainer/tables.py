"""The documented tables of the explainer: its layers, who is whose parent, and the raw responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import nn

from causal_widget.graph import FilterGraph

__all__ = ["FilterOutputs", "ParentOutputs", "conv_layers", "conv_position", "dag_of"]

Responses = Float[np.ndarray, "image unit"]
Dag = dict[int, dict[str, Any]]


def conv_layers(model: nn.Module, graph: FilterGraph) -> list[tuple[str, nn.Module]]:
    """List the convolutions as (name, module) in forward order."""
    return [(layer.name, model.get_submodule(layer.module)) for layer in graph.conv_layers]


def conv_position(graph: FilterGraph) -> dict[str, int]:
    """Give each convolution its number in forward order."""
    return {layer.name: position for position, layer in enumerate(graph.conv_layers)}


def dag_of(model: nn.Module, graph: FilterGraph) -> Dag:
    """Describe each convolution by name, module, filters, and the convolutions around it."""
    position = conv_position(graph)
    return {
        position[name]: {
            "name": name,
            "layer": module,
            "filters": list(range(graph.layer(name).units)),
            "parents": [position[w.source] for w in graph.parents(name) if w.source in position],
            "children": [position[w.target] for w in graph.children(name) if w.target in position],
        }
        for name, module in conv_layers(model, graph)
    }


class FilterOutputs(Mapping[int, Responses]):
    """Raw responses of each convolution, (image, filter), by its number in forward order."""

    def __init__(self, table: Mapping[str, Responses], graph: FilterGraph) -> None:
        self._table = table
        self._names = [layer.name for layer in graph.conv_layers]

    def __getitem__(self, position: int) -> Responses:
        if position not in range(len(self._names)):
            raise KeyError(position)
        return self._table[self._names[position]]

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._names)))

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{position}: {self[position].shape}" for position in self)
        return f"{type(self).__name__}({{{shapes}}})"


class ParentOutputs(Mapping[int, "Responses | None"]):
    """Raw responses of each convolution's parents, side by side in the order of ``dag[i]["parents"]``.

    None for a convolution that reads no other. Several parents are joined when asked for, so nothing is kept
    twice.
    """

    def __init__(self, outputs: Mapping[int, Responses], dag: Dag) -> None:
        self._outputs, self._dag = outputs, dag

    def __getitem__(self, position: int) -> Responses | None:
        parents = [self._outputs[parent] for parent in self._dag[position]["parents"]]
        if not parents:
            return None
        return parents[0] if len(parents) == 1 else np.concatenate(parents, axis=1)

    def __iter__(self) -> Iterator[int]:
        return iter(self._dag)

    def __len__(self) -> int:
        return len(self._dag)

    def __repr__(self) -> str:
        return f"ParentOutputs of {len(self)} convolutions"
