"""do(): the causal model with some units taken from their equations and set."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Intervention
from causal_widget.responses import Evaluation, ResponseSet
from causal_widget.scm.expectation import Expectation
from causal_widget.scm.forced import Forced, descendants, forced
from causal_widget.scm.images import responses_of
from causal_widget.scm.linear import closed_form_pays, is_linear, linear_change
from causal_widget.scm.local.answering import answers_locally, local_for
from causal_widget.scm.propagate import propagate

if TYPE_CHECKING:
    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["ANSWERS", "NOISES", "Chosen", "Submodel", "check_answer", "do"]

ANSWERS = ("equations", "local")
NOISES = ("abducted", "zero")
WHOLE = (":", "all")
Chosen = Intervention | Mapping[str, Iterable[int] | int | str]


@dataclass(frozen=True, repr=False, eq=False)
class Submodel:
    """A causal model under do(): the units set obey no equation any more, all others theirs.

    Source: Pearl 2009, "Causality", definition 7.1.2.

    Attributes
    ----------
    model
        The causal model.
    intervention
        What is set, to what, and where.
    answer
        What answers: "equations", those of the model; "local", coefficients local to each image; None: see
        `do`.
    """

    model: StructuralCausalModel
    intervention: Intervention
    answer: str | None = None

    def answered_by(self, images: Any = None, *, noise: str = "abducted", outcome: str | None = None) -> str:
        """Say what answers a question: "local" or "equations" (`do` says when which)."""
        classes = self._outcome(outcome) == self.model.graph.output.name
        able = classes and noise == "abducted"
        if self.answer == "local" and not able:
            raise ArgumentError(
                'answer="local" is about the classes, with what is particular to each image kept; '
                f'got outcome={outcome!r}, noise={noise!r}, which answer="equations" can do'
            )
        if self.answer is not None:
            return self.answer
        return "local" if able and answers_locally(self.model, images) else "equations"

    @cached_property
    def forced(self) -> Forced:
        """The intervention in columns of responses."""
        return forced(self.model, self.intervention)

    def predict(self, images: Any = None, *, noise: str = "abducted", outcome: str | None = None) -> Any:
        """Predict what the network would answer under the intervention, image by image.

        Parameters
        ----------
        images
            A tensor, a loader, responses that were read before, or None: the held-out images.
        noise
            "abducted": what each equation misses on this image is kept, so that without an intervention the
            answer is the network's own, bit for bit. "zero": the equations alone predict all descendants.
        outcome
            The layer that is asked about; None: the classes.

        Returns
        -------
        Evaluation, or array (image, column)
            An array where the outcome is not the layer of the classes.

        Raises
        ------
        OrderError
            If images must be read and no network is attached.
        ArgumentError
            If the outcome is intervened on.
        UnknownNameError
            If the outcome or the noise does not exist.
        """
        if self.answered_by(images, noise=noise, outcome=outcome) == "local":
            return self._locally(images)[1]
        responses, layer = responses_of(self.model, images), self._outcome(outcome)
        found = self._answer(responses, layer, noise)
        if layer != self.model.graph.output.name:
            return found
        own = responses.evaluation()
        return Evaluation(found, own.labels, own.class_names)

    def change(
        self, images: Any = None, *, noise: str = "abducted", outcome: str | None = None
    ) -> Float64[np.ndarray, "image column"]:
        """Give the change of the logits, or of another outcome, that the intervention makes, by image."""
        if self.answered_by(images, noise=noise, outcome=outcome) == "local":
            before, after = self._locally(images)
            return np.asarray(after.logits - before.logits)
        responses, layer = responses_of(self.model, images), self._outcome(outcome)
        moved = self._answer(responses, layer, noise)
        return np.asarray(moved - np.asarray(responses[layer], dtype=np.float64))

    def expectation(self, images: Any = None, *, noise: str = "abducted") -> Expectation:
        """Give E[logits | do] over the images, with its standard error, and the paired change.

        Source: Narendra et al. 2018, "Inference on the Causal Model": the outcome of every image, averaged.
        """
        before, after = self.both(images, noise=noise)
        by = self.answered_by(images, noise=noise)
        return Expectation.of(self.intervention, before.class_names, before.logits, after.logits, by)

    def both(self, images: Any = None, *, noise: str = "abducted") -> tuple[Evaluation, Evaluation]:
        """Give the network's own answers, and those predicted under the intervention, on the same images."""
        if self.answered_by(images, noise=noise) == "local":
            return self._locally(images)
        responses = responses_of(self.model, images)
        before = responses.evaluation()
        after = self._answer(responses, responses.output, noise)
        return before, Evaluation(after, before.labels, before.class_names)

    def _locally(self, images: Any) -> tuple[Evaluation, Evaluation]:
        local = local_for(self.model, images, self.intervention.n_units)
        labels = None if local.labels is None else np.asarray(local.labels, dtype=np.int64)
        names = tuple(map(str, range(local.logits.shape[1])))
        before = Evaluation(local.logits, labels, names)
        return before, Evaluation(local.logits + local.predict(self.intervention), labels, names)

    def _answer(self, responses: ResponseSet, layer: str, noise: str) -> Float64[np.ndarray, "image column"]:
        if noise not in NOISES:
            raise UnknownNameError(
                f'noise "{noise}" does not exist; expected one of {", ".join(NOISES)}.'
                f"{nearest(str(noise), NOISES)}"
            )
        own = np.asarray(responses[layer], dtype=np.float64)
        if noise == "abducted" and self._in_closed_form(layer, len(own)):
            return np.asarray(own + linear_change(self.model, self.forced, responses, layer))
        return np.asarray(propagate(self.model, self.forced, responses, layer, noise).get(layer, own))

    def _in_closed_form(self, layer: str, n_images: int) -> bool:
        return is_linear(self.model, layer) and closed_form_pays(self.model, self.forced, layer, n_images)

    def _outcome(self, outcome: str | None) -> str:
        graph = self.model.graph
        layer = graph.output.name if outcome is None else graph.layer(outcome).name
        if layer in self.intervention.units:
            raise ArgumentError(
                f'layer "{layer}" is the outcome and is intervened on; an outcome is no part of what is set'
            )
        return layer

    def __repr__(self) -> str:
        if self.answer == "local":
            return f"Submodel under {self.intervention!r}, by coefficients local to each image"
        reached = len(descendants(self.model, self.forced))
        return (
            f"Submodel under {self.intervention!r}: {reached} of {len(self.model.graph.layers)} layers "
            f"follow by their equations ({self.model.estimator}, {self.model.transform})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


def do(
    model: StructuralCausalModel,
    units: Chosen,
    value: float = 0.0,
    *,
    scale: float | None = None,
    answer: str | None = None,
) -> Submodel:
    """Set units of a causal model: Pearl's mutilated model.

    Two things can answer. The fitted equations do so without any pass of the network and are exact where it
    is linear; of deep networks they foresee little (`evaluation.fidelity` measures how much). Coefficients
    local to each image (`local_coefficients`) foresee most of it, and cost gradients once for each set of
    images. The paper's way is "equations".

    Parameters
    ----------
    model
        The causal model.
    units
        Units by layer, ``{"conv3": [5, 9]}``; ``":"`` or ``"all"`` takes a whole layer. Or an `Intervention`.
    value
        What every element of the units' maps is set to; their response is the transform's of such a map.
    scale
        Instead: the response moves linearly from its own (1) to that of a silent map (0).
    answer
        "local" or "equations". None: local where the network is attached, the question is about images (not
        about responses that were read before) and their classes, and these are at most 32; else equations.

    Raises
    ------
    UnknownNameError
        If a layer or unit, or what answers, does not exist.
    ArgumentError
        If the classes are intervened on (the outcome is no part of what is set), the site is not the model's,
        or both a value and a scale are given.
    """
    check_answer(answer)
    if not isinstance(units, Intervention):
        asked = Intervention(_whole_layers(model.graph, units), value, model.site, scale)
    elif value != 0 or scale is not None:
        raise ArgumentError(
            f"{units!r} says itself what is done; value and scale are for units given as a mapping"
        )
    else:
        asked = units
    if asked.site != model.site:
        raise ArgumentError(
            f'the intervention is at site "{asked.site}", and the responses of this model were read at '
            f'"{model.site}"; intervene there'
        )
    return Submodel(model, asked.checked(model.graph), answer)


def check_answer(answer: object) -> None:
    """Refuse what is no way to answer.

    Raises
    ------
    UnknownNameError
        If it is neither None nor one of `ANSWERS`.
    """
    if answer is not None and answer not in ANSWERS:
        raise UnknownNameError(
            f'answer "{answer}" is not known; expected one of {", ".join(ANSWERS)}.'
            f"{nearest(str(answer), ANSWERS)}"
        )


def _whole_layers(graph: FilterGraph, units: object) -> dict[str, Any]:
    """Give each layer's units, with those of whole layers listed."""
    if not isinstance(units, Mapping):
        raise ArgumentError(f'units must be a mapping such as {{"conv1": [3, 7]}}, got {units!r:.80}')
    layers = {graph.layer(name): chosen for name, chosen in units.items()}
    return {
        layer.name: range(layer.units) if isinstance(chosen, str) and chosen in WHOLE else chosen
        for layer, chosen in layers.items()
    }
