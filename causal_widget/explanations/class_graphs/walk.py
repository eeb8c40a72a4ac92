"""Algorithm 1 of Ahmad et al. 2023: from the class backwards, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from causal_widget.explanations.class_graphs.asking import Asked, asked_of
from causal_widget.explanations.class_graphs.judging import Judged
from causal_widget.explanations.class_graphs.measuring import Measured
from causal_widget.jobs import Progress

__all__ = ["EPSILON", "Betas", "Step", "walk"]

EPSILON = 0.01
Betas = Callable[[str, int], float]
Judge = Callable[[Float64[np.ndarray, "image unit"]], Judged]


@dataclass(frozen=True, eq=False)
class Step:
    """What was found of one layer.

    Attributes
    ----------
    asked : Asked
        Its units that lead to targets.
    judged : Judged or None
        Verdicts on these; None where there is none to ask.
    note : str
        Why the graph ends here, where it does.
    """

    asked: Asked
    judged: Judged | None
    note: str = ""


def walk(
    measured: Measured, judge: Judge, betas: Betas, progress: Progress, seen: Callable[[Step], None]
) -> dict[str, Step]:
    """Find the units of every layer that a class stands on.

    From the last layer to the first: of each unit the weights to all targets in the layers that read it are
    scaled together, and what comes of the class's output is judged; the critical units are the targets for
    the layers before. Where the graph branches, all layers that a target reads are asked, and a unit that
    several layers read is asked about its paths to the targets in all of them.

    Parameters
    ----------
    measured : Measured
        The class's images.
    judge : callable (effects (image, unit)) -> Judged
    betas : callable (layer, unit) -> float
        What the weights are multiplied by.
    progress : Progress
        Counts pairs of unit and image.
    seen : callable (Step)
        Told of each layer as it is found.

    Returns
    -------
    dict of layer name to Step
        From the class backwards.
    """
    graph, targets, found = measured.network.graph, first_targets(measured), {}
    for layer in reversed(graph.layers):
        if layer.name in targets:
            continue
        step = _step(measured, asked_of(graph, layer.name, targets), judge, betas, progress)
        targets[layer.name] = _critical(step)
        found[layer.name] = step
        seen(step)
    return found


def first_targets(measured: Measured) -> dict[str, tuple[int, ...]]:
    """Give the class in the layer that gives the classes, and in one that this reads one to one."""
    graph, k = measured.network.graph, measured.column
    targets: dict[str, tuple[int, ...]] = {graph.output.name: (k,)}
    if graph.output.kind == "output":
        for wiring in graph.parents(graph.output.name):
            own = wiring.reads(k).tolist()
            if wiring.kind == "one-to-one" and len(own) == 1:
                targets[wiring.source] = tuple(own)
    return targets


def _step(measured: Measured, asked: Asked, judge: Judge, betas: Betas, progress: Progress) -> Step:
    graph = measured.network.graph
    if not asked.units:
        ended = [w.target for w in graph.children(asked.layer)]
        return Step(asked, None, _no_targets(ended))
    questions = [asked.question(graph, unit, betas(asked.layer, unit)) for unit in asked.units]
    judged = judge(measured.effects(questions, progress))
    return Step(asked, judged, "" if len(judged.where("critical")) else _nothing(judged, measured.n))


def _critical(step: Step) -> tuple[int, ...]:
    if step.judged is None:
        return ()
    return tuple(step.asked.units[k] for k in step.judged.where("critical"))


def _no_targets(readers: list[str]) -> str:
    if not readers:
        return "nothing reads it"
    return f"no unit of it leads to a critical unit of {', '.join(readers)}"


def _nothing(judged: Judged, n: int) -> str:
    undecided = judged.where("undecided")
    if len(undecided) == len(judged.verdict):
        needed = judged.needed[np.isfinite(judged.needed)]
        more = f": {int(needed.min()):,} would decide the first unit" if len(needed) else ""
        return f"none of its {len(judged.verdict):,} units could be decided by {n:,} images{more}"
    return f"none of its {len(judged.verdict):,} units is significantly critical: the graph ends here"
