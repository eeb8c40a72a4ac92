"""Which units, and which paths, a share of a graph means."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real

import numpy as np
from jaxtyping import Int64

from causal_widget.errors import ArgumentError
from causal_widget.explanations.class_graphs import ClassGraph, LayerUnits
from causal_widget.explanations.class_graphs.asking import Asked
from causal_widget.graph import FilterGraph
from causal_widget.interventions import PathEdit, UnitEdit

__all__ = ["blocking", "check_fraction", "check_fractions", "count", "harmful", "ranked"]

Edit = PathEdit | UnitEdit


def check_fraction(share: object, what: str = "share") -> float:
    """Give a share as a float.

    Raises
    ------
    ArgumentError
        If it is no number in 0..1.
    """
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= float(share) <= 1:
        raise ArgumentError(f"{what} must be a number in 0..1, got {share!r:.80}")
    return float(share)


def check_fractions(shares: object) -> tuple[float, ...]:
    """Give shares as floats, rising.

    Raises
    ------
    ArgumentError
        If there is none, or one is outside 0..1 or there twice.
    """
    if isinstance(shares, str) or not isinstance(shares, Iterable):
        raise ArgumentError(f"shares must be several numbers in 0..1, got {shares!r:.80}")
    found = tuple(check_fraction(share, "each of shares") for share in shares)
    if not found or len(set(found)) < len(found):
        raise ArgumentError(f"shares must be one or more, each once, got {list(found)!r:.80}")
    return tuple(sorted(found))


def count(n: int, share: float) -> int:
    """Say how many of n a share means, rounded up: any share above 0 is one at least."""
    return min(n, math.ceil(round(n * share, 9)))


def ranked(one: LayerUnits, verdict: str = "critical") -> Int64[np.ndarray, " unit"]:
    """Give a layer's units with a verdict, the largest effects first, equals by index."""
    units = one.where(verdict)
    return units[np.argsort(-np.abs(one.effect[units]), kind="stable")]


def harmful(graph: ClassGraph) -> tuple[tuple[str, int], ...]:
    """Give the detrimental units of all layers, those first whose blocking raises the class's output most."""
    found = [
        (float(one.effect[unit]), k, unit)
        for k, one in enumerate(graph.layers)
        for unit in one.where("detrimental").tolist()
    ]
    return tuple(
        (graph.layers[k].layer, unit) for _, k, unit in sorted(found, key=lambda row: (-row[0], *row[1:]))
    )


def blocking(graph: ClassGraph, filters: FilterGraph, share: float) -> tuple[Edit, ...]:
    """Give the edits that block the paths of a share of the detrimental units, the most harmful first.

    Each unit's paths lead to the targets that it was found detrimental through: critical units and the class.
    """
    units = harmful(graph)
    edits: list[Edit] = []
    for layer, unit in units[: count(len(units), share)]:
        one = graph.layer(layer)
        asked = Asked(layer, one.targets, one.reads).question(filters, unit, 0.0).edit
        edits += [asked] if isinstance(asked, PathEdit | UnitEdit) else list(asked)
    return tuple(edits)
