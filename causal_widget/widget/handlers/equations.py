"""equations and equation: how well each layer's units are explained, and one unit's equation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from causal_widget.scm import StructuralCausalModel
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

N_PARENTS = 20
N_POINTS = 600
Array = np.ndarray[Any, Any]
UNCOLLECTED = "nothing is collected yet"
NO_PARENTS = "its units read the image itself, so they have no equation"
DEAD = "dead: its response is the same for every image"
NOT_KEPT = "the explainer keeps no raw responses (keep_responses=False)"


def equations(backend: Backend, task: Task) -> Reply:
    """Give for each layer how its equations do; R2 on fitted and held-out images as arrays over all units."""
    scm = backend.explainer.scm
    if scm is None:
        return Reply({"known": None})
    layers, r2, heldout = [], [], []
    for name, one in scm.equations.items():
        per_unit = [_by_unit(scm, name, values) for values in (one.r2, one.heldout_r2)]
        r2.append(per_unit[0])
        heldout.append(per_unit[1])
        layers.append(
            {
                "layer": name,
                "units": len(per_unit[0]),
                "parents": int(one.n_parents.max(initial=0)),
                "dead": sum(is_dead(scm, name, number) for number in range(one.n_units)),
                "notes": list(one.notes),
            }
        )
    about = {
        "estimator": scm.estimator,
        "data": scm.data,
        "transform": scm.transform,
        "site": scm.site,
        "images": scm.n_images,
        "layers": layers,
    }
    arrays = (("r2", _joined(r2)), ("heldoutR2", _joined(heldout)))
    return Reply({"known": about}, arrays)


def equation(backend: Backend, task: Task) -> Reply:
    """Give one unit's equation, its strongest parents, and predicted against observed responses."""
    graph, scm = backend.explainer.graph, backend.explainer.scm
    layer = graph.layer(task.request.args["layer"])
    ((_, (number,)),) = graph.check_units({layer.name: [task.request.args["unit"]]}).items()
    head: dict[str, Any] = {"layer": layer.name, "unit": number}
    if scm is None or layer.name not in scm.equations:
        return Reply({**head, "equation": None, "reason": UNCOLLECTED if scm is None else NO_PARENTS})
    points, reason = _points(backend, scm, layer.name, number)
    found = _equation(scm, layer.name, number)
    return Reply({**head, "equation": {**found, "noPoints": reason}}, (("points", points),))


def _equation(scm: StructuralCausalModel, layer: str, number: int) -> dict[str, Any]:
    one = scm.equations[layer]
    notes = list(one.notes)
    if is_dead(scm, layer, number):
        notes.insert(0, DEAD)
    return {
        "estimator": scm.estimator,
        "linear": one.linear,
        "components": scm.components[layer],
        "dead": is_dead(scm, layer, number),
        "notes": notes,
        "parents": _parents(scm, layer, number) if one.linear else [],
        "nParents": of_unit(scm, layer, number, one.n_parents),
        "r2": of_unit(scm, layer, number, one.r2),
        "heldoutR2": of_unit(scm, layer, number, one.heldout_r2),
        **_quality(scm, layer, number),
    }


def is_dead(scm: StructuralCausalModel, layer: str, number: int) -> bool:
    """Say whether all components of a unit's response are the same for every image."""
    components = scm.components[layer]
    return set(range(number * components, (number + 1) * components)) <= set(scm.equations[layer].dead)


def _quality(scm: StructuralCausalModel, layer: str, number: int) -> dict[str, Any]:
    """Give what an equation may know of itself, None where its estimator does not say it."""
    one = scm.equations[layer]
    wanted = {"mse": "mse", "relativeMse": "relative_mse", "condition": "condition", "penalty": "penalty"}
    values = {key: getattr(one, name, None) for key, name in wanted.items()}
    return {
        key: None if value is None else of_unit(scm, layer, number, np.asarray(value))
        for key, value in values.items()
    }


def _parents(scm: StructuralCausalModel, layer: str, number: int) -> list[dict[str, Any]]:
    """Give the strongest parents, by standardised and by raw coefficients, strongest standardised first."""
    found: list[dict[str, Any]] = []
    for source in scm.equations[layer].parents:
        scaled = scm.standardised(source, layer)[number]
        plain = scm.coefficients(source, layer)[number]
        best = {*_largest(scaled), *_largest(plain)}
        found += [
            {"layer": source, "unit": k, "coefficient": plain[k], "standardised": scaled[k]} for k in best
        ]
    by_scaled = sorted(found, key=lambda one: -abs(one["standardised"]))[:N_PARENTS]
    by_plain = sorted(found, key=lambda one: -abs(one["coefficient"]))[:N_PARENTS]
    return by_scaled + [one for one in by_plain if one not in by_scaled]


def _largest(values: Array) -> list[int]:
    sizes = np.nan_to_num(np.abs(values))
    return [int(k) for k in np.argsort(-sizes, kind="stable")[:N_PARENTS] if sizes[k] > 0]


def _points(
    backend: Backend, scm: StructuralCausalModel, layer: str, number: int
) -> tuple[Array, str | None]:
    """Give (observed, predicted) of held-out images: the norm over the components where there are several."""
    kept = backend.explainer.heldout_responses
    nothing = np.zeros((0, 2), dtype=np.float32)
    if kept is None:
        return nothing, NOT_KEPT
    rows = np.unique(np.linspace(0, kept.n_images - 1, N_POINTS).astype(np.int64))
    few = backend.store.get("heldout", lambda: kept.take(rows))
    predicted = backend.store.recall(("predicted", layer), lambda: scm.predict(layer, few))
    columns = slice(number * scm.components[layer], (number + 1) * scm.components[layer])
    both = [_length(np.asarray(part)[:, columns]) for part in (few[layer], predicted)]
    return np.stack(both, axis=1).astype(np.float32), None


def _length(part: Array) -> Array:
    return np.asarray(part[:, 0] if part.shape[1] == 1 else np.linalg.norm(part, axis=1))


def _by_unit(scm: StructuralCausalModel, layer: str, rows: Array) -> Array:
    """Give the mean over the components of each unit that have the number; NaN where none has."""
    parts = np.asarray(rows, dtype=np.float64).reshape(-1, scm.components[layer])
    known = ~np.isnan(parts)
    found = np.where(known, parts, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.asarray(np.where(known.any(axis=1), found, np.nan))


def of_unit(scm: StructuralCausalModel, layer: str, number: int, rows: Array) -> float | None:
    """Give a number that a layer's equations have for each row, of one unit."""
    if rows.ndim == 0:
        return float(rows)
    return float(_by_unit(scm, layer, rows)[number])


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, dtype=np.float32)
