"""A network that can be entered in the middle: what lies above a change is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from causal_widget.effects.cutting.batch_dependent import refuse_batch_dependent
from causal_widget.effects.cutting.carried import size_in_bytes, spec_of
from causal_widget.effects.cutting.places import (
    Place,
    find_places,
    inputs_of,
    route_of,
    same,
    seen_by_watch,
)
from causal_widget.effects.cutting.program import NoCut, Program
from causal_widget.effects.cutting.region import Region, region_below
from causal_widget.effects.cutting.reuse import Reuse, reuses
from causal_widget.effects.cutting.rules import Rule, rule_for
from causal_widget.effects.cutting.state import CutState, recorded
from causal_widget.errors import DataError, UnsupportedModelError
from causal_widget.graph import FilterGraph
from causal_widget.guard import bare, floating_type, guarded

__all__ = ["CutModel"]

Images = Float[Tensor, "image channel height width"]


@dataclass(frozen=True, eq=False, repr=False)
class CutModel:
    """A network, traced, with the nodes at which it can be entered.

    Attributes
    ----------
    model, graph : nn.Module, FilterGraph
        The user's network, out of its wrappers, and its graph.
    program : Program
        The traced network.
    places : mapping of (layer, site) to node
        Where a change can enter.
    missing : mapping of (layer, site) to str
        Why the others cannot be entered.
    """

    model: nn.Module
    graph: FilterGraph
    program: Program
    places: Mapping[Place, fx.Node]
    missing: Mapping[Place, str]
    _specs: Mapping[fx.Node, Any]
    _rules: Mapping[fx.Node, Rule | None]
    _shapes: Mapping[fx.Node, Any]
    _reuses: Mapping[fx.Node, Reuse]
    _regions: dict[Place, Region | str] = field(default_factory=dict)

    @staticmethod
    def of(model: nn.Module, graph: FilterGraph) -> CutModel | str:
        """Trace a network, and check that the trace computes what the network does.

        Parameters
        ----------
        model : nn.Module
            The user's network; it is not changed.
        graph : FilterGraph
            Its graph.

        Returns
        -------
        CutModel, or str
            Why the network can only be run as a whole.

        Raises
        ------
        UnsupportedModelError
            If an image's answer depends on the images beside it.
        """
        network = bare(model)
        refuse_batch_dependent(network)
        if graph.traced_by != "symbolic":
            return f"the path that it takes may depend on the image ({graph.note})"
        with guarded(network) as guard:
            images = _example(graph, guard.device, floating_type(network))
            try:
                return _cut(network, graph, images)
            except NoCut as reason:
                return str(reason)

    def region(self, layer: str, site: str) -> Region | str:
        """Give what lies below a site, or why it cannot be entered there.

        Beside the sites there are a layer's input, which is only kept (`input_of`), and routes from a site
        to one of the layers that read it (`route`).
        """
        if (layer, site) not in self._regions:
            self._regions[layer, site] = self._found(layer, *route_of(site))
        return self._regions[layer, site]

    def _found(self, layer: str, site: str, target: str) -> Region | str:
        if site == "input":
            node = self.inputs.get(layer)
            if node is None:
                return f'what layer "{layer}" reads is not one tensor of the trace'
            return Region(node, node, (), frozenset({node}), {}, 1)
        start = self.places.get((layer, site))
        if start is None:
            return self.missing.get((layer, site), f'layer "{layer}" has no site "{site}"')
        told = (self.program, start, self._specs, self._rules, self._shapes.__getitem__)
        if not target:
            return region_below(*told)
        if target not in self.inputs:
            return f'what layer "{target}" reads is not one tensor of the trace'
        stops = {node for (_, own), node in self.places.items() if own == "conv"} - {start}
        return region_below(*told, self.inputs[target], stops)

    @cached_property
    def inputs(self) -> Mapping[str, fx.Node]:
        """The nodes of the layers' inputs."""
        return inputs_of(self.places)

    def kept_bytes(self, places: Iterable[Place], n_images: int) -> int:
        """Bytes that a run keeps for later changes at some sites, for so many images."""
        needs: set[fx.Node] = set()
        for place in places:
            region = self.region(*place)
            needs |= set() if isinstance(region, str) else region.needs
        batched = [n for n in needs if self._specs.get(n) == "images"]
        return sum(size_in_bytes(self._shapes[n]) // 2 for n in batched) * n_images

    def all_bytes(self, n_images: int) -> int:
        """Bytes of all values of a run over so many images, all of which a recorded run keeps."""
        batched = [value for node, value in self._shapes.items() if self._specs.get(node) == "images"]
        return sum(size_in_bytes(value) // 2 for value in batched) * n_images

    @contextmanager
    def run(
        self,
        images: Images,
        at: Iterable[Place] | None = None,
        *,
        channels_last: bool = False,
        grad: bool = False,
        soft: bool = False,
    ) -> Iterator[CutState]:
        """Run the network once, and keep what later changes need while the block lasts.

        Parameters
        ----------
        images : Tensor, shape (image, channel, height, width)
            Of the shape that was traced.
        at : iterable of (layer, site), optional
            Where changes will enter; None: everywhere that it is possible.
        channels_last : bool
            Lay the channels of a pixel side by side in memory: on many machines convolutions are faster so.
            Results differ by rounding; a network that asks for a view of its maps may refuse.
        grad : bool
            Record the run, so that the logits have gradients with respect to what `CutState.value` gives.
        soft : bool
            Whether gradients pass ReLU by gates that open over a width, see `soft_gates`.

        Yields
        ------
        CutState
            The logits, and the means to run what lies below a change again.

        Raises
        ------
        DataError
            If the images have another shape.
        UnsupportedModelError
            If the network cannot be entered at one of the sites.
        """
        with guarded(self.model, grad=grad):
            state = self.keep(images, at, channels_last=channels_last, grad=grad, soft=soft)
            try:
                yield state
            finally:
                state.clear()

    def keep(
        self,
        images: Images,
        at: Iterable[Place] | None = None,
        *,
        channels_last: bool = False,
        grad: bool = False,
        soft: bool = False,
    ) -> CutState:
        """Run the network once, and keep what later changes need until the state is cleared.

        For many changes, one after the other, on the same images. Whoever runs again guards the model each
        time (`guarded`), and holds it where it was when this ran.

        Parameters
        ----------
        images, at, channels_last, grad, soft
            As for `run`.
        """
        self._check(images)
        regions = {place: self._entered(place) for place in (self.places if at is None else at)}
        if at is None:
            regions = {place: region for place, region in regions.items() if not isinstance(region, str)}
        refused = next(((p, r) for p, r in regions.items() if isinstance(r, str)), None)
        if refused is not None:
            raise UnsupportedModelError(f"the network cannot be entered at {refused[0]}: {refused[1]}")
        found = {place: region for place, region in regions.items() if isinstance(region, Region)}
        needed = {node for region in found.values() for node in region.needs}
        with guarded(self.model, grad=grad) as guard:
            state = CutState(self.graph, self.program, self._specs, self._rules, self._reuses, found)
            placed = images.to(guard.device, floating_type(self.model))
            if channels_last and placed.ndim == 4:
                placed = placed.contiguous(memory_format=torch.channels_last)
            state.fill(recorded(placed) if grad else placed, frozenset(needed), soft)
        return state

    def _entered(self, place: Place) -> Region | str:
        return self.region(*place)

    def _check(self, images: Images) -> None:
        shape = tuple(images.shape[1:])
        if shape != tuple(self.graph.example_shape):
            raise DataError(
                f"images of shape {shape}, but the network was traced with {tuple(self.graph.example_shape)}"
            )
        if not len(images):
            raise DataError("there are no images in the batch")

    def __repr__(self) -> str:
        sites = len(self.places) + len(self.missing)
        return f"CutModel of {type(self.model).__name__}: {len(self.places)} of {sites} sites can be entered"


def _example(graph: FilterGraph, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, *graph.example_shape, generator=generator)
    return images.to(device, dtype)


def _cut(model: nn.Module, graph: FilterGraph, images: Tensor) -> CutModel:
    program = Program.of(model)
    places, writes = find_places(program, graph, images[:2])
    program.without_side_effects(writes)
    two, three = dict(program.all_values(images[:2])), dict(program.all_values(images))
    result = _checked_result(two[program.result], three[program.result])
    output, seen = seen_by_watch(model, graph, list(places), images[:2])
    if not same(result, output):
        raise NoCut("the traced network computes something other than the network itself")
    found = {place: node for place, node in places.items() if _is_value(two.get(node), seen.get(place))}
    missing = {
        (layer.name, site): "the site lies within one of torch's modules, or was not found in the trace"
        for layer in graph.layers
        for site in layer.sites
        if (layer.name, site) not in found and layer.kind != "output"
    }
    from_images = _from_images(program)
    specs = {n: spec_of(two[n], three[n], n in from_images) for n in two}
    rules = {n: rule_for(program, n, two.__getitem__) for n in program.nodes}
    shapes = {n: _only_shape(value) for n, value in two.items()}
    return CutModel(model, graph, program, found, missing, specs, rules, shapes, reuses(program, two))


def _is_value(value: Any, seen: Tensor | None) -> bool:
    return isinstance(value, Tensor) and seen is not None and same(value, seen)


def _checked_result(two: Any, three: Any) -> Tensor:
    if not isinstance(two, Tensor) or two.ndim != 2 or len(two) != 2:
        shape = tuple(two.shape) if isinstance(two, Tensor) else type(two).__name__
        raise NoCut(f"its output must be a tensor (2 images, classes), got {shape}")
    if not same(two, three[:2]):
        raise UnsupportedModelError(
            "an image's answer depends on the images beside it: the same two images got other logits in a "
            "batch of three, so that no image has an effect of its own"
        )
    return two


def _from_images(program: Program) -> set[fx.Node]:
    found = {program.images}
    for node in program.nodes:
        if any(read in found for read in node.all_input_nodes):
            found.add(node)
    return found


def _only_shape(value: Any) -> Any:
    """Keep a value's shape and type, without its numbers."""
    if isinstance(value, Tensor):
        return torch.empty_like(value, device="meta")
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return type(value)(_only_shape(one) for one in value) if type(value) in (tuple, list) else value
    return value
