"""Find a class's graph on its images: as the paper writes, or on one half and confirmed on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from causal_widget.effects.statistics import EffectMoments, Estimate, split_images
from causal_widget.effects.statistics.three_tests import images_to_settle, three_tests
from causal_widget.explanations.class_graphs.confirming import focused
from causal_widget.explanations.class_graphs.judging import Judged, by_least_effect, by_z_test
from causal_widget.explanations.class_graphs.layer_units import LayerUnits
from causal_widget.explanations.class_graphs.measuring import Measured
from causal_widget.explanations.class_graphs.settings import Settings
from causal_widget.explanations.class_graphs.walk import Step, first_targets, walk
from causal_widget.graph import FilterGraph
from causal_widget.jobs import Progress

__all__ = ["Seen", "found_layers"]

Seen = Callable[[LayerUnits], None]
_SIGN = np.asarray(-1.0)  # a smaller output for the class is worse


def found_layers(
    measured: Measured, settings: Settings, min_effect: float, progress: Progress, seen: Seen
) -> tuple[LayerUnits, ...]:
    """Give what every layer's units are to a class, in forward order.

    Parameters
    ----------
    measured : Measured
        The class's images.
    settings : Settings
    min_effect : float
        Least effect that matters, in units of the class's output.
    progress : Progress
        Counts pairs of unit and image: all units times all images.
    seen : callable (LayerUnits)
        Told of each layer as it is found, from the class backwards; in the sound mode of its candidates,
        before they are confirmed.
    """
    graph = measured.network.graph

    def betas(layer: str, unit: int) -> float:
        return settings.beta(graph, layer, unit)

    if settings.mode == "paper":
        steps = walk(
            measured, lambda e: by_z_test(e, settings.alpha, settings.level, settings.least), betas, progress,
            lambda step: _told(graph, step, measured.n, progress, seen),
        )  # fmt: skip
        return _in_order(graph, {name: _units(graph, step) for name, step in steps.items()})
    if measured.n < 2:
        first, second = np.arange(measured.n), np.arange(0)
    else:
        first, second = split_images(measured.n, seed=settings.seed)
    finding = measured.take(first)
    margin = min_effect * (1.0 if settings.b is None else 1 - settings.b)
    steps = walk(
        finding, lambda e: _on_one_half(e, settings, margin), betas,
        progress, lambda step: _told(graph, step, finding.n, progress, seen),
    )  # fmt: skip
    found = {name: _units(graph, step) for name, step in steps.items()}
    if len(second):
        found = _confirmed(measured.take(second), steps, found, settings, margin, progress)
    return _in_order(graph, found)


def _on_one_half(effects: Float64[np.ndarray, "image unit"], settings: Settings, margin: float) -> Judged:
    """Judge on the first half; as many images again are needed for the second."""
    judged = by_least_effect(effects, settings.alpha, settings.level, margin, settings.least)
    return replace(judged, needed=2 * judged.needed)


def _told(graph: FilterGraph, step: Step, n: int, progress: Progress, seen: Seen) -> None:
    """Count the units that were not asked as done, and tell of the layer."""
    progress.advance((graph.layer(step.asked.layer).units - len(step.asked.units)) * n, step.asked.layer)
    seen(_units(graph, step))


def _units(graph: FilterGraph, step: Step) -> LayerUnits:
    asked, judged = step.asked, step.judged
    empty = LayerUnits.empty(asked.layer, graph.layer(asked.layer).units, step.note)
    if judged is None:
        return empty
    where = list(asked.units)
    arrays = {}
    for name in ("verdict", "effect", "se", "low", "high", "p", "corrected", "needed", "n"):
        arrays[name] = getattr(empty, name).copy()
        arrays[name][where] = getattr(judged, name)
    return replace(empty, **arrays, targets=asked.targets, reads=asked.reads)


def _in_order(graph: FilterGraph, found: Mapping[str, LayerUnits]) -> tuple[LayerUnits, ...]:
    return tuple(found[name] for name in graph.names if name in found)


def _confirmed(
    measured: Measured,
    steps: Mapping[str, Step],
    found: Mapping[str, LayerUnits],
    settings: Settings,
    margin: float,
    progress: Progress,
) -> dict[str, LayerUnits]:
    """Test the candidates of all layers on the other half: those confirmed keep their verdict."""
    graph = measured.network.graph
    nodes = [(name, unit) for name, one in found.items() for unit in _candidates(one)]
    effects = np.zeros((measured.n, len(nodes)))
    for name, step in steps.items():
        own = [k for k, (layer, _) in enumerate(nodes) if layer == name]
        if own:
            questions = [
                step.asked.question(graph, nodes[k][1], settings.beta(graph, name, nodes[k][1])) for k in own
            ]
            effects[:, own] = measured.effects(questions, progress)
        progress.advance((graph.layer(name).units - len(own)) * measured.n, name)
    estimate = Estimate.of(EffectMoments.of(effects)).at(settings.level)
    critical = np.array([found[name].verdict[unit] == "critical" for name, unit in nodes], dtype=bool)
    tests = three_tests(estimate, np.broadcast_to(_SIGN, len(nodes)), np.full(len(nodes), margin))
    p = np.where(critical, tests[0], tests[2]) if measured.n >= settings.least else np.ones(len(nodes))
    corrected = focused(p, _children(measured, nodes, found), critical)
    good = corrected <= settings.alpha
    rate = np.full(len(nodes), settings.alpha / max(len(nodes), 1))
    needed = images_to_settle(
        estimate, np.broadcast_to(_SIGN, len(nodes)), np.full(len(nodes), margin), rate, settings.least
    )
    numbers = {
        "effect": estimate.mean, "se": estimate.se, "low": estimate.low, "high": estimate.high, "p": p,
        "corrected": corrected, "needed": np.where(good, np.nan, 2 * needed),
        "n": estimate.n, "confirmed": np.ones(len(nodes), bool),
        "verdict": np.where(good, np.where(critical, "critical", "detrimental"), "undecided"),
    }  # fmt: skip
    return {name: _with(one, nodes, numbers) for name, one in found.items()}


def _candidates(found: LayerUnits) -> list[int]:
    return sorted([*found.where("critical").tolist(), *found.where("detrimental").tolist()])


def _children(
    measured: Measured, nodes: list[tuple[str, int]], found: Mapping[str, LayerUnits]
) -> list[list[int]]:
    """Give each candidate's target children among the candidates; -1 for the class."""
    position = {node: k for k, node in enumerate(nodes)}
    class_nodes = {(name, unit) for name, units in first_targets(measured).items() for unit in units}
    return [
        [
            -1 if (name, child) in class_nodes else position[name, child]
            for name, some in found[layer].children(unit).items()
            for child in some
        ]
        for layer, unit in nodes
    ]


def _with(
    found: LayerUnits, nodes: list[tuple[str, int]], numbers: Mapping[str, Float64[np.ndarray, " node"]]
) -> LayerUnits:
    """Put what the other half says into a layer."""
    own = [k for k, (layer, _) in enumerate(nodes) if layer == found.layer]
    where = [nodes[k][1] for k in own]
    arrays = {}
    for name, values in numbers.items():
        arrays[name] = getattr(found, name).copy()
        arrays[name][where] = values[own]
    changed = replace(found, **arrays)
    if len(found.where("critical")) and not len(changed.where("critical")):
        note = f"none of its {len(found.where('critical')):,} candidates was confirmed by the other half"
        return replace(changed, note=f"{note}: the graph ends here")
    return changed
