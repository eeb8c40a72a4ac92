"""classPlan, explain, explained, repair: what a class stands on, and what blocking what hurts it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from causal_widget.evaluation.class_graphs import RepairCurve, repair_curve
from causal_widget.explanations import LayerUnits, explain_class
from causal_widget.explanations.class_graphs.class_images import check_class
from causal_widget.explanations.class_graphs.costs import expected_seconds
from causal_widget.explanations.class_graphs.settings import Settings
from causal_widget.jobs import Progress
from causal_widget.widget.class_tables import COMPARED, KINDS, arrays_of
from causal_widget.widget.classes import Chosen, Classes, Explained, choose
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend


def check_explain(backend: Backend, args: Mapping[str, Any]) -> None:
    """Refuse a class or a mode that does not exist.

    Raises
    ------
    UnknownNameError
        The message says which there are.
    """
    check_class(args["target"], backend.explainer.graph.output.units)
    Settings(args["mode"])


def check_repair(backend: Backend, args: Mapping[str, Any]) -> None:
    """Refuse a class that has no graph.

    Raises
    ------
    UnknownNameError
        The message says which have one.
    """
    _ = _classes(backend)[args["target"]]


def _classes(backend: Backend) -> Classes:
    return backend.classes.at(backend.store.weights_key())


def _least(mode: str) -> int:
    """Images that a verdict takes: in the sound mode so many in each half."""
    return Settings(mode).least * (2 if mode == "sound" else 1)


def _chosen(backend: Backend, task: Task, progress: Progress) -> Chosen:
    args = task.request.args
    kept = backend.data.evaluation(task.choices.batches, progress)
    return choose(kept, args["target"], args["images"], _least(args["mode"]))


def class_plan(backend: Backend, task: Task) -> Reply:
    """Say what finding a class's graph would cost, after a short measurement."""
    check_explain(backend, task.request.args)
    args, explainer = task.request.args, backend.twin(task.choices.device)
    chosen = _chosen(backend, task, backend.progress(task))
    own, others = chosen.held
    seconds = expected_seconds(
        explainer.model,
        chosen.images,
        chosen.target,
        explainer.graph,
        mode=args["mode"],
        device=explainer.device,
    )
    return Reply(
        {
            "target": chosen.target,
            "images": len(chosen.images),
            "available": chosen.available,
            "needed": _least(args["mode"]),
            "units": sum(layer.units for layer in explainer.graph.layers if not layer.is_output),
            "seconds": seconds,
            "own": own,
            "others": others,
        }
    )


def explain(backend: Backend, task: Task) -> Reply:
    """Find a class's graph; the pages are told of each layer as it is found."""
    args, explainer, progress = task.request.args, backend.twin(task.choices.device), backend.progress(task)
    classes, chosen = _classes(backend), _chosen(backend, task, progress)
    current = Explained(chosen, explainer.class_names[chosen.target], args["mode"])
    classes.show(current)

    def seen(layer: LayerUnits) -> None:
        current.layers[layer.layer] = layer
        classes.show(current)
        backend.tell_found()

    try:
        graph = explain_class(
            explainer.model,
            chosen.images,
            chosen.target,
            mode=args["mode"],
            graph=explainer.graph,
            class_names=explainer.class_names,
            device=explainer.device,
            progress=progress,
            seen=seen,
        )
    except BaseException:
        classes.show(None)
        raise
    classes.keep(replace(current, layers={one.layer: one for one in graph.layers}, graph=graph))
    counts = {kind: sum(map(len, graph.units(kind).values())) for kind in KINDS[:3:2]}
    said = ", ".join(f"{n:,} {kind}" for kind, n in counts.items())
    return Reply({"message": f"{said} units on {graph.n_images:,} images"})


def repair(backend: Backend, task: Task) -> Reply:
    """Measure what blocking a class's detrimental units does, on images not used to find them."""
    explainer, classes = backend.twin(task.choices.device), _classes(backend)
    one = classes[task.request.args["target"]]
    assert one.graph is not None
    curve = repair_curve(
        explainer.model,
        one.graph,
        one.chosen.rest,
        found_on=one.chosen.images,
        filter_graph=explainer.graph,
        device=explainer.device,
        progress=backend.progress(task),
    )
    classes.repaired(one.chosen.target, curve)
    return Reply({"message": f"{len(curve.shares):,} shares on {sum(one.chosen.held):,} images"})


def explained(backend: Backend, task: Task) -> Reply:
    """Give the graph of a class, as far as it is found, or what two classes share."""
    classes, args = _classes(backend), task.request.args
    known = [{"target": k, "name": one.name, "mode": one.mode} for k, one in classes.found.items()]
    one = _asked(classes, args["target"])
    if one is None:
        return Reply({"known": known, "graph": None})
    other = None if args["other"] is None or one.graph is None else classes[args["other"]].graph
    result = {"known": known, "graph": _about(one) | {"verdicts": KINDS if other is None else COMPARED}}
    return Reply(result, arrays_of(backend.explainer.graph, one, other))


def _asked(classes: Classes, target: int | None) -> Explained | None:
    """Give the class asked for; without one what is being found, or else what was found last."""
    found, current = classes.found, classes.current
    if current is not None and target in (None, current.chosen.target):
        return current
    if target is None:
        return next(reversed(found.values()), None)
    return found.get(target)


def _about(one: Explained) -> dict[str, Any]:
    own, others = one.chosen.held
    graph = one.graph
    return {
        "target": one.chosen.target,
        "name": one.name,
        "mode": one.mode,
        "outcome": "output",
        "layers": list(one.layers),
        "images": len(one.chosen.images),
        "needed": _least(one.mode),
        "own": own,
        "others": others,
        "done": graph is not None,
        "wrong": 0 if graph is None else graph.n_wrong,
        "minEffect": 0.0 if graph is None else graph.min_effect,
        "seconds": 0.0 if graph is None else graph.seconds,
        "notes": [] if graph is None else [f"{layer}: {note}" for layer, note in graph.ends.items()],
        "repair": None if one.curve is None else _repair(one.curve),
    }


def _repair(curve: RepairCurve) -> dict[str, Any]:
    """Give the curve's rows: of the class's own images, and of all others'."""
    ((target, _),) = curve.names.items()
    table = curve.table(target)
    columns = ["share", "blocked", "before", "after", "change", "low", "high", "n"]
    return {
        images: table.loc[table["images"] == images, columns].to_dict("records")
        for images in ("own", "others")
    }
