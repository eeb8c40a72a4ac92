"""effect: what the network answers under the current do(), against what it answers without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from causal_widget.effects import ClassEffect, Effect, Evaluation, Paired, effect_of, evaluate
from causal_widget.errors import ArgumentError
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.interventions import Intervention
from causal_widget.widget.data import Strip
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend


def intervention_of(backend: Backend, task: Task) -> Intervention:
    """Give the do() that a request means: the one it carries, else the person's choices."""
    args, choices = task.request.args, task.choices
    units = choices.ablated if args["ablated"] is None else args["ablated"]
    site = choices.site if args["site"] is None else args["site"]
    scale = choices.scale if args["scale"] is None else args["scale"]
    if not 0 <= scale <= 1:
        raise ArgumentError(f"scale must be between 0 (silent) and 1 (as it is), got {scale:g}")
    do = Intervention(units, 0.0, site) if scale == 0 else Intervention(units, site=site, scale=scale)
    return do.checked(backend.explainer.graph)


def effect(backend: Backend, task: Task) -> Reply:
    """Measure the current do() on the kept images, or remember what was measured."""
    do = intervention_of(backend, task)
    key = ("effect", backend.store.weights_key(task.choices.device), task.choices.batches, do)
    return Reply(backend.store.recall(key, lambda: _measure(backend, task, do)))


def _measure(backend: Backend, task: Task, do: Intervention) -> dict[str, Any]:
    explainer = backend.twin(task.choices.device)
    # a newer request may end the effect, but not the reading of images and the baseline that it needs as well
    patient = backend.progress(task)
    loader = backend.data.evaluation(task.choices.batches, patient)
    key = ("baseline", backend.store.weights_key(task.choices.device), task.choices.batches)
    baseline = backend.store.get(
        key,
        lambda: evaluate(
            explainer.model,
            loader,
            class_names=explainer.class_names,
            device=explainer.device,
            progress=patient,
        ),
    )
    found = effect_of(
        explainer.model,
        explainer.graph,
        do,
        loader,
        backend.progress(task, task.superseded),
        baseline,
        device=explainer.device,
    )
    return effect_data(found, _strip(explainer, backend.data.shown, do))


def _strip(explainer: CausalCNNExplainer, strip: Strip, do: Intervention) -> list[dict[str, Any]]:
    """Give class and probability of each image of the strip, without and under do()."""
    found = effect_of(explainer.model, explainer.graph, do, strip.loader(), device=explainer.device)
    both = zip(answers(found.before), answers(found.after), strict=True)
    return [{"before": one, "after": other} for one, other in both]


def answers(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Give the predicted class of each image, and its probability."""
    chosen = evaluation.predictions
    return [{"cls": int(k), "p": float(evaluation.probabilities[i, k])} for i, k in enumerate(chosen)]


def effect_data(found: Effect, strip: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the JSON form of an effect, whoever says it: the network or the equations."""
    accuracy, loss, do = found.accuracy, found.loss, found.intervention
    return {
        "n": found.n,
        "units": dict(do.units),
        "site": do.site,
        "scale": 0.0 if do.scale is None else do.scale,
        "before": {"accuracy": found.before.accuracy, "loss": found.before.loss},
        "after": {"accuracy": found.after.accuracy, "loss": found.after.loss},
        "change": {
            "accuracy": _part(accuracy, "change"),
            "accuracySe": _part(accuracy, "se"),
            "loss": _part(loss, "change"),
            "lossSe": _part(loss, "se"),
        },
        "classes": [_class_data(one) for one in found.classes],
        "flipped": found.flipped,
        "strip": strip,
        "seconds": found.seconds,
    }


def _class_data(one: ClassEffect) -> dict[str, Any]:
    return {
        "name": one.name,
        "before": _part(one.accuracy, "before"),
        "after": _part(one.accuracy, "after"),
        "change": _part(one.accuracy, "change"),
        "se": _part(one.accuracy, "se"),
        "logit": one.logit.change,
        "logitSe": one.logit.se,
    }


def _part(pair: Paired | None, name: str) -> float | None:
    return None if pair is None else float(getattr(pair, name))
