"""What was measured of many edits, each alone: effects on every outcome, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float64

from causal_widget.effects.columns import Columns, columns_of, largest_sizes
from causal_widget.effects.evidence import Evidence, ExactEvidence
from causal_widget.effects.outcomes import Outcome
from causal_widget.effects.questions import Question
from causal_widget.effects.shrunken import cheap_means, shrunken_effects
from causal_widget.effects.statistics import EffectMoments, Estimate
from causal_widget.errors import UnknownNameError, nearest
from causal_widget.graph import FilterGraph

__all__ = ["Asked", "MeasuredEffects"]

# What the two parts of the images are called in evidence of either kind.
HALVES = {"all": ("all", "all"), "choosing": ("selection", "pilot"), "judging": ("estimation", "main")}


class Asked(Protocol):
    """What was asked, by the layer at which the change enters, in forward order."""

    @property
    def groups(self) -> Mapping[str, tuple[Question, ...]]:
        """The questions of each layer."""


@dataclass(frozen=True, eq=False, repr=False)
class MeasuredEffects:
    """Mean, spread and number of images of each question's effect on each outcome.

    Attributes
    ----------
    graph : FilterGraph
        The network's graph.
    questions : Questions
        What was asked, each alone.
    evidence : mapping of layer name to evidence
        What was measured: the outcome under do() minus the outcome without, image by image. The questions
        are in the order of ``questions.groups``, the columns in that of `columns`.
    before : EffectMoments, questions (column,)
        The outcomes without a change.
    outcomes : tuple of Outcome
        What was measured.
    n_images : int
        How many images the network was shown.
    seconds : float
        How long it took.
    ran : int
        Pairs of question and image that were run; in the others the edit changes nothing.
    seed : int
        Of what was drawn.
    how : {"exact", "controlled", "adaptive"}
        Every image; or exact effects on some images and an estimate on all, in one round or several.
    settings : mapping
        What else the run was told, as plain values.
    worked : float
        The work in forward passes of the whole network over one image.
    scale : float
        Mean absolute logit of the true class without a change (of the answer, without labels).
    """

    graph: FilterGraph
    questions: Asked
    evidence: Mapping[str, Evidence]
    before: EffectMoments
    outcomes: tuple[Outcome, ...]
    n_images: int
    seconds: float
    ran: int
    seed: int = 0
    how: str = "exact"
    settings: Mapping[str, Any] = field(default_factory=dict)
    worked: float = float("nan")
    scale: float = float("nan")

    @property
    def n(self) -> int:
        """Number of images."""
        return self.n_images

    @cached_property
    def asked(self) -> tuple[Question, ...]:
        """All questions, layers in forward order."""
        return tuple(question for group in self.questions.groups.values() for question in group)

    @cached_property
    def units(self) -> dict[str, tuple[int, ...]]:
        """The units that were changed alone, by layer."""
        found = {
            layer: tuple(one.unit for one in group if one.unit is not None)
            for layer, group in self.questions.groups.items()
        }
        return {layer: units for layer, units in found.items() if units}

    @property
    def n_units(self) -> int:
        """Number of units that were changed alone."""
        return sum(len(units) for units in self.units.values())

    @cached_property
    def moments(self) -> dict[str, EffectMoments]:
        """Moments of the exact effects by layer, questions (question, column)."""
        return {layer: self.evidence[layer].moments for layer in self.questions.groups}

    @cached_property
    def measured(self) -> Columns:
        """The measured columns, and which outcome each is of."""
        return columns_of(self.outcomes, self.before.mean.shape[0], self.graph.output.units)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the measured columns: the outcomes, or one a class."""
        return self.measured.names

    def column(self, name: str) -> int:
        """Give the position of a column.

        Raises
        ------
        UnknownNameError
            If it was not measured.
        """
        return self.measured.position(name)

    def mean(self, layer: str, outcome: str) -> Float64[np.ndarray, " question"]:
        """Mean effect of each question of a layer, in the order of ``questions.groups``."""
        if layer not in self.evidence:
            raise UnknownNameError(f'layer "{layer}" was not swept.{nearest(layer, self.evidence)}')
        first = 0
        for name, group in self.questions.groups.items():
            if name == layer:
                break
            first += len(group)
        count = len(self.questions.groups[layer])
        return np.asarray(self._known.mean[first : first + count, self.column(outcome)])

    @cached_property
    def all(self) -> EffectMoments:
        """All questions' moments together, questions (question, column), layers in forward order."""
        parts = list(self.moments.values())
        return EffectMoments(
            np.concatenate([one.n for one in parts]),
            np.concatenate([one.mean for one in parts]),
            np.concatenate([one.squares for one in parts]),
        )

    @cached_property
    def _known(self) -> Estimate:
        return self.estimate()

    def estimate(self, population: int | str | None = "run", half: str = "all") -> Estimate:
        """Say what is known of all mean effects, questions (question, column), layers in forward order.

        Parameters
        ----------
        population : int, "given", "run" or None
            Images that the mean is about: a number, just those given, what the run was about, or all there
            might ever be. An exact sweep is about all there might be, a run with exact effects on some
            images about those given, if it was not told otherwise.
        half : {"all", "choosing", "judging"}
            All images, or one of the two parts that share none.
        """
        about = self._about(population)
        if half not in HALVES:
            raise UnknownNameError(
                f'half "{half}" does not exist; expected one of {", ".join(HALVES)}.{nearest(half, HALVES)}'
            )
        return Estimate.joined([self._of_layer(layer, about, half) for layer in self.questions.groups])

    @property
    def borrows(self) -> bool:
        """Whether some effects are estimated with exact ones on some images: then `shrunken` says more."""
        return any(not isinstance(one, ExactEvidence) for one in self.evidence.values())

    def shrunken(self, half: str = "all") -> Float64[np.ndarray, "question column"]:
        """Give effects drawn to their first-order estimates, for order alone; see `shrunken_effects`.

        With few exact images an effect without bias is noisy, and the first-order estimate by itself may rank
        better; with many it is the other way round. Where there is no such estimate, or all images are exact,
        this is the effect.

        Parameters
        ----------
        half
            As for `estimate`.
        """
        cheap = np.concatenate([cheap_means(self.evidence[layer]) for layer in self.questions.groups])
        return shrunken_effects(self.estimate("given", half), cheap)

    def _about(self, population: int | str | None) -> int | str | None:
        if population == "run":
            return self.settings.get("population", "given") if self.how != "exact" else None
        return population

    def _of_layer(self, layer: str, population: int | str | None, half: str) -> Estimate:
        found, part = self.evidence[layer], HALVES[half]
        if isinstance(found, ExactEvidence):
            return found.estimate(population, part[0], largest=self._largest, usual=self._usual)
        return found.estimate(
            population, part[1], anytime=self.how == "adaptive",
            level=self.settings.get("level", 0.95), questions=self.settings.get("judged questions", 1),
            usual=self._usual,
        )  # fmt: skip

    @cached_property
    def _largest(self) -> Float64[np.ndarray, " column"]:
        """Largest absolute effect of any question on an image."""
        exact = [one for one in self.evidence.values() if isinstance(one, ExactEvidence)]
        return largest_sizes([one.largest.max(axis=0, initial=0.0) for one in exact], self.measured.owners)

    @cached_property
    def _usual(self) -> Float64[np.ndarray, " column"]:
        """How large an effect is where there is one, of the question where it is largest."""
        return largest_sizes([one.usual for one in self.evidence.values()], self.measured.owners)
