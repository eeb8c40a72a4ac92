"""predict and local: what the causal model answers under a do(), at once and without running the network."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_widget.effects import Effect, Evaluation
from causal_widget.errors import OrderError, UnknownNameError, nearest
from causal_widget.interventions import Intervention
from causal_widget.responses import ResponseSet
from causal_widget.scm import StructuralCausalModel
from causal_widget.scm.local import LocalCoefficients, local_coefficients
from causal_widget.scm.local.answering import MOST_CLASSES
from causal_widget.widget.handlers.effect import effect_data, intervention_of
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend, Choices

BY = ("equations", "local")
# none of the network, a fiftieth and a tenth silenced: what a person chooses by hand is rarely more
FRACTIONS, PASSES = (0.0, 0.02, 0.1), (1, 4, 8)
# what collecting takes, in bare forward passes: alone, and with a second pass under random interventions
COLLECTING_PASSES = {False: 1.1, True: 2.4}
UNCOLLECTED = "there are no equations yet: collect first"
NOT_ATTACHED = "the equations know no network to read responses from: scm.attach(model)"
TOO_MANY = f"local equations need a gradient a class, and there are more than {MOST_CLASSES} classes"
NOT_MEASURED = "the local equations of these images are not measured yet"


def can_predict(backend: Backend, choices: Choices) -> bool:
    """Say whether an answer needs nothing but arithmetic: the responses are there, or nothing can be said."""
    return backend.explainer.scm is None or _key("responses", backend, choices) in backend.store


def predict(backend: Backend, task: Task) -> Reply:
    """Answer by equations, on the images that effects are measured on; why not, where they cannot."""
    scm, do, by = backend.explainer.scm, intervention_of(backend, task), task.request.args["by"]
    if by not in BY:
        raise UnknownNameError(f'"{by}" predicts nothing; expected {" or ".join(BY)}.{nearest(by, BY)}')
    reason = _reason(scm, do)
    if scm is None or reason is not None:
        return Reply({"predicted": None, "reason": reason})
    responses, before = observed(backend, task, scm)
    if by == "local" and backend.explainer.graph.output.units > MOST_CLASSES:
        return Reply({"predicted": None, "reason": TOO_MANY})
    if by == "local" and _key("local", backend, task.choices) not in backend.store:
        return Reply({"predicted": None, "reason": NOT_MEASURED, "cost": _cost(backend, before.n)})

    def answer() -> dict[str, Any]:
        if by == "equations":
            return _answer(do, before, lambda: scm.do(do, answer="equations").predict(responses).logits)
        local: LocalCoefficients = backend.store.get(_key("local", backend, task.choices), _never)
        own = Evaluation(local.logits, before.labels, before.class_names)
        return _answer(do, own, lambda: local.logits + local.predict(do))

    key = (_key("predicted", backend, task.choices), by, do)
    return Reply({"predicted": backend.store.recall(key, answer)})


def local(backend: Backend, task: Task) -> Reply:
    """Measure equations local to each image of those that effects are measured on."""
    scm, twin = backend.explainer.scm, backend.twin(task.choices.device)
    if scm is None:
        raise OrderError(UNCOLLECTED)
    progress = backend.progress(task)

    def measure() -> LocalCoefficients:
        return local_coefficients(
            twin.model,
            scm.graph,
            backend.data.evaluation(task.choices.batches, progress),
            outcomes="all",
            site=scm.site,
            fractions=FRACTIONS,
            passes=PASSES,
            seed=task.request.args["seed"],
            device=twin.device,
            progress=progress,
        )

    found = backend.store.get(_key("local", backend, task.choices), measure)
    return Reply({"message": f"local equations of {found.n_images:,} images"})


def observed(backend: Backend, task: Task, scm: StructuralCausalModel) -> tuple[ResponseSet, Evaluation]:
    """Give the responses on the images of effects, read once, and what the network answers on them.

    Raises
    ------
    OrderError
        If no network is attached to the model.
    """

    def read() -> tuple[ResponseSet, Evaluation]:
        if scm.source is None:
            raise OrderError(NOT_ATTACHED)
        progress = backend.progress(task)
        loader = backend.data.evaluation(task.choices.batches, progress)
        source = replace(scm.source, device=backend.twin(task.choices.device).device)
        responses = source.read(loader, progress=progress)
        return responses, responses.evaluation(backend.explainer.class_names)

    return backend.store.get(_key("responses", backend, task.choices), read)


def seconds_of(backend: Backend, passes: float) -> float | None:
    """Reckon how long so many forward passes of one image take, by the time that collecting took."""
    collection = backend.explainer.collection
    if collection is None or not collection.n_images:
        return None
    beside = COLLECTING_PASSES[collection.interventional is not None]
    return passes * collection.seconds / collection.n_images / beside


def _reason(scm: StructuralCausalModel | None, do: Intervention) -> str | None:
    if scm is None:
        return UNCOLLECTED
    if scm.source is None:
        return NOT_ATTACHED
    if do.site != scm.site:
        return f"the equations are about responses at the {scm.site}, the intervention is at the {do.site}"
    return None


def _answer(
    do: Intervention, before: Evaluation, logits: Callable[[], np.ndarray[Any, Any]]
) -> dict[str, Any]:
    began = time.perf_counter()
    found = logits()
    after = Evaluation(found, before.labels, before.class_names, time.perf_counter() - began)
    return effect_data(Effect(do, before, after), [])


def _cost(backend: Backend, images: int) -> dict[str, Any]:
    passes = images * sum(PASSES) * (1 + 2 * backend.explainer.graph.output.units)
    return {"passes": passes, "images": images, "seconds": seconds_of(backend, passes)}


def _key(what: str, backend: Backend, choices: Choices) -> Hashable:
    return (what, backend.store.weights_key(choices.device), choices.batches)


def _never() -> LocalCoefficients:
    raise OrderError(NOT_MEASURED)
