"""check and checked: the job that holds the equations against the network, its cost, and what it found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from causal_widget.errors import ArgumentError, OrderError
from causal_widget.evaluation import Fidelity, fidelity
from causal_widget.evaluation.kinds import hidden_layers
from causal_widget.scm import StructuralCausalModel
from causal_widget.scm.local.answering import MOST_CLASSES
from causal_widget.scm.sanity import Sanity
from causal_widget.widget.handlers.predict import (
    FRACTIONS,
    NOT_ATTACHED,
    PASSES,
    TOO_MANY,
    UNCOLLECTED,
    observed,
    seconds_of,
)
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

KINDS = {"single": "one unit", "layer 10%": "10 % of a layer", "network 10%": "10 % of the network"}
OURS = {"equations": "SCM equations", "local": "local SCM"}
OTHERS = ("gradient", "leave-one-out", "COAR", "weight norm", "no change")
COAR_MASKS = 500
BUDGET = 10_000
MOST_DRAWS = 200
UNLABELLED = "the images have no labels, and it is about true classes"


@dataclass(frozen=True)
class Checked:
    """What a check found, and of which equations.

    Attributes
    ----------
    scm : StructuralCausalModel
    sanity : Sanity
    fidelity : Fidelity or None
        None where the images have no labels.
    seconds : float
        How long it took.
    """

    scm: StructuralCausalModel
    sanity: Sanity
    fidelity: Fidelity | None
    seconds: float


def check_equations(backend: Backend) -> None:
    """Refuse what needs equations and their network.

    Raises
    ------
    OrderError
        If there are none.
    """
    reason = _reason(backend)
    if reason is not None:
        raise OrderError(reason)


def check_local(backend: Backend, args: Mapping[str, Any]) -> None:
    """Refuse local equations of very many classes: each is one more gradient.

    Raises
    ------
    OrderError, ArgumentError
    """
    check_equations(backend)
    if backend.explainer.graph.output.units > MOST_CLASSES:
        raise ArgumentError(TOO_MANY)


def check_check(backend: Backend, args: Mapping[str, Any]) -> None:
    """Refuse a check that cannot be made.

    Raises
    ------
    OrderError
        If there are no equations, or they know no network.
    ArgumentError
        If there are too few images or interventions, or too many.
    """
    check_equations(backend)
    if not 1 <= args["draws"] <= MOST_DRAWS:
        raise ArgumentError(f"draws must be between 1 and {MOST_DRAWS}, got {args['draws']}")
    if args["images"] < 1:
        raise ArgumentError(f"images must be 1 or more, got {args['images']}")


def check(backend: Backend, task: Task) -> Reply:
    """Roll the equations out from every depth, and compare what they foresee with what the network does."""
    began, scm, args = time.perf_counter(), backend.explainer.scm, task.request.args
    if scm is None:
        raise OrderError(UNCOLLECTED)
    responses, _ = observed(backend, task, scm)
    sanity, found = scm.sanity(responses), None
    if responses.labels is not None:
        progress, twin = backend.progress(task), backend.twin(task.choices.device)
        found = fidelity(
            scm,
            twin.model,
            backend.data.evaluation(task.choices.batches, progress),
            images=args["images"],
            n_masks=args["draws"],
            kinds=tuple(KINDS),
            methods=(*OURS, *OTHERS),
            coar_masks=COAR_MASKS,
            budget=BUDGET,
            fractions=FRACTIONS,
            passes=PASSES,
            seed=args["seed"],
            device=twin.device,
            progress=progress,
        )
    backend.checked = Checked(scm, sanity, found, time.perf_counter() - began)
    return Reply({"message": f"{responses.n_images:,} images"})


def checked(backend: Backend, task: Task) -> Reply:
    """Give what a check would cost, and the last one of the present equations."""
    found, reason, args = backend.checked, _reason(backend), task.request.args
    if found is not None and found.scm is not backend.explainer.scm:
        found = None
    return Reply(
        {
            "reason": reason,
            "cost": None if reason else _cost(backend, args["images"], args["draws"]),
            "depth": None if found is None else _depth(found.sanity),
            "fidelity": None if found is None else _fidelity(found),
        }
    )


def _reason(backend: Backend) -> str | None:
    scm = backend.explainer.scm
    if scm is None:
        return UNCOLLECTED
    return NOT_ATTACHED if scm.source is None else None


def _cost(backend: Backend, images: int, draws: int) -> dict[str, Any]:
    """Reckon the passes of single images, and the time by that which collecting took."""
    strip = backend.data.strip
    labelled = strip is not None and strip.labels is not None
    graph = backend.explainer.graph
    units = sum(layer.units for layer in hidden_layers(graph))
    # a gradient, which counts two, a class, or of the true class and the margin where there are many
    gradient = 1 + 2 * (graph.output.units if graph.output.units <= MOST_CLASSES else 2)
    methods = (units, COAR_MASKS, sum(PASSES) * gradient, gradient)
    passes = images * (1 + len(KINDS) * draws) + sum(min(images, BUDGET // one) * one for one in methods)
    passes = passes if labelled else images
    seconds = seconds_of(backend, passes)
    return {"passes": passes, "images": images, "draws": draws, "seconds": seconds, "labelled": labelled}


def _depth(sanity: Sanity) -> dict[str, Any]:
    accuracy = sanity.accuracy
    return {
        "layers": sanity.layers,
        "agreement": sanity.agreement,
        "accuracy": [None] * len(sanity.layers) if accuracy is None else accuracy,
        "network": sanity.network.accuracy,
        "images": sanity.network.n,
    }


def _fidelity(found: Checked) -> dict[str, Any] | None:
    judged = found.fidelity
    if judged is None:
        return None
    settings = [
        {"name": KINDS[kind], "rows": [_row(judged, method, kind) for method in judged.methods]}
        for kind in judged.kinds
    ]
    return {
        "settings": settings,
        "skipped": [{"name": OURS.get(name, name), "why": why} for name, why in judged.skipped.items()],
        "images": judged.truth.n_images,
        "interventions": sum(len(masks) for masks in judged.truth.masks.values()),
        "seconds": found.seconds,
    }


def _row(judged: Fidelity, method: str, kind: str) -> dict[str, Any]:
    score = judged.score(method, kind)
    return {
        "name": OURS.get(method, method),
        "ours": method in OURS,
        "correlation": score.pearson,
        "r2": score.r2,
        "flips": score.foreseen,
        "passes": score.forwards,
    }
