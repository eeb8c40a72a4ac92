"""Does masking what a class stands on make the network lose it? Accuracy under masks of critical units."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.effects.cutting import BUDGET
from causal_widget.effects.statistics.checks import check_share, check_whole
from causal_widget.errors import ArgumentError, DataError, check_seed
from causal_widget.evaluation.class_graphs.chosen import check_fractions, count, ranked
from causal_widget.evaluation.class_graphs.intervals import mean_gap, spread, wilson
from causal_widget.evaluation.class_graphs.masking_result import ALL, ClassMasking
from causal_widget.evaluation.class_graphs.predicting import Labelled, labelled, predictions
from causal_widget.explanations.class_graphs import ClassGraph
from causal_widget.explanations.class_graphs.measuring import Network
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare, guarded
from causal_widget.interventions import UnitEdit, Zero
from causal_widget.jobs import Progress
from causal_widget.responses import first_images

__all__ = ["graphs_of", "mask_classes"]

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
Mask = Mapping[str, tuple[int, ...]]


def mask_classes(
    model: nn.Module,
    graphs: ClassGraph | Mapping[int, ClassGraph],
    images: Iterable[Any],
    *,
    shares: Sequence[float] = SHARES,
    layers: Sequence[str] | None = None,
    draws: int = 10,
    seed: int = 0,
    level: float = 0.95,
    site: str = "activation",
    filter_graph: FilterGraph | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
) -> ClassMasking:
    """Measure the accuracy on a class while the units that its graph calls critical are masked.

    The experiment of Ahmad et al. (2023, section 5.3, figure 10). Of every layer the top share of its
    critical units, by the size of their effects, is set to zero; the accuracy is that on the class's images.
    Controls: as many units of the same layer drawn at random from all its units, several times; and as many
    of the critical units from the other end of their order. A share above zero is one unit at least.

    Parameters
    ----------
    model : nn.Module
        The network; it is not changed.
    graphs : ClassGraph or mapping of class to ClassGraph
        Of which classes.
    images : pair (images, labels) or loader
        With labels; those of the graphs' classes are used. They should not be those that the graphs were
        found on.
    shares : sequence of float
        In 0..1.
    layers : sequence of str, optional
        Layers to mask one by one; None: all that have critical units in any graph. All layers at once are
        always measured too.
    draws, seed : int
        Random choices of units; those of one draw are nested over shares.
    level : float
        Of the intervals.
    site : str
        Where units are set to zero.
    filter_graph : FilterGraph, optional
        The network's graph; None: it is traced on the first image.
    device, budget, progress
        Where to run, bytes for what is kept and again for what runs, whom to tell. The progress counts pairs
        of mask and image.

    Raises
    ------
    ArgumentError
        If a share is outside 0..1, a graph is of another network, has no critical unit, or has none in a
        layer asked for.
    DataError
        If images have no labels, or there is none of a class.
    UnknownNameError
        If there is no such layer or site.
    """
    began, told = time.perf_counter(), progress or Progress()
    fractions, chosen = check_fractions(shares), graphs_of(graphs)
    check_whole(draws, "draws", 2)
    check_seed(seed)
    check_share(level, "level")
    network = bare(model)
    with guarded(network, resolve_device(device, network)) as guard:
        filters = filter_graph or trace(network, first_images(images)[:1].to(guard.device))
        given = labelled(network, images, filters.output.units, guard.device)
        cut = Network.of(network, filters, budget)
        measured = []
        work = [_Masks(one, fractions, layers, draws, seed, site) for one in chosen.values()]
        own = {one.graph.target: given.take(np.flatnonzero(given.labels == one.graph.target)) for one in work}
        for k, some in own.items():
            if not some.n:
                raise DataError(f"there is no image of class {k}: the labels given are {_seen(given)}")
        told.start(
            sum(one.n_masks * own[one.graph.target].n for one in work), "pairs of mask and image", "masks"
        )
        try:
            for one in work:
                measured += list(one.rows(cut, own[one.graph.target], level, told))
        finally:
            told.finish()
    names = {k: one.name for k, one in chosen.items()}
    return ClassMasking(
        pd.DataFrame(measured), names, fractions, draws, level, site, seed, time.perf_counter() - began
    )


def graphs_of(graphs: ClassGraph | Mapping[int, ClassGraph]) -> dict[int, ClassGraph]:
    """Give graphs by class.

    Raises
    ------
    ArgumentError
        If it is none, or none is there.
    """
    found = {graphs.target: graphs} if isinstance(graphs, ClassGraph) else graphs
    if not isinstance(found, Mapping) or not found:
        raise ArgumentError(f"graphs must be a ClassGraph or several by class, got {graphs!r:.80}")
    return dict(found)


def _seen(given: Labelled) -> list[int]:
    return [int(k) for k in np.unique(given.labels)[:12]]


@dataclass(frozen=True, eq=False)
class _Masks:
    """What is masked for one class.

    Attributes
    ----------
    graph, shares, layers, draws, seed, site
        As for `mask_classes`.
    """

    graph: ClassGraph
    shares: tuple[float, ...]
    layers: Sequence[str] | None
    draws: int
    seed: int
    site: str

    @property
    def n_masks(self) -> int:
        """How many masks there are at most."""
        return len(self.shares) * (len(self.scopes) + (len(self.scopes) > 1)) * (2 + self.draws)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Layers that are masked one by one.

        Raises
        ------
        ArgumentError
            If there is nothing critical.
        """
        critical = self.graph.units("critical")
        if not critical:
            raise ArgumentError(
                f'the graph of class {self.graph.target} ("{self.graph.name}") has no critical unit to mask'
            )
        if self.layers is None:
            return tuple(critical)
        for name in self.layers:
            if not len(self.graph.layer(name).where("critical")):
                raise ArgumentError(f'"{name}" has no unit that is critical to class {self.graph.target}')
        return tuple(one.layer for one in self.graph.layers if one.layer in set(self.layers))

    def rows(
        self, network: Network, given: Labelled, level: float, told: Progress
    ) -> Iterator[dict[str, Any]]:
        """Give one row a layer, share and rule."""
        keys: list[tuple[str, float, str]] = []
        masks: list[Mask] = [{}]
        for share in self.shares:
            by_layer = {layer: self._choices(layer, share) for layer in self.scopes}
            together = {ALL: self._together(by_layer)} if len(self.scopes) > 1 else {}
            for scope, choices in {**by_layer, **together}.items():
                for rule, one in choices:
                    keys.append((scope, share, rule))
                    masks.append({scope: one} if not isinstance(one, Mapping) else one)
        edits = [[UnitEdit(mask, Zero(), self.site)] if any(mask.values()) else [] for mask in masks]
        right = predictions(network, given, edits, told) == self.graph.target
        sizes = [sum(map(len, mask.values())) for mask in masks]
        yield from self._measured(keys, right, sizes, level)

    def _choices(self, layer: str, share: float) -> list[tuple[str, Any]]:
        """Give the layer's masked units by each rule; of random draws, one each."""
        one = self.graph.layer(layer)
        order = ranked(one)
        k = count(len(order), share)
        number = [two.layer for two in self.graph.layers].index(layer)
        random = [
            np.random.default_rng([self.seed, draw, number]).permutation(len(one.verdict))[:k]
            for draw in range(self.draws)
        ]
        last = order[::-1][:k]
        rules = [("critical", order[:k]), ("least critical", last), *(("random", units) for units in random)]
        return [(rule, tuple(sorted(units.tolist()))) for rule, units in rules]

    def _together(self, by_layer: Mapping[str, list[tuple[str, Any]]]) -> list[tuple[str, Any]]:
        first = next(iter(by_layer.values()))
        return [
            (rule, {layer: choices[k][1] for layer, choices in by_layer.items()})
            for k, (rule, _) in enumerate(first)
        ]

    def _measured(
        self,
        keys: Sequence[tuple[str, float, str]],
        right: Bool[np.ndarray, "mask image"],
        sizes: Sequence[int],
        level: float,
    ) -> Iterator[dict[str, Any]]:
        whole = right[0]
        places: dict[tuple[str, float], dict[str, list[int]]] = {}
        for k, (scope, share, rule) in enumerate(keys, 1):
            places.setdefault((scope, share), {}).setdefault(rule, []).append(k)
        for (scope, share), rules in places.items():
            (critical,) = rules["critical"]
            gap, low, high = mean_gap(right[critical], right[rules["random"]], level)
            base = {"class": self.graph.target, "layer": scope, "share": share, "masked": sizes[critical]}
            for rule, at in rules.items():
                accuracy, *ends = (
                    spread(right[at], level)
                    if rule == "random"
                    else (right[at[0]].mean(), *wilson(int(right[at[0]].sum()), len(whole), level))
                )
                yield base | {
                    "rule": rule, "accuracy": float(accuracy), "low": float(ends[0]), "high": float(ends[1]),
                    "unmasked": float(whole.mean()), "n": len(whole), "gap": gap, "gap low": low,
                    "gap high": high,
                }  # fmt: skip
