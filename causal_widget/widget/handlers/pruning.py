"""prune and pruning: the job that runs the curves, and the curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.pruning import PruningCurve
from causal_widget.widget.protocol import Reply
from causal_widget.widget.store import SHOWN_RULES
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

MAX_REPEATS = 1000
PRUNED_BY = (*SHOWN_RULES, "random")


def check_prune(backend: Backend, args: Mapping[str, Any]) -> None:
    """Refuse curves that cannot be drawn.

    Raises
    ------
    ArgumentError, UnknownNameError
        If an argument is out of its range.
    """
    for percent in args["percents"]:
        if not 0 <= percent <= 100:
            raise ArgumentError(f"percents must be between 0 and 100, got {percent:g}")
    for rule in args["rules"]:
        if rule not in PRUNED_BY:
            raise UnknownNameError(f'rule "{rule}" does not exist.{nearest(rule, PRUNED_BY)}')
    if not args["percents"] or not args["rules"]:
        raise ArgumentError("a pruning curve needs at least one percent and one rule")
    if not 1 <= args["repeats"] <= MAX_REPEATS:
        raise ArgumentError(f"repeats must be between 1 and {MAX_REPEATS}, got {args['repeats']}")


def prune(backend: Backend, task: Task) -> Reply:
    """Run the curves on the kept images; the last finished ones stay until newer ones are there."""
    args, progress = task.request.args, backend.progress(task)
    loader = backend.data.evaluation(task.choices.batches, progress)
    curve = backend.twin(task.choices.device).pruning_curve(
        loader,
        args["percents"],
        rules=tuple(args["rules"]),
        repeats=args["repeats"],
        seed=args["seed"],
        progress=progress,
    )
    backend.curve = curve
    return Reply(
        {"message": f"{len(curve.percents)} percentages, {len(curve.rules)} rules, {curve.n:,} images"}
    )


def pruning(backend: Backend, task: Task) -> Reply:
    """Give the last finished curves."""
    return Reply({"curve": None if backend.curve is None else _data(backend.curve)})


def _data(curve: PruningCurve) -> dict[str, Any]:
    rules = [
        {
            "name": rule,
            "mean": curve.mean(rule),
            "low": curve.low(rule),
            "high": curve.high(rule),
            "repeats": curve.repeats(rule),
        }
        for rule in curve.rules
    ]
    return {"percents": curve.percents, "baseline": curve.baseline, "n": curve.n, "rules": rules}
