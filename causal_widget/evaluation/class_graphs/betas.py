"""The betas of many runs: each uniform about its b, few of them different."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real

import numpy as np
from jaxtyping import Float64

from causal_widget.effects.statistics.checks import check_whole
from causal_widget.errors import ArgumentError, check_seed
from causal_widget.explanations.class_graphs.settings import Settings
from causal_widget.explanations.class_graphs.walk import EPSILON
from causal_widget.graph import FilterGraph

__all__ = ["RunSettings", "Strengths"]

PER_B = 10
WIDTH = 0.1


@dataclass(frozen=True)
class Strengths:
    """What the weights of every unit are multiplied by in each of many runs.

    As Ahmad et al. (2023, section 5.1) write, b rises over its range and changes every 10 runs, and a run's
    beta is drawn from U(b - 0.01, b + 0.01), here for every unit by itself.

    To measure a unit anew in every run would be waste: its effect depends on beta alone as long as its
    targets stay. So each unit has a pool of `different` betas, drawn independently and uniformly over all of
    the range, and a run takes one at random of those within b - 0.01 and b + 0.01. Points of a uniform pool
    that lie in a window are uniform in it, so that each run's beta has exactly the distribution asked for;
    what it shares is the pool with other runs. Where no point lies in the window, one is drawn there.

    Attributes
    ----------
    b : (low, high)
        Range of b.
    runs : int
        How many runs.
    different : int or None
        Size of a unit's pool; None: every run draws its own beta.
    seed : int
    """

    b: tuple[float, float] = (0.01, 0.5)
    runs: int = 1000
    different: int | None = 100
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "b", _range(self.b))
        check_whole(self.runs, "runs", 1)
        if self.different is not None:
            check_whole(self.different, "betas (different ones for each unit)", 1)
        check_seed(self.seed)

    @cached_property
    def centres(self) -> Float64[np.ndarray, " run"]:
        """B of each run, rising."""
        values = np.linspace(*self.b, max(1, -(-self.runs // PER_B)))
        return np.repeat(values, PER_B)[: self.runs]

    @cached_property
    def edges(self) -> Float64[np.ndarray, " edge"]:
        """Where the ranges of b begin and end by which results are told: tenths."""
        first, last = np.floor(self.b[0] / WIDTH + 1e-9), np.ceil(self.b[1] / WIDTH - 1e-9)
        return np.asarray(np.arange(first, max(last, first + 1) + 1) * WIDTH)

    @cached_property
    def ranges(self) -> dict[str, np.ndarray]:
        """Which runs belong to which range of b: bool arrays (run,)."""
        place = np.clip(np.searchsorted(self.edges, self.centres + 1e-9, "right") - 1, 0, len(self.edges) - 2)
        named = {
            f"{low:.1f}\u2013{high:.1f}": place == k
            for k, (low, high) in enumerate(zip(self.edges[:-1], self.edges[1:], strict=True))
        }
        return {name: chosen for name, chosen in named.items() if chosen.any()}

    def of(self, layer: int, unit: int) -> Float64[np.ndarray, " run"]:
        """Give a unit's beta in each run; it depends on the seed, the layer's number and the unit alone."""
        draw = np.random.default_rng([self.seed, layer, unit])
        low, high = np.maximum(self.centres - EPSILON, 0.0), np.minimum(self.centres + EPSILON, 1.0)
        own = draw.uniform(low, high)
        if self.different is None:
            return np.asarray(own)
        pool = np.sort(draw.uniform(low[0], high[-1], self.different))
        first, end = np.searchsorted(pool, low), np.searchsorted(pool, high)
        pick = first + np.floor(draw.random(self.runs) * (end - first)).astype(np.int64)
        return np.where(end > first, pool[np.minimum(pick, self.different - 1)], own)


def _range(b: object) -> tuple[float, float]:
    pair = tuple(b) if isinstance(b, Sequence) and not isinstance(b, str) else ()
    fine = len(pair) == 2 and all(isinstance(x, Real) and not isinstance(x, bool) for x in pair)
    if not fine or not 0 < pair[0] <= pair[1] < 1:
        raise ArgumentError(
            f"b must be a range (low, high) within 0 and 1, such as (0.01, 0.5), got {b!r:.80}"
        )
    return float(pair[0]), float(pair[1])


@dataclass(frozen=True, eq=False)
class RunSettings(Settings):
    """Settings of one run: those of a graph, with the betas given.

    Attributes
    ----------
    drawn : mapping of layer name to array (unit,)
        Each unit's beta.
    """

    drawn: dict[str, Float64[np.ndarray, " unit"]] = field(default_factory=dict)

    def beta(self, graph: FilterGraph, layer: str, unit: int) -> float:
        """Give what a unit's weights are multiplied by."""
        return float(self.drawn[graph.layer(layer).name][unit])
