"""rankPlan, rank and ranking: what silencing every filter alone would cost, the job, and the table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causal_widget.effects import EffectPlan, Effects, plan_effects
from causal_widget.effects.statistics import VERDICTS
from causal_widget.errors import ArgumentError
from causal_widget.interventions import Zero
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


@dataclass(frozen=True)
class Ranked:
    """The last finished ranking, and at which site filters were silenced for it.

    Attributes
    ----------
    effects : Effects
    site : str
    """

    effects: Effects
    site: str


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
            "less": plan.loop_forwards / plan.forwards,
            "reason": next(iter(plan.reasons.values()), None),
            "site": task.choices.site,
        }
    )


def rank(backend: Backend, task: Task) -> Reply:
    """Silence every filter alone; the last finished ranking stays until a newer one is there."""
    plan = _plan(backend, task)
    effects = plan.run(progress=backend.progress(task))
    backend.ranked = Ranked(effects, task.choices.site)
    backend.store.take_effects(effects)
    return Reply({"message": f"{effects.n_units:,} filters on {effects.n:,} images"})


def _plan(backend: Backend, task: Task) -> EffectPlan:
    """Give the plan of a ranking; it remembers what it has done, so that a cancelled one goes on."""
    args, choices, explainer = task.request.args, task.choices, backend.twin(task.choices.device)
    layers = None if args["layers"] is None else tuple(args["layers"])
    weights = backend.store.weights_key(choices.device)
    key = (weights, choices.batches, choices.site, layers, args["precision"])

    def make() -> EffectPlan:
        return plan_effects(
            explainer.model,
            backend.data.evaluation(choices.batches, backend.progress(task)),
            layers,
            intervention=Zero(),
            site=choices.site,
            outcomes=_outcomes(backend),
            graph=explainer.graph,
            device=explainer.device,
        )

    return backend.store.latest("plan", key, make)


def _outcomes(backend: Backend) -> tuple[str, ...]:
    return UNLABELLED if backend.data.shown.labels is None else LABELLED


def ranking(backend: Backend, task: Task) -> Reply:
    """Judge the last finished ranking by one outcome and a least effect that matters."""
    ranked, args = backend.ranked, task.request.args
    if ranked is None:
        return Reply({"ranking": None})
    effects = ranked.effects
    outcome = effects.columns[0 if args["outcome"] is None else effects.column(args["outcome"])]
    if args["minEffect"] is not None and args["minEffect"] < 0:
        raise ArgumentError(f"the least effect must be 0 or more, got {args['minEffect']:g}")
    usual, layers = _usual(effects, outcome), list(effects.units)
    least = usual if args["minEffect"] is None else args["minEffect"]
    table = _table(effects, outcome, least)
    about = {
        "outcome": outcome,
        "outcomes": [{"name": one.name, "worse": one.worse} for one in effects.outcomes],
        "minEffect": least,
        "defaultMinEffect": usual,
        "layers": layers,
        "images": effects.n,
        "seconds": effects.seconds,
        "site": ranked.site,
        "verdicts": VERDICTS,
    }
    return Reply({"ranking": about}, _arrays(table, layers))


def _arrays(table: pd.DataFrame, layers: list[str]) -> tuple[tuple[str, Array], ...]:
    place = {name: k for k, name in enumerate(layers)}
    kinds = {name: k for k, name in enumerate(VERDICTS)}
    numbers = {
        "layer": table["layer"].map(place),
        **{name: table[column] for name, column in COLUMNS.items()},
    }
    arrays = [(name, np.asarray(values, dtype=np.float32)) for name, values in numbers.items()]
    return (*arrays, ("verdict", np.asarray(table["verdict"].map(kinds), dtype=np.uint8)))


def _usual(effects: Effects, outcome: str) -> float:
    return 0.01


def _table(effects: Effects, outcome: str, least: float) -> pd.DataFrame:
    from causal_widget.effects.statistics import verdicts

    k = effects.column(outcome)
    moments = effects.all
    one = type(moments)(moments.n[:, k], moments.mean[:, k], moments.squares[:, k])
    found = verdicts(one, worse=effects.outcomes[k].worse, min_effect=least)
    table = effects.table()
    table = table[table["outcome"] == outcome].reset_index(drop=True)
    return table.assign(
        **{"p": found.p, "corrected p": found.corrected, "verdict": found.verdict, "needed": found.needed}
    )
