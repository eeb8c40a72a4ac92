"""unit: everything the inspector says about one unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from causal_widget.widget.handlers.equations import DEAD, is_dead, of_unit
from causal_widget.widget.protocol import Reply
from causal_widget.widget.store import SHOWN_RULES
from causal_widget.widget.strength import kernel_picture, weight_of
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

N_RELATIVES = 10
N_CHANNELS = 64


def unit(backend: Backend, task: Task) -> Reply:
    """Give response, equation, importances, strongest parents and children, weights."""
    graph = backend.explainer.graph
    layer = graph.layer(task.request.args["layer"])
    ((_, (number,)),) = graph.check_units({layer.name: [task.request.args["unit"]]}).items()
    weight = weight_of(backend.explainer.model, graph, layer.name)
    result: dict[str, Any] = {
        "layer": layer.name,
        "unit": number,
        "response": _response(backend, layer.name, number),
        **_equation(backend, layer.name, number),
        "importance": _importances(backend, layer.name, number),
        "parents": _relatives(backend, layer.name, number, parents=True),
        "children": _relatives(backend, layer.name, number, parents=False),
        "weights": None,
        "source": backend.store.edge_source,
    }
    if weight is None:
        return Reply(result)
    picture = kernel_picture(weight, number, N_CHANNELS)
    # the shape is that of all input channels; the picture may hold the first of them only
    result["weights"] = {"shape": [int(weight.shape[1]), *picture.shape[1:]]}
    return Reply(result, (("weights", picture),))


def _importances(backend: Backend, layer: str, number: int) -> dict[str, dict[str, Any]]:
    found = {}
    for rule in SHOWN_RULES:
        ranks = backend.store.ranks(rule, layer)
        if ranks is not None:
            value = float(backend.store.importance(rule)[layer][number])
            found[rule] = {"value": value, "rank": int(ranks[number]), "of": len(ranks)}
    return found


def _response(backend: Backend, layer: str, number: int) -> dict[str, float] | None:
    collection = backend.explainer.collection
    if collection is None or not collection.train.count:
        return None
    k = collection.components[layer]
    columns = slice(number * k, (number + 1) * k)
    mean, variance = (read(layer)[columns] for read in (collection.train.mean, collection.train.variance))
    # of a vector the mean over its components, and the root of their mean variance
    return {"mean": float(mean.mean()), "sd": float(np.sqrt(variance.mean()))}


def _equation(backend: Backend, layer: str, number: int) -> dict[str, Any]:
    scm = backend.explainer.scm
    equations = None if scm is None else scm.equations.get(layer)
    if scm is None or equations is None:
        return {"r2": None, "heldoutR2": None, "notes": []}
    notes = list(equations.notes)
    if is_dead(scm, layer, number):
        notes.insert(0, DEAD)
    return {
        "r2": of_unit(scm, layer, number, equations.r2),
        "heldoutR2": of_unit(scm, layer, number, equations.heldout_r2),
        "notes": notes,
    }


def _relatives(backend: Backend, layer: str, number: int, *, parents: bool) -> list[dict[str, Any]]:
    """Give the strongest edges into or out of one unit, strongest first."""
    graph = backend.explainer.graph
    found: list[dict[str, Any]] = []
    for i, wiring in enumerate(graph.wirings):
        if layer == (wiring.target if parents else wiring.source):
            found += _strongest(backend, i, number, parents)
    return sorted(found, key=_strength, reverse=True)[:N_RELATIVES]


def _strongest(backend: Backend, i: int, number: int, parents: bool) -> list[dict[str, Any]]:
    wiring, scm = backend.explainer.graph.wirings[i], backend.store.linear_scm
    other = wiring.source if parents else wiring.target
    across = (number, slice(None)) if parents else (slice(None), number)
    if scm is None:
        norms = backend.store.strengths(i)[across]
        return [_relative(other, k, None, None, norms[k]) for k in _largest(norms)]
    standardised = scm.standardised(wiring.source, wiring.target)[across]
    plain = scm.coefficients(wiring.source, wiring.target)[across]
    best = _largest(np.nan_to_num(np.abs(standardised)))
    return [_relative(other, k, plain[k], standardised[k], None) for k in best]


def _largest(sizes: np.ndarray[Any, Any]) -> list[int]:
    return [int(k) for k in np.argsort(-sizes, kind="stable")[:N_RELATIVES] if sizes[k] > 0]


def _relative(layer: str, unit_: int, plain: Any, standardised: Any, weight: Any) -> dict[str, Any]:
    return {
        "layer": layer,
        "unit": unit_,
        "coefficient": plain,
        "standardised": standardised,
        "weight": weight,
    }


def _strength(relative: dict[str, Any]) -> float:
    return float(relative["weight"] if relative["standardised"] is None else abs(relative["standardised"]))
