"""Which filters a percentage removes."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

import numpy as np
from jaxtyping import Float64, Int

from causal_widget.errors import ArgumentError, check_seed
from causal_widget.graph import FilterGraph

__all__ = ["check_percent", "count", "lowest", "prunable", "random_order", "ranking"]

Order = dict[str, Int[np.ndarray, " unit"]]


def prunable(graph: FilterGraph) -> dict[str, int]:
    """Give the modules whose filters can be removed, with their numbers of filters.

    Every convolution is in, but those whose filters are the classes. A module that is called several times is
    there once: its filters are the same weights at every call.
    """
    return {layer.module: layer.units for layer in graph.hidden_conv_layers}


def check_percent(percent: object) -> float:
    """Give the percentage as a float.

    Raises
    ------
    ArgumentError
        If it is no number in 0..100.
    """
    if not isinstance(percent, Real) or isinstance(percent, bool) or not 0 <= float(percent) <= 100:
        raise ArgumentError(f"percent must be a number in 0..100, got {percent!r:.80}")
    return float(percent)


def count(filters: int, percent: float) -> int:
    """Say how many of a layer's filters a percentage removes: the whole part of ``filters * percent / 100``.

    A layer is emptied by 100 percent only.
    """
    wanted = int(filters * percent / 100)
    return wanted if percent == 100 else min(wanted, filters - 1)


def ranking(graph: FilterGraph, importance: Mapping[str, Float64[np.ndarray, " unit"]]) -> Order:
    """Order each prunable module's filters from least to most important, equals by index.

    A filter of a module that is called several times counts with the sum of its importances.

    Raises
    ------
    ArgumentError
        If a layer has no importances, or not one a unit.
    """
    total: dict[str, Float64[np.ndarray, " unit"]] = {}
    for layer in graph.hidden_conv_layers:
        values = importance.get(layer.name)
        if values is None or len(values) != layer.units or not np.isfinite(values).all():
            given = "none" if values is None else f"{len(values)} with {int(np.isnan(values).sum())} NaN"
            raise ArgumentError(f'layer "{layer.name}" needs {layer.units} finite importances, got {given}')
        total[layer.module] = total.get(layer.module, np.zeros(layer.units)) + np.asarray(
            values, dtype=np.float64
        )
    return {module: np.argsort(values, kind="stable") for module, values in total.items()}


def random_order(graph: FilterGraph, seed: int, repeat: int = 0) -> Order:
    """Order each prunable module's filters at random; draws of one repeat are nested over percentages.

    Raises
    ------
    ArgumentError
        If the seed is no whole number from 0 to 2**32 - 1.
    """
    generator = np.random.default_rng([check_seed(seed), repeat])
    return {module: generator.permutation(filters) for module, filters in prunable(graph).items()}


def lowest(order: Order, percent: float) -> dict[str, tuple[int, ...]]:
    """Take the first filters of each module's order, as many as the percentage asks for."""
    checked = check_percent(percent)
    chosen = {module: order[module][: count(len(order[module]), checked)] for module in order}
    return {
        module: tuple(sorted(int(unit) for unit in units)) for module, units in chosen.items() if len(units)
    }
