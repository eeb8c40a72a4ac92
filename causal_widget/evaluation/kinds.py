"""Which interventions a causal model is asked about: single units, shares of a layer or of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from causal_widget.errors import UnknownNameError, nearest
from causal_widget.graph import FilterGraph, Layer

__all__ = ["KINDS", "Kind", "hidden_layers", "kind_of", "units_of"]

KINDS = ("single", "layer 5%", "layer 10%", "layer 15%", "network 5%", "network 10%", "network 15%")
PATTERN = re.compile(r"(layer|network) (\d+(?:\.\d+)?) ?%")


@dataclass(frozen=True)
class Kind:
    """A kind of random intervention.

    Attributes
    ----------
    name : str
        ``"single"``, ``"layer 10%"``, ``"network 10%"``.
    where : {"single", "layer", "network"}
        One unit of a random layer; some of a random layer; some of all units.
    share : float
        How many, 0 .. 1; at least one.
    """

    name: str
    where: str
    share: float

    def draw(self, graph: FilterGraph, n: int, seed: int) -> Bool[np.ndarray, "mask unit"]:
        """Draw sets of silenced units, of all layers but the output side by side, in forward order.

        A single unit, or a layer, is drawn by drawing a layer first, so that wide layers do not prevail.
        """
        generator = np.random.default_rng([seed, *self.name.encode()])
        layers = hidden_layers(graph)
        ends = np.cumsum([layer.units for layer in layers])
        masks = np.zeros((n, int(ends[-1])), dtype=bool)
        for mask in masks:
            if self.where == "network":
                chosen = generator.choice(len(mask), _count(self.share, len(mask)), replace=False)
            else:
                k = int(generator.integers(len(layers)))
                units = layers[k].units
                size = 1 if self.where == "single" else _count(self.share, units)
                chosen = generator.choice(units, size, replace=False) + ends[k] - units
            mask[chosen] = True
        return masks


def _count(share: float, units: int) -> int:
    return max(1, round(share * units))


def kind_of(name: str) -> Kind:
    """Read a kind's name.

    Raises
    ------
    UnknownNameError
        If it is none, or its share is not above 0 and at most 100 %.
    """
    if name == "single":
        return Kind(name, "single", 0.0)
    found = PATTERN.fullmatch(str(name))
    if not found or not 0 < float(found[2]) <= 100:
        raise UnknownNameError(
            f'kind of intervention "{name}" does not exist; expected "single", "layer 10%" or "network 10%", '
            f"with any share up to 100 %.{nearest(str(name), KINDS)}"
        )
    return Kind(name, found[1], float(found[2]) / 100)


def hidden_layers(graph: FilterGraph) -> list[Layer]:
    """Give the layers that can be intervened on: all but the output."""
    return [layer for layer in graph.layers if not layer.is_output]


def units_of(graph: FilterGraph, mask: Bool[np.ndarray, " unit"]) -> Mapping[str, list[int]]:
    """Give a mask's units by layer."""
    units, start = {}, 0
    for layer in hidden_layers(graph):
        chosen = np.flatnonzero(mask[start : start + layer.units])
        start += layer.units
        if len(chosen):
            units[layer.name] = chosen.tolist()
    return units
