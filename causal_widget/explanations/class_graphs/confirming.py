"""Candidates of a whole graph confirmed on images that had no part in finding them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

__all__ = ["focused"]

Children = Sequence[Sequence[int]]


def focused(
    p: Float64[np.ndarray, " node"], children: Children, carries: NDArray[np.bool_]
) -> Float64[np.ndarray, " node"]:
    """Give p-values corrected over a graph of which only what is connected to the class is reported.

    Focused Benjamini-Hochberg (Katsevich, Sabatti and Bogomolov 2023, "Filtering the rejection set while
    preserving false discovery rate control", JASA 118): with R(t) the nodes of p at most t, and F the filter
    that keeps those with a way to the class through nodes that are themselves kept, the rate of false
    discoveries among F(R(t)) is estimated as m t / |F(R(t))|. What is reported at q is F(R(t)) for the
    largest t at which that is at most q. F only grows with t, so a node's corrected p-value is the least
    estimate at any t from the first at which it is reported. Without a filter it is Benjamini-Hochberg.

    Parameters
    ----------
    p : array (node,)
        m p-values.
    children : sequence of sequences of int
        Each node's children among the nodes; -1 stands for the class itself.
    carries : bool array (node,)
        Whether a node may be a child: those that raise the class's output. One that lowers it ends a way.

    Returns
    -------
    array (node,)
        1 for nodes without a way to the class.
    """
    m = len(p)
    thresholds, step = np.unique(p, return_inverse=True)
    first = _first_reported(step, children, carries)
    reported = np.cumsum(np.bincount(first[first < len(thresholds)], minlength=len(thresholds)))
    rates = np.minimum(m * thresholds / np.maximum(reported, 1), 1.0)
    rates = np.where(reported > 0, rates, 1.0)
    least = np.append(np.minimum.accumulate(rates[::-1])[::-1], 1.0)
    return np.asarray(least[first])


def _first_reported(
    step: NDArray[np.int64], children: Children, carries: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Give the step at which each node has been taken and has a way to the class; one too many: never."""
    m = len(step)
    parents: list[list[int]] = [[] for _ in range(m)]
    for node, below in enumerate(children):
        for child in below:
            if child >= 0 and carries[child]:
                parents[child].append(node)
    never = int(step.max(initial=-1)) + 1
    first, waiting = np.full(m, never), {node for node in range(m) if -1 in children[node]}
    # A way opens when its last node is taken: the largest step along it, the least over all ways.
    order = [[] for _ in range(never + 1)]  # type: list[list[int]]
    for node in waiting:
        order[int(step[node])].append(node)
    for now in range(never):
        while order[now]:
            node = order[now].pop()
            if first[node] <= now:
                continue
            first[node] = now
            for parent in parents[node]:
                order[max(now, int(step[parent]))].append(parent)
    return first
