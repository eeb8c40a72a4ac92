"""effect: what the network answers under the current do(), against what it answers without."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from causal_widget.effects import ClassEffect, Effect, Evaluation, Paired
from causal_widget.effects.half_widths import half_width, half_width_of_share
from causal_widget.effects.live import LiveEffects
from causal_widget.errors import ArgumentError
from causal_widget.interventions import Intervention
from causal_widget.widget.data import Kept
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
    """Measure the current do() on the kept images, on a part of them where time is short, or remember."""
    do, seconds = intervention_of(backend, task), task.request.args["seconds"]
    key = ("effect", _key(backend, task), do)
    known = backend.store.recent(key)
    if known is None:
        known = _measure(backend, task, do, seconds)
        if known["n"] == known["of"]:
            backend.store.remember(key, known)
    return Reply(known)


def _measure(backend: Backend, task: Task, do: Intervention, seconds: float | None) -> dict[str, Any]:
    # a newer request may end the effect, but not the reading of images that it needs as well
    live, strip = backend.store.latest("live", _key(backend, task), lambda: _lively(backend, task))
    found = live.effect(do, seconds, backend.progress(task, task.superseded))
    return {**effect_data(found, _cards(strip.effect(do))), "of": live.n_images}


def _key(backend: Backend, task: Task) -> Hashable:
    return backend.store.weights_key(task.choices.device), task.choices.batches


def _lively(backend: Backend, task: Task) -> tuple[LiveEffects, LiveEffects]:
    """Give what answers on the images of effects, and on those of the strip."""
    explainer = backend.twin(task.choices.device)
    kept = backend.data.evaluation(task.choices.batches, backend.progress(task))

    def on(images: Kept, seed: int | None) -> LiveEffects:
        return LiveEffects(
            explainer.model,
            explainer.graph,
            images,
            class_names=explainer.class_names,
            device=explainer.device,
            seed=seed,
        )

    return on(kept, 0), on(backend.data.shown.loader(), None)


def _cards(found: Effect) -> list[dict[str, Any]]:
    """Give class and probability of each image of the strip, without and under do()."""
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
            "accuracyHalf": None if accuracy is None else half_width_of_share(accuracy),
            "loss": _part(loss, "change"),
            "lossSe": _part(loss, "se"),
            "lossHalf": None if loss is None else half_width(loss),
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
        "half": None if one.accuracy is None else half_width_of_share(one.accuracy),
        "logit": one.logit.change,
        "logitSe": one.logit.se,
        "logitHalf": half_width(one.logit),
    }


def _part(pair: Paired | None, name: str) -> float | None:
    return None if pair is None else float(getattr(pair, name))
