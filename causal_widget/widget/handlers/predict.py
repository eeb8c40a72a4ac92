"""predict: what the structural equations answer under a do(), at once and without running the network."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from causal_widget.effects import Effect, Evaluation
from causal_widget.interventions import Intervention
from causal_widget.responses import ResponseSet
from causal_widget.scm import StructuralCausalModel
from causal_widget.widget.handlers.effect import effect_data, intervention_of
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend, Choices

UNCOLLECTED = "there are no equations yet: collect first"
NOT_ATTACHED = "the equations know no network to read responses from: scm.attach(model)"


def can_predict(backend: Backend, choices: Choices) -> bool:
    """Say whether an answer needs nothing but arithmetic: the responses are there, or nothing can be said."""
    return backend.explainer.scm is None or _key(backend, choices) in backend.store


def predict(backend: Backend, task: Task) -> Reply:
    """Answer by the equations, on the images that effects are measured on; why not, where they cannot."""
    scm, do = backend.explainer.scm, intervention_of(backend, task)
    reason = _reason(scm, do)
    if scm is None or reason is not None:
        return Reply({"predicted": None, "reason": reason})
    key = ("predicted effect", _key(backend, task.choices), do)
    return Reply({"predicted": backend.store.recall(key, lambda: _predict(backend, task, scm, do))})


def _reason(scm: StructuralCausalModel | None, do: Intervention) -> str | None:
    if scm is None:
        return UNCOLLECTED
    if scm.source is None:
        return NOT_ATTACHED
    if do.site != scm.site:
        return f"the equations are about responses at the {scm.site}, the intervention is at the {do.site}"
    return None


def _predict(backend: Backend, task: Task, scm: StructuralCausalModel, do: Intervention) -> dict[str, Any]:
    responses, before = observed(backend, task, scm)
    began = time.perf_counter()
    logits = scm.do(do).predict(responses).logits
    after = Evaluation(logits, before.labels, before.class_names, time.perf_counter() - began)
    return effect_data(Effect(do, before, after), [])


def observed(backend: Backend, task: Task, scm: StructuralCausalModel) -> tuple[ResponseSet, Evaluation]:
    """Give the responses on the images of effects, read once, and what the network answers on them."""

    def read() -> tuple[ResponseSet, Evaluation]:
        assert scm.source is not None
        progress = backend.progress(task)
        loader = backend.data.evaluation(task.choices.batches, progress)
        source = replace(scm.source, device=backend.twin(task.choices.device).device)
        responses = source.read(loader, progress=progress)
        return responses, responses.evaluation(backend.explainer.class_names)

    return backend.store.get(_key(backend, task.choices), read)


def _key(backend: Backend, choices: Choices) -> Hashable:
    return ("responses", backend.store.weights_key(choices.device), choices.batches)
