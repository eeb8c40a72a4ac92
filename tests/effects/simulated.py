"""Effects that were never measured but drawn, so that what is true of them is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from causal_widget.effects import Effects
from causal_widget.effects.evidence import ControlledEvidence, ExactEvidence
from causal_widget.effects.outcomes import outcomes
from causal_widget.effects.questions import Question, Questions
from causal_widget.effects.statistics import EffectMoments
from causal_widget.graph import FilterGraph, trace
from causal_widget.interventions import UnitEdit
from tests.interventions.networks import Plain, seeded

Array = np.ndarray
UNITS = {"conv1": 6, "conv2": 8}  # those of the network Plain


@lru_cache
def graph() -> FilterGraph:
    return trace(seeded(Plain), torch.zeros(1, 3, 16, 16))


def units_alone(of: FilterGraph) -> Questions:
    return Questions(
        of,
        tuple(
            Question(f"{layer}[{unit}]", layer, unit, UnitEdit({layer: (unit,)}))
            for layer in UNITS
            for unit in range(of.layer(layer).units)
        ),
    )


def effects(
    values: Array,
    changed: Array | None = None,
    *,
    asked: Sequence[object] = ("loss", "margin"),
    seed: int = 0,
    how: str = "exact",
    settings: Mapping[str, Any] | None = None,
    evidence: Mapping[str, ControlledEvidence] | None = None,
    scale: float = 8.0,
) -> Effects:
    """Give the result of a sweep whose effects (image, unit, column) were these."""
    of = graph()
    questions = units_alone(of)
    changed = (values != 0).any(axis=2) if changed is None else changed
    found: dict[str, Any] = dict(evidence or {})
    first = 0
    for layer, group in questions.groups.items():
        some = slice(first, first + len(group))
        if evidence is None:
            empty = ExactEvidence.empty(len(group), values.shape[2], draws=60)
            found[layer] = empty.update(values[:, some], changed[:, some], np.arange(len(values)), seed)
        first += len(group)
    before = EffectMoments.of(np.random.default_rng(1).normal(size=(len(values), values.shape[2])))
    return Effects(
        of, questions, found, before, outcomes(list(asked), of.output.units), len(values), 1.0,
        int(changed.sum()), seed, how, settings or {}, 12.5, scale,
    )  # fmt: skip


def drawn(n: int = 600, seed: int = 0, sd: float = 0.1) -> tuple[Array, Array]:
    """Give effects (image, 14 units, 2 columns), and their true means (unit, column)."""
    rng = np.random.default_rng(seed)
    means = np.stack([np.linspace(-0.1, 0.2, 14), np.linspace(0.5, -1.5, 14)], axis=1)
    return means + rng.normal(size=(n, 14, 2)) * [sd, 4 * sd], means
