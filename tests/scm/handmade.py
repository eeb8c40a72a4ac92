"""SCMs with known coefficients, images drawn from them with and without interventions, and collections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from causal_widget.graph import FilterGraph
from causal_widget.responses import Arm, Collection, Moments, RawResponses, ResponseSet, layout_of
from causal_widget.responses.interventional import Gap, InterventionalMoments
from tests.scm.oracle import Table, cut, moments_of

Bits = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Sample:
    """Responses of some images: as they were, and as they would be before units of their layer were set."""

    actual: Table
    natural: Table

    def rows(self, chosen: slice) -> Sample:
        return Sample(cut(self.actual, chosen), cut(self.natural, chosen))

    @property
    def n(self) -> int:
        return len(next(iter(self.actual.values())))


def coefficients_of(graph: FilterGraph, seed: int = 0) -> dict[str, np.ndarray]:
    """Standard normal coefficients where units are wired."""
    rng = np.random.default_rng(seed)
    found = {}
    for layer in graph.layers:
        masks = [wiring.mask() for wiring in graph.parents(layer.name)]
        if masks:
            mask = np.concatenate(masks, axis=1)
            found[layer.name] = rng.normal(size=mask.shape) * mask
    return found


def sampled(
    graph: FilterGraph,
    coefficients: dict[str, np.ndarray],
    n: int,
    *,
    seed: int = 0,
    noise: float = 0.3,
    intervene: bool = False,
) -> Sample:
    """Draw images; with interventions, about a third of the units of one random layer are 0 in each image."""
    rng = np.random.default_rng((seed, 1))
    scale = np.random.default_rng(9)
    actual: Table = {}
    natural: Table = {}
    drawn = rng.integers(len(graph.layers) - 1, size=n)
    for i, layer in enumerate(graph.layers):
        parents = [actual[wiring.source] for wiring in graph.parents(layer.name)]
        if parents:
            y = np.concatenate(parents, axis=1) @ coefficients[layer.name].T + 2
            y += noise * rng.normal(size=y.shape)
        else:
            y = rng.normal(size=(n, layer.units)) * scale.uniform(0.5, 3, layer.units) + 5
        natural[layer.name] = y
        hit = (rng.random(y.shape) < 1 / 3) & (drawn == i)[:, None]
        actual[layer.name] = np.where(hit, 0.0, y) if intervene else y
    return Sample(actual, natural)


def forced_moments(graph: FilterGraph, sample: Sample, chunk: int = 50) -> InterventionalMoments:
    """What `collect(intervene=...)` would have left of these images."""
    layout = layout_of(graph)
    moments = InterventionalMoments(layout, [layer.name for layer in graph.layers[:-1]])
    for first in range(0, sample.n, chunk):
        part = sample.rows(slice(first, first + chunk))
        gaps = []
        for name in moments.drawn:
            lost = part.natural[name] - part.actual[name]
            rows = np.flatnonzero(lost.any(axis=1))
            if len(rows):
                gaps.append(Gap(name, rows, lost[rows]))
        whole = np.concatenate([part.actual[name] for name in layout.widths], axis=1)
        moments.update_matrix(whole, gaps=gaps)
    return moments


def collection(
    graph: FilterGraph,
    train: Sample,
    heldout: Sample | None = None,
    *,
    forced: Sample | None = None,
    forced_heldout: Sample | None = None,
    folds: int = 4,
    transform: str = "frobenius",
    raw: bool = False,
) -> Collection:
    """What `collect` would have left; image i of the training images is in fold i modulo `folds`."""

    def arm(kept: Sample, apart: Sample | None, moments: Callable[[Sample], Moments]) -> Arm:
        cuts = tuple(moments(kept.rows(slice(i, None, folds))) for i in range(folds))
        return Arm(cuts, None if apart is None else moments(apart))

    return Collection(
        graph=graph,
        transform=transform,
        site="activation",
        observational=arm(train, heldout, lambda one: moments_of(graph, one.actual, 50)),
        interventional=None
        if forced is None
        else arm(forced, forced_heldout, lambda one: forced_moments(graph, one)),
        n_images=train.n,
        raw=_raw(graph, train, heldout, folds) if raw else None,
    )


def _raw(graph: FilterGraph, train: Sample, heldout: Sample | None, folds: int) -> RawResponses:
    """Observational rows alone."""
    table, fold = train.actual, np.arange(train.n) % folds
    if heldout is not None:
        table = {name: np.concatenate([rows, heldout.actual[name]]) for name, rows in table.items()}
        fold = np.concatenate([fold, np.full(heldout.n, -1)])
    rows = ResponseSet(table, graph.output.name, None, np.arange(len(fold)))
    return RawResponses(rows, None, fold, graph, layout_of(graph))
