"""Which units of a layer lead to the targets of the layers that read it, and what is asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from causal_widget.effects.questions import Question
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Edits, PathEdit, Scale, UnitEdit

__all__ = ["Asked", "Targets", "asked_of"]

Targets = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Asked:
    """A parent layer, the target children in the layers that read it, and which units lead to which.

    Attributes
    ----------
    layer : str
        The parent layer.
    targets : mapping of layer name to tuple of int
        The target children.
    reads : mapping of layer name to bool array (target, unit)
        Which targets read which of the layer's units.
    """

    layer: str
    targets: Targets
    reads: Mapping[str, Bool[np.ndarray, "target unit"]]

    @property
    def units(self) -> tuple[int, ...]:
        """Units that at least one target reads."""
        if not self.reads:
            return ()
        found = np.any([mask.any(axis=0) for mask in self.reads.values()], axis=0)
        return tuple(np.flatnonzero(found).tolist())

    def children(self, unit: int) -> dict[str, tuple[int, ...]]:
        """Targets that read one unit, by layer."""
        found = {
            layer: tuple(np.array(self.targets[layer])[mask[:, unit]].tolist())
            for layer, mask in self.reads.items()
        }
        return {layer: units for layer, units in found.items() if units}

    def question(self, graph: FilterGraph, unit: int, beta: float) -> Question:
        """Ask what comes of scaling the weights from one unit to all targets, together.

        What the model gives out may be read off a layer without weights in between; there the unit itself is
        scaled.
        """
        children = self.children(unit)
        paths = [
            PathEdit((self.layer, unit), target, some, beta)
            for target, some in children.items()
            if graph.layer(target).kind != "output"
        ]
        edits = [*paths] if len(paths) == len(children) else [UnitEdit({self.layer: [unit]}, Scale(beta))]
        first = min(children, key=lambda name: graph.layer(name).index) if edits == paths else self.layer
        edit = edits[0] if len(edits) == 1 else Edits(tuple(edits))
        return Question(f"{self.layer}[{unit}]", first, unit, edit)


def asked_of(graph: FilterGraph, layer: str, targets: Targets) -> Asked:
    """Find the units of a layer that lead to targets.

    Parameters
    ----------
    graph, layer : FilterGraph, str
        The graph and the parent layer.
    targets : mapping of layer name to tuple of int
        Targets of all layers found so far; only those that read this layer matter.
    """
    found: dict[str, Bool[np.ndarray, "target unit"]] = {}
    for wiring in graph.children(layer):
        if targets.get(wiring.target):
            reads = wiring.mask()[list(targets[wiring.target])]
            if reads.any():
                found[wiring.target] = reads
    return Asked(layer, {name: tuple(targets[name]) for name in found}, found)
