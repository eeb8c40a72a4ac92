"""classUnit: the images of a class that excite a unit most, and where in them, by eq. (3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from causal_widget.errors import ArgumentError, UnsupportedModelError
from causal_widget.explanations import ClassGraph, attribute
from causal_widget.responses import read_responses
from causal_widget.widget.classes import Explained
from causal_widget.widget.handlers.images import pictures_of, scaled_map, shrunk
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

STRONGEST = 6
Array = np.ndarray[Any, Any]


def class_unit(backend: Backend, task: Task) -> Reply:
    """Give the chosen image of the strip and the class's strongest ones, with the unit's map on each."""
    args, explainer = task.request.args, backend.twin(task.choices.device)
    one = backend.classes.at(backend.store.weights_key())[args["target"]]
    layer = explainer.graph.layer(args["layer"]).name
    explainer.graph.check_units({layer: [args["unit"]]})
    strip = backend.data.shown.images
    responses = _responses(backend, task, one)[layer][:, args["unit"]]
    best = np.argsort(-responses, kind="stable")[:STRONGEST]
    chosen = strip[min(args["image"], len(strip) - 1)][None]
    images = torch.cat([chosen, one.chosen.images[torch.as_tensor(best)]])
    maps, about = _maps(backend, task, one, images)
    result = {"layer": layer, "unit": args["unit"], "responses": responses[best].tolist(), **about}
    return Reply(result, (("images", pictures_of(explainer, images)), ("maps", maps)))


def _responses(backend: Backend, task: Task, one: Explained) -> dict[str, Array]:
    """Give every unit's mean response to each of the class's images."""
    explainer = backend.twin(task.choices.device)
    key = ("class responses", one.chosen.target, len(one.chosen.images), backend.store.weights_key())

    def read() -> dict[str, Array]:
        found = read_responses(
            explainer.model,
            one.chosen.images,
            graph=explainer.graph,
            transform="mean",
            device=explainer.device,
        )
        return {layer: np.asarray(found[layer]) for layer in explainer.graph.names}

    return backend.store.recall(key, read)


def _maps(backend: Backend, task: Task, one: Explained, images: Tensor) -> tuple[Array, dict[str, Any]]:
    """Give the unit's maps, scaled alike, or why there is none."""
    args, explainer = task.request.args, backend.twin(task.choices.device)
    parents = None if one.graph is None else _parents(backend, one.graph, args["layer"])
    try:
        found = attribute(
            explainer.model, images, args["layer"], [args["unit"]], parents=parents, graph=explainer.graph,
            device=explainer.device,
        )  # fmt: skip
    except (ArgumentError, UnsupportedModelError) as error:
        return np.zeros((0, 1, 1), np.float32), {"reason": str(error)}
    maps = shrunk(torch.as_tensor(found.maps[:, 0])[:, None])[:, 0].numpy()
    scaled, about = scaled_map(maps, signed=True)
    return scaled, {**about, "parents": "critical" if parents else "all", "reason": ""}


def _parents(backend: Backend, graph: ClassGraph, layer: str) -> dict[str, Any] | None:
    """Give the class's critical parents of a layer; None, which is all of them, where it has none."""
    sources = [wiring.source for wiring in backend.explainer.graph.parents(layer)]
    found = {source: graph.critical(source) for source in sources}
    return {source: units for source, units in found.items() if len(units)} or None
