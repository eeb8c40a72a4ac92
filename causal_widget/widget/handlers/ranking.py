"""rankPlan, rank and ranking: what silencing every filter alone would cost, the job, and the table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causal_widget.effects import EffectPlan, Effects, plan_effects
from causal_widget.effects.statistics import VERDICTS
from causal_widget.errors import ArgumentError
from causal_widget.guard import guarded
from causal_widget.interventions import UnitEdit, Zero
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

# judged all at once, so that another one can be looked at without measuring again
LABELLED, UNLABELLED = ("loss", "correct", "margin", "kl"), ("kl",)
# what the page calls them, and the table
COLUMNS = {
    "unit": "unit",
    "effect": "effect",
    "low": "low",
    "high": "high",
    "p": "p",
    "corrected": "corrected p",
    "images": "n",
    "needed": "needed",
}
Array = np.ndarray[Any, Any]


def check_rank(backend: Backend, args: Mapping[str, Any]) -> None:
    """Refuse layers that cannot be ranked.

    Raises
    ------
    UnknownNameError
        If a layer does not exist.
    ArgumentError
        If one gives the classes, or none is named.
    """
    graph = backend.explainer.graph
    names = [graph.layer(name).name for name in args["layers"] or ()]
    if graph.output.name in names:
        raise ArgumentError(f"{graph.output.name!r} gives the classes, which are not silenced")
    if args["layers"] == []:
        raise ArgumentError("name at least one layer, or leave layers out for all convolutions")
    if args["precision"] is not None and args["precision"] <= 0:
        raise ArgumentError(f"precision must be above 0, got {args['precision']:g}")


def rank_plan(backend: Backend, task: Task) -> Reply:
    """Say what a ranking would cost, after a short measurement."""
    check_rank(backend, task.request.args)
    plan = _plan(backend, task)
    seconds = None if math.isnan(plan.seconds) else plan.seconds
    return Reply(
        {
            "units": plan.n_units,
            "layers": len(task.request.args["layers"] or backend.explainer.graph.hidden_conv_layers),
            "images": plan.n_images,
            "seconds": seconds,
            "mostSeconds": None if seconds is None else plan.most_seconds,
            "less": plan.loop_forwards / plan.most_forwards,
            "reason": next(iter(plan.reasons.values()), None),
            "site": task.choices.site,
        }
    )


def rank(backend: Backend, task: Task) -> Reply:
    """Silence every filter alone; the last finished ranking stays until a newer one is there."""
    plan = _plan(backend, task)
    effects = plan.run(progress=backend.progress(task))
    backend.explainer.last_effects = effects
    return Reply({"message": f"{effects.n_units:,} filters on {effects.n:,} images"})


def _plan(backend: Backend, task: Task) -> EffectPlan:
    """Give the plan of a ranking; it remembers what it has done, so that a cancelled one goes on."""
    args, choices, explainer = task.request.args, task.choices, backend.twin(task.choices.device)
    layers = None if args["layers"] is None else tuple(args["layers"])
    weights = backend.store.weights_key(choices.device)
    key = (weights, choices.batches, choices.site, layers, args["precision"])

    def make() -> EffectPlan:
        with guarded(explainer.model):
            return plan_effects(
                explainer.model,
                backend.data.evaluation(choices.batches, backend.progress(task)),
                layers,
                intervention=Zero(),
                site=choices.site,
                outcomes=_outcomes(backend),
                precision=args["precision"],
                graph=explainer.graph,
                device=explainer.device,
            )

    return backend.store.latest("plan", key, make)


def _outcomes(backend: Backend) -> tuple[str, ...]:
    return UNLABELLED if backend.data.shown.labels is None else LABELLED


def ranking(backend: Backend, task: Task) -> Reply:
    """Judge the last finished ranking by one outcome and a least effect that matters."""
    effects, args = backend.store.effects, task.request.args
    if effects is None:
        return Reply({"ranking": None})
    layers = list(effects.units)
    outcome = effects.columns[0 if args["outcome"] is None else effects.column(args["outcome"])]
    if args["minEffect"] is not None and args["minEffect"] < 0:
        raise ArgumentError(f"the least effect must be 0 or more, got {args['minEffect']:g}")
    usual = float(effects.verdicts().min_effect[0, effects.column(outcome)])
    least = usual if args["minEffect"] is None else args["minEffect"]
    table = judged(effects, outcome, least)
    about = {
        "outcome": outcome,
        "outcomes": [{"name": one.name, "worse": one.worse} for one in effects.outcomes],
        "minEffect": least,
        "defaultMinEffect": usual,
        "layers": layers,
        "images": effects.n,
        "how": effects.how,
        "seconds": effects.seconds,
        "site": site_of(effects),
        "verdicts": VERDICTS,
    }
    return Reply({"ranking": about}, _arrays(table, layers))


def site_of(effects: Effects) -> str:
    """Give the site at which units were changed."""
    edit = effects.asked[0].edit
    return edit.site if isinstance(edit, UnitEdit) else ""


def judged(effects: Effects, outcome: str, least: float | None = None) -> pd.DataFrame:
    """Give the table's rows of one outcome, with verdicts by a least effect; None: the usual one."""
    table = effects.table(min_effect=None if least is None else {outcome: least})
    return table[(table["outcome"] == outcome) & table["unit"].notna()]


def _arrays(table: pd.DataFrame, layers: list[str]) -> tuple[tuple[str, Array], ...]:
    place = {name: k for k, name in enumerate(layers)}
    kinds = {name: k for k, name in enumerate(VERDICTS)}
    numbers = {
        "layer": table["layer"].map(place),
        **{name: table[column] for name, column in COLUMNS.items()},
    }
    arrays = [(name, np.asarray(values, dtype=np.float32)) for name, values in numbers.items()]
    return (*arrays, ("verdict", np.asarray(table["verdict"].map(kinds), dtype=np.uint8)))
