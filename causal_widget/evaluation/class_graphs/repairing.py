"""Does blocking the paths that hurt a class repair it? Accuracy on images that did not find them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.effects.cutting import BUDGET
from causal_widget.effects.statistics import split_images
from causal_widget.effects.statistics.checks import check_share
from causal_widget.errors import ArgumentError, DataError, check_seed
from causal_widget.evaluation.class_graphs.chosen import blocking, check_fractions, count, harmful
from causal_widget.evaluation.class_graphs.intervals import changed
from causal_widget.evaluation.class_graphs.masking import graphs_of
from causal_widget.evaluation.class_graphs.predicting import Labelled, labelled, predictions
from causal_widget.evaluation.class_graphs.repair_result import OTHERS, OWN, RepairCurve
from causal_widget.explanations.class_graphs import ClassGraph, explain_classes
from causal_widget.explanations.class_graphs.measuring import Network
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare, guarded
from causal_widget.jobs import Progress
from causal_widget.responses import batches, first_images

__all__ = ["curve_of", "repair_curve"]

SHARES = tuple(np.linspace(0, 1, 11).round(1).tolist())
_UNCHECKED = "not known whether they had a part in finding the graphs (found_on is not given)"


def repair_curve(
    model: nn.Module,
    graphs: ClassGraph | Mapping[int, ClassGraph] | None,
    images: Iterable[Any],
    *,
    shares: Sequence[float] = SHARES,
    found_on: Iterable[Any] | None = None,
    find: float = 0.5,
    mode: str = "sound",
    seed: int = 0,
    level: float = 0.95,
    filter_graph: FilterGraph | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
) -> RepairCurve:
    """Measure the accuracy while a share of the paths that hurt a class is blocked.

    The experiment of Ahmad et al. (2023, section 6, figure 11), on images that had no part in finding the
    paths. The detrimental units of all layers are taken by their effects, the most harmful first; of each,
    the paths to the targets through which it was found are blocked (beta = 0), all at once, for each class by
    itself. Accuracies are compared image by image with the network's own, on the class's images and on all
    others: what helps one class may take from the others.

    Parameters
    ----------
    model : nn.Module
        The network; it is not changed.
    graphs : ClassGraph, mapping of class to ClassGraph, or None
        Of which classes. None: they are found here for all classes, on a share `find` of the images, and
        judged on the rest.
    images : pair (images, labels) or loader
        With labels.
    shares : sequence of float
        In 0..1; 0 is added.
    found_on : images, optional
        Those that the graphs were found on: an error if one of them is among the images.
    find : float
        Where `graphs` is None: share of the images to find them on, drawn by the seed.
    mode : str
        Where `graphs` is None: as for `explain_class`.
    seed : int
        Of the split.
    level : float
        Of the intervals of the paired changes (Agresti and Min 2005).
    filter_graph : FilterGraph, optional
        The network's graph; None: it is traced on the first image.
    device, budget, progress
        Where to run, bytes for what is kept and again for what runs, whom to tell. The progress counts pairs
        of blocking and image.

    Raises
    ------
    ArgumentError
        If a share is outside 0..1, or no graph has a detrimental unit.
    DataError
        If images have no labels, there is none of a class, or images are among those that the graphs were
        found on.
    """
    began, told = time.perf_counter(), progress or Progress()
    fractions = check_fractions(shares)
    check_share(level, "level")
    check_seed(seed)
    network = bare(model)
    with guarded(network, resolve_device(device, network)) as guard:
        filters = filter_graph or trace(network, first_images(images)[:1].to(guard.device))
        given = labelled(network, images, filters.output.units, guard.device)
        if graphs is None:
            finding, rest = split_images(given.n, check_share(find, "find"), seed=seed)
            some = given.take(finding)
            chosen = dict(
                explain_classes(
                    network, (some.images, torch.as_tensor(some.labels)), np.unique(some.labels).tolist(),
                    mode=mode, seed=seed, graph=filters, budget=budget,
                )
            )  # fmt: skip
            given, held = given.take(rest), f"others than the {some.n:,} that the graphs were found on"
        else:
            chosen, held = graphs_of(graphs), _checked(given, found_on)
        return curve_of(
            Network.of(network, filters, budget), chosen, given, fractions, level, held, seed, began, told
        )


def curve_of(
    network: Network,
    graphs: Mapping[int, ClassGraph],
    given: Labelled,
    shares: Sequence[float],
    level: float,
    held: str,
    seed: int,
    began: float,
    told: Progress,
) -> RepairCurve:
    """Measure the curve on images that are there, within a guard.

    Raises
    ------
    ArgumentError
        If no graph has a detrimental unit.
    DataError
        If there is no image of a class.
    """
    units = {k: harmful(graph) for k, graph in graphs.items()}
    if not any(units.values()):
        listed = ", ".join(f'"{graph.name}"' for graph in graphs.values())
        raise ArgumentError(f"no detrimental unit was found of class {listed}: there is nothing to block")
    every = tuple(sorted({0.0, *shares}))
    rows = []
    told.start(len(graphs) * (len(every) - 1) * given.n, "pairs of blocking and image", "repair")
    try:
        for k, graph in graphs.items():
            if not (given.labels == k).any():
                raise DataError(f"there is no image of class {k} to judge its repair on")
            edits = [blocking(graph, network.graph, share) for share in every]
            said = predictions(network, given, edits, told)
            rows += _rows(k, every, said, given.labels, len(units[k]))
    finally:
        told.finish()
    names = {k: graph.name for k, graph in graphs.items()}
    counts = {k: len(found) for k, found in units.items()}
    return RepairCurve(
        pd.DataFrame(rows), names, counts, every, level, held, seed, time.perf_counter() - began
    )


def _rows(
    target: int, shares: Sequence[float], said: np.ndarray, labels: np.ndarray, units: int
) -> list[dict[str, Any]]:
    right, rows = said == labels, []
    for share, now in zip(shares, right, strict=True):
        blocked = count(units, share)  # none: the same network, and no change for certain
        for images, chosen in ((OWN, labels == target), (OTHERS, labels != target)):
            if chosen.any():
                change, se = changed(right[0, chosen], now[chosen])
                rows.append({
                    "class": target, "share": share, "images": images, "blocked": blocked,
                    "before": float(right[0, chosen].mean()), "after": float(now[chosen].mean()),
                    "change": change, "se": se if blocked else 0.0, "n": int(chosen.sum()),
                })  # fmt: skip
    return rows


def _checked(given: Labelled, found_on: Iterable[Any] | None) -> str:
    if found_on is None:
        return _UNCHECKED
    used = {digest for batch in batches(found_on, given.images.device, dtype=given.images.dtype)
            for digest in _digests(batch.images)}  # fmt: skip
    both = sum(digest in used for digest in _digests(given.images))
    if both:
        raise DataError(
            f"{both:,} of the {given.n:,} images are among those that the graphs were found on; give others"
        )
    return f"checked to be others than the {len(used):,} that the graphs were found on"


def _digests(images: torch.Tensor) -> Iterable[bytes]:
    """Give what tells images apart, by their numbers alone."""
    return (
        hashlib.blake2b(one.numpy().tobytes(), digest_size=16).digest() for one in images.cpu().contiguous()
    )
