"""Every image's effects of some units of a real network: the truth that intervals and rankings are held to.

Measured once and kept in tests/artifacts, for it takes minutes: exact effects by running again, and the
first-order estimates, on all 10,000 images of the manifest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from causal_widget.effects.cutting import CutModel, Pace
from causal_widget.effects.differences import differences
from causal_widget.effects.first_order import FirstOrder
from causal_widget.effects.outcomes import outcomes
from causal_widget.effects.questions import Context, Questions, answers, questions_of_units
from causal_widget.graph import FilterGraph, trace
from tests.benchmarks import real
from tests.benchmarks.harness import ROOT

__all__ = ["OUTCOMES", "Table", "chosen", "table"]

FILE = "cifar10_test_jpegq75.npz"
OUTCOMES = ("loss", "correct", "margin")
STEPS = {"cifar_resnet32": 24, "cifar_lenet5": 1}  # every so many-th unit
BATCH = 100


@dataclass(frozen=True, eq=False)
class Table:
    """Effects, image by image.

    Attributes
    ----------
    exact, cheap : array, shape (image, unit, outcome)
        Exact effects on `OUTCOMES` of zeroing each unit, and their first-order estimates.
    after : array, shape (image, unit)
        The class that the network answers under each.
    changed : array of bool, shape (image, unit)
        Whether the unit is not silent.
    before, labels : array, shape (image,)
        The class that it answers without, and the true one.
    seconds : array, shape (2,)
        Processor seconds of the exact effects and of the estimates.
    """

    exact: Float64[np.ndarray, "image unit outcome"]
    cheap: Float64[np.ndarray, "image unit outcome"]
    after: np.ndarray
    changed: Bool[np.ndarray, "image unit"]
    before: np.ndarray
    labels: np.ndarray
    seconds: Float64[np.ndarray, "2"]

    @property
    def truth(self) -> Float64[np.ndarray, "unit outcome"]:
        """Mean effects over all images."""
        return np.asarray(self.exact.mean(axis=0))

    @property
    def rare(self) -> Bool[np.ndarray, " unit"]:
        """Units that are active in some images, but in fewer than one in ten."""
        share = self.changed.mean(axis=0)
        return np.asarray((share > 0) & (share < 0.1))


def chosen(graph: FilterGraph, name: str) -> dict[str, list[int]]:
    """Units over all hidden layers, every so many-th."""
    layers = [layer for layer in graph.layers if not layer.is_output]
    every = [(layer.name, unit) for layer in layers for unit in range(layer.units)]
    found: dict[str, list[int]] = {}
    for layer, unit in every[5 % STEPS[name] :: STEPS[name]]:
        found.setdefault(layer, []).append(unit)
    return found


def table(name: str) -> Table:
    """Give the effects of a network's units, measured now or before."""
    file = ROOT / "tests" / "artifacts" / f"effects_of_{name}.npz"
    if not file.is_file():
        _save(_measured(name), file)
    with np.load(file, allow_pickle=False) as kept:
        values = {one.name: kept[one.name] for one in fields(Table)}
    return Table(**values | {name: values[name].astype(np.float64) for name in ("exact", "cheap")})


def _save(found: Table, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    values = {one.name: getattr(found, one.name) for one in fields(Table)}
    values |= {name: values[name].astype(np.float32) for name in ("exact", "cheap")}
    np.savez(file, **values)


def _measured(name: str) -> Table:
    torch.set_num_threads(1)
    model, images, labels = real.network(name, FILE)
    graph = trace(model, images[:1])
    cut = CutModel.of(model, graph)
    assert isinstance(cut, CutModel), cut
    questions = questions_of_units(graph, chosen(graph, name))
    parts = [
        _part(cut, questions, images[first : first + BATCH], labels[first : first + BATCH])
        for first in range(0, len(images), BATCH)
    ]
    names = ("exact", "cheap", "after", "changed", "before")
    joined = {key: np.concatenate([part[key] for part in parts]) for key in names}
    seconds = np.sum([part["seconds"] for part in parts], axis=0)
    return Table(**joined, labels=labels.numpy(), seconds=seconds)


def _part(cut: CutModel, questions: Questions, images: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    context = Context(torch.arange(len(images)))
    places = sorted({place for layer in questions.groups for place in questions.places(layer)})
    asked = outcomes(OUTCOMES, cut.graph.output.units)
    estimate = FirstOrder(asked, cut.graph.output.units, (1,) * len(asked))
    began = time.process_time()
    with cut.run(images, places, grad=True, soft=True) as state:
        told = estimate.estimates(state, labels, questions.groups, partial(differences, context=context))
    estimated = time.process_time()
    exact, after = [], []
    with cut.run(images, places) as state:
        base = state.logits
        for group in questions.groups.values():
            for answer in answers(state, group, context, pace=Pace([32])):
                for logits in answer.logits:
                    exact.append(torch.cat([one.effects(logits, base, labels) for one in asked], 1))
                    after.append(logits.argmax(1))
    ended = time.process_time()
    return {
        "exact": torch.stack(exact, 1).numpy(),
        "cheap": np.concatenate([cheap for cheap, _ in told.values()], axis=1),
        "after": torch.stack(after, 1).numpy().astype(np.uint8),
        "changed": np.concatenate([changed for _, changed in told.values()], axis=1),
        "before": base.argmax(1).numpy().astype(np.uint8),
        "seconds": np.array([ended - estimated, estimated - began]),
    }
