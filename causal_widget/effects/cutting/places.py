"""Which node of the traced network is which site of which layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from causal_widget.effects.cutting.program import NoCut, Program, written
from causal_widget.graph import FilterGraph, Layer, watch
from causal_widget.graph.calls import call_name, layer_modules
from causal_widget.graph.steps import Follower

__all__ = ["Place", "find_places", "input_of", "inputs_of", "route", "route_of", "seen_by_watch"]

Place = tuple[str, str]


def input_of(layer: str) -> Place:
    """Name the place of a layer's whole input: it is kept, no change enters there."""
    return layer, "input"


def route(layer: str, site: str, target: str) -> Place:
    """Name the place at which a unit is changed on the way to a layer that reads it, and to no other."""
    return layer, f"{site}>{target}"


def route_of(site: str) -> tuple[str, str]:
    """Give the site and the target in a route's name; no target where it is a site alone."""
    own, _, target = site.partition(">")
    return own, target


def inputs_of(places: Mapping[Place, fx.Node]) -> dict[str, fx.Node]:
    """Give the nodes of the layers' inputs, of those that were called with their input alone."""
    calls = {layer: node for (layer, site), node in places.items() if site == "conv"}
    return {
        layer: node.args[0]
        for layer, node in calls.items()
        if node.op == "call_module" and len(node.args) == 1 and isinstance(node.args[0], fx.Node)
    }


@dataclass(eq=False)
class _Walk:
    """One call of a layer, followed along its steps as `watch` follows it."""

    layer: Layer
    count: int = 0
    lost: bool = False


class _Finder:
    """Is told of every call and every value, and notes the node that is computing when a site is reached."""

    def __init__(self, program: Program, graph: FilterGraph) -> None:
        self._program, self._layers = program, {layer.name: layer for layer in graph.layers}
        self._paths = {id(module): path for path, module in layer_modules(program.model).items()}
        self._calls: Counter[str] = Counter()
        self._reached: list[tuple[Place, Tensor]] = []
        self.follower = Follower(self._on_call)
        self.places: dict[Place, fx.Node] = {}

    def _on_call(
        self, walk: _Walk, positions: list[int], name: str, args: tuple[Any, ...], result: Any
    ) -> tuple[Any, int | None]:
        walk.count += 1
        steps = walk.layer.steps
        if walk.lost or walk.count > len(steps):
            return result, None
        step = steps[walk.count - 1]
        walk.lost = step.function != name
        if walk.lost:
            return result, None
        self._reached += [((walk.layer.name, site), result) for site in step.sites]
        return result, walk.count if step.owned and walk.count < len(steps) else None

    def seen(self, node: fx.Node, value: Any) -> None:
        """Be told of a node's value."""
        self.places |= {place: node for place, tensor in self._reached if tensor is value}
        self._reached = []
        path = self._paths.get(id(self._program.module(node)))
        if path is None or not isinstance(value, Tensor):
            return
        name = call_name(path, self._calls[path])
        self._calls[path] += 1
        layer = self._layers.get(name)
        if layer is not None:
            self.places[name, "conv"] = node
            self.follower.mark(value, _Walk(layer), 0)


def find_places(
    program: Program, graph: FilterGraph, images: Tensor
) -> tuple[dict[Place, fx.Node], dict[fx.Node, list[fx.Node]]]:
    """Run a program once, and find the nodes of all sites.

    Returns
    -------
    places : dict of (layer, site) to node
        Sites that lie inside a module of torch are missing.
    writes : dict
        Which nodes write into their input, as `written` says it.

    Raises
    ------
    NoCut
        As `written` does.
    """
    finder = _Finder(program, graph)
    with finder.follower:
        writes = written(program, images.clone(), finder.seen)
    known = {(layer.name, site) for layer in graph.layers for site in layer.sites}
    return {place: node for place, node in finder.places.items() if place in known}, writes


def seen_by_watch(
    model: nn.Module, graph: FilterGraph, places: list[Place], images: Tensor
) -> tuple[Tensor, dict[Place, Tensor]]:
    """Run the model itself, and give its output and the tensors at some sites."""
    seen: dict[Place, Tensor] = {}

    def note(place: Place) -> tuple[str, str, Any]:
        return (*place, lambda tensor: seen.__setitem__(place, tensor.clone()))

    with watch(model, graph, [note(place) for place in places]):
        output = model(images.clone())
    if not isinstance(output, Tensor):
        raise NoCut("its output is not a single tensor")
    return output, seen


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same numbers, to rounding; NaN where the other is NaN."""
    if a.shape != b.shape:
        return False
    scale = float(b.abs().max()) if b.numel() and b.is_floating_point() else 1.0
    return torch.allclose(a, b, rtol=1e-5, atol=1e-6 * max(scale, 1e-3), equal_nan=True)
