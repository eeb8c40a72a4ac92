"""images and heatmap: the strip, and what one image excites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from causal_widget.effects import evaluate
from causal_widget.errors import UnknownNameError
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.explanations import difference
from causal_widget.explanations import heatmap as heatmap_of
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Intervention
from causal_widget.widget.handlers.effect import intervention_of
from causal_widget.widget.protocol import Reply
from causal_widget.widget.worker import Task

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

LONGEST_SIDE = 256
MAP_AXES = 3
Map = np.ndarray[Any, Any]


def images(backend: Backend, task: Task) -> Reply:
    """Give the strip's pictures, labels and predictions."""
    strip, explainer = backend.data.shown, backend.twin(task.choices.device)
    key = ("strip", backend.store.weights_key(task.choices.device))
    answers = backend.store.get(
        key, lambda: evaluate(explainer.model, strip.loader(), device=explainer.device)
    )
    labels = [None] * len(strip.images) if strip.labels is None else strip.labels.tolist()
    return Reply(
        {"labels": labels, "predictions": answers.predictions.tolist()}, (("images", pictures(backend)),)
    )


def pictures(backend: Backend) -> Map:
    """Give the strip as uint8 (image, height, width, 3), shrunk to a thumbnail's size."""
    return pictures_of(backend.explainer, backend.data.shown.images)


def pictures_of(explainer: CausalCNNExplainer, given: torch.Tensor) -> Map:
    """Give images as uint8 (image, height, width, 3), shrunk to a thumbnail's size."""
    shown = torch.as_tensor(np.asarray(explainer.denormalise(given)))
    small = shrunk(shown.float().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return np.ascontiguousarray((small.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def shrunk(maps: torch.Tensor) -> torch.Tensor:
    """Give maps (image, channel, height, width) of at most a thumbnail's size."""
    height, width = int(maps.shape[-2]), int(maps.shape[-1])
    longest = max(height, width)
    if longest <= LONGEST_SIDE:
        return maps
    size = (max(1, height * LONGEST_SIDE // longest), max(1, width * LONGEST_SIDE // longest))
    return functional.interpolate(maps, size=size, mode="area")


def heatmap(backend: Backend, task: Task) -> Reply:
    """Give the importance-weighted map, the selected unit's activation, and the change that do() makes."""
    args, strip = task.request.args, backend.data.shown
    if args["image"] >= len(strip.images):
        raise UnknownNameError(
            f"image {args['image']} does not exist; the strip has 0 to {len(strip.images) - 1}"
        )
    backend.explainer.graph.layer(args["layer"])
    image = strip.images[args["image"] : args["image"] + 1]
    do = intervention_of(backend, task)
    key = ("map", backend.store.weights_key(), task.choices.rule, args["layer"], args["image"])
    # the selected unit changes most often; the other two maps then are as before
    maps = {
        "importance": backend.store.recall(key, lambda: _importance_map(backend, task, image)),
        "activation": _activation_map(backend, task, image),
        "difference": backend.store.recall((*key, do), lambda: _difference_map(backend, task, image, do)),
    }
    result, arrays = [], []
    for name, found in maps.items():
        size = (1, 1) if found is None else found.shape
        scaled, about = scaled_map(np.zeros(size) if found is None else found, signed=name == "difference")
        result.append({"name": name, "present": found is not None, **about})
        arrays.append((name, scaled))
    return Reply({"maps": result}, tuple(arrays))


def _importance_map(backend: Backend, task: Task, image: torch.Tensor) -> Map | None:
    """Give the layer's maps weighted by the rule's importance; None where the rule has none."""
    weights = _weights(backend, task)
    return None if weights is None else _one(heatmap_of(*_at(backend, image, weights[0]), weights=weights[1]))


def _activation_map(backend: Backend, task: Task, image: torch.Tensor) -> Map | None:
    args = task.request.args
    if args["unit"] is None:
        return None
    layer = backend.explainer.graph.layer(args["unitLayer"] or args["layer"])
    if len(layer.shape) < MAP_AXES:
        return None
    return _one(heatmap_of(*_at(backend, image, layer.name), unit=args["unit"]))


def _difference_map(backend: Backend, task: Task, image: torch.Tensor, do: Intervention) -> Map | None:
    weights = _weights(backend, task)
    if not do.units or weights is None:
        return None
    return _one(difference(*_at(backend, image, weights[0]), do, weights=weights[1]))


def _at(
    backend: Backend, image: torch.Tensor, layer: str
) -> tuple[nn.Module, FilterGraph, torch.Tensor, str]:
    return backend.explainer.model, backend.explainer.graph, image, layer


def _weights(backend: Backend, task: Task) -> tuple[str, Map] | None:
    layer = backend.explainer.graph.layer(task.request.args["layer"])
    known = backend.store.importance(task.choices.rule).get(layer.name)
    return None if known is None or len(layer.shape) < MAP_AXES else (layer.name, np.asarray(known))


def _one(maps: Map) -> Map:
    small = shrunk(torch.from_numpy(np.ascontiguousarray(maps))[:, None])
    return np.asarray(small[0, 0].numpy())


def scaled_map(found: Map, *, signed: bool) -> tuple[Map, dict[str, Any]]:
    """Scale to 0..1, or to -1..1 around zero where the map is a change or has both signs."""
    low, high = float(found.min()), float(found.max())
    signed = signed or low < 0
    if signed:
        reach = max(abs(low), abs(high))
        scaled = found / reach if reach > 0 else np.zeros_like(found)
    else:
        scaled = (found - low) / (high - low) if high > low else np.zeros_like(found)
    return scaled.astype(np.float32), {"low": low, "high": high, "signed": signed}
