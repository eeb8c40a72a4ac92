"""How a class's graph is found: the settings, checked, and what was chosen where the paper leaves it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np

from causal_widget.effects.statistics import minimum_effect
from causal_widget.effects.statistics.checks import check_share, check_whole
from causal_widget.errors import ArgumentError, UnknownNameError, check_seed, nearest
from causal_widget.explanations.class_graphs.judging import LEAST_IMAGES
from causal_widget.explanations.class_graphs.walk import EPSILON
from causal_widget.graph import FilterGraph

__all__ = ["MODES", "Settings"]

MODES = ("sound", "paper")


@dataclass(frozen=True)
class Settings:
    """How a graph is found.

    Attributes
    ----------
    mode : {"sound", "paper"}
    alpha : float
        "paper": threshold of each z-test. "sound": rate of false discoveries.
    level : float
        Of the intervals.
    b : float or None
        Weights are multiplied by a number drawn from U(b - 0.01, b + 0.01); None: by 0.
    min_effect : number or str
        "sound": least effect that matters, in units of the class's output or as a share of its mean size.
    wrong : {"use", "leave out"}
        What becomes of images that the network gets wrong.
    least : int
        Fewer images, in "sound" in each half, give no verdict.
    seed : int
        Of the halves and of the drawn betas.
    """

    mode: str = "sound"
    alpha: float = 0.05
    level: float = 0.95
    b: float | None = None
    min_effect: float | str = "1%"
    wrong: str = "use"
    least: int = LEAST_IMAGES
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UnknownNameError(
                f'mode "{self.mode}" is not known; expected one of {", ".join(MODES)}.'
                f"{nearest(str(self.mode), MODES)}"
            )
        check_share(self.alpha, "alpha")
        check_share(self.level, "level")
        check_whole(self.least, "least (images for a verdict)", 2)
        check_seed(self.seed)
        minimum_effect(self.min_effect, 1.0)
        inside = isinstance(self.b, Real) and not isinstance(self.b, bool) and 0 < self.b < 1
        if self.b is not None and not inside:
            raise ArgumentError(
                f"b must be a number between 0 and 1, or None for beta = 0, got {self.b!r:.80}"
            )

    def beta(self, graph: FilterGraph, layer: str, unit: int) -> float:
        """Give what a unit's weights are multiplied by: drawn by seed, layer and unit alone."""
        if self.b is None:
            return 0.0
        low, high = max(self.b - EPSILON, 0.0), min(self.b + EPSILON, 1.0)
        return float(np.random.default_rng([self.seed, graph.layer(layer).index, unit]).uniform(low, high))

    @property
    def choices(self) -> Mapping[str, str]:
        """What was chosen, also where the paper is silent."""
        beta = "beta = 0: the weights from a unit to all targets are taken away together"
        if self.b is not None:
            beta = f"beta drawn for every unit from U({self.b:g} - {EPSILON}, {self.b:g} + {EPSILON})"
        wrong = {"use": "are used like all others", "leave out": "are left out"}[self.wrong]
        few = "images in each half" if self.mode == "sound" else "images"
        special = self._paper() if self.mode == "paper" else self._sound()
        return {
            "intervention": beta,
            "wrong images": f"images that the network gets wrong {wrong}",
            "few images": f"fewer than {self.least} {few} give no verdict",
            **_COMMON,
            **special,
        }

    def _paper(self) -> dict[str, str]:
        return {
            "test": "two-sided z-test of the mean paired effect, standard deviation with n - 1, all images",
            "many tests": "not corrected for, as in the paper",
        }

    def _sound(self) -> dict[str, str]:
        share = isinstance(self.min_effect, str)
        least = f"{self.min_effect} of the class's mean output" if share else f"{self.min_effect:g}"
        return {
            "test": f"one-sided paired t-tests against a least effect of {least}, times 1 - b",
            "halves": "the whole graph is found on one half of the images; its critical and detrimental "
            "units are tested again, through the same targets, on the other half, of which their numbers are",
            "many tests": "Benjamini-Hochberg in each layer on the first half; on the second, over the whole "
            "graph at once, focused Benjamini-Hochberg: of the units reported, all of which have a way to "
            "the class through reported units, a share of at most alpha is expected to be false",
        }


_COMMON = {
    "outcome": "the network's output for the class, as it gives it, paired by image: eq. (2)",
    "targets": "the class, then the critical units of the layers after; neutral, detrimental and undecided "
    "units are no targets",
    "branches": "every layer that a target reads is asked; a unit's paths to the targets in all layers that "
    "read it are intervened on together",
    "shared channels": "where units share a channel (residual sums, gates), the targets see the unit itself "
    "scaled at its last site, on the way to them alone",
    "rounding": "effects up to 32 units in the last place of an image's largest output are 0",
    "nothing significant": "the graph ends there; nothing is put in its place",
}
