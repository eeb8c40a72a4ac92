"""A network under do(): the units' maps are replaced while it runs, and nothing of it is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Int
from torch import Tensor, nn

from causal_widget.graph import FilterGraph, watch
from causal_widget.guard import bare, guarded
from causal_widget.interventions.intervention import Intervention

Handler = tuple[str, str, Callable[[Tensor], Tensor | None]]


class Lever:
    """Handlers for `watch` that put one of several interventions into force, or none.

    One `watch` serves a whole computation: pulling the lever between two forward passes is what changes.

    Parameters
    ----------
    graph : FilterGraph
        The network's graph.
    interventions : iterable of Intervention
        All that will be pulled, so that every place they need is watched.
    """

    def __init__(self, graph: FilterGraph, interventions: Iterable[Intervention]) -> None:
        self._graph = graph
        places = {place for one in interventions for place in self._places(one)}
        self._order = sorted(places, key=lambda place: (graph.layer(place[0]).index, place[1]))
        self._force: dict[tuple[str, str], tuple[Int[Tensor, " chosen"], Intervention]] = {}

    @property
    def handlers(self) -> list[Handler]:
        """What to give to `watch`."""
        return [(layer, site, self._handler(layer, site)) for layer, site in self._order]

    def pull(self, intervention: Intervention | None) -> None:
        """Put `intervention` into force from the next forward pass on; None lets the network run as it is."""
        self._force = {}
        if intervention is not None:
            for (layer, site), units in zip(
                self._places(intervention), intervention.units.values(), strict=True
            ):
                self._force[layer, site] = (torch.tensor(tuple(units)), intervention)

    def _places(self, intervention: Intervention) -> list[tuple[str, str]]:
        return [(name, self._graph.layer(name).site(intervention.site)) for name in intervention.units]

    def _handler(self, layer: str, site: str) -> Callable[[Tensor], Tensor | None]:
        axis = self._graph.layer(layer).unit_axis

        def set_units(maps: Tensor) -> Tensor | None:
            force = self._force.get((layer, site))
            if force is None:
                return None
            units, intervention = force
            if units.device != maps.device:
                units = units.to(maps.device)
                self._force[layer, site] = (units, intervention)
            if torch.is_grad_enabled():
                return _changed(maps.clone(), axis, units, intervention)
            _changed(maps, axis, units, intervention)
            return None

        return set_units


def _changed(maps: Tensor, axis: int, units: Int[Tensor, " chosen"], intervention: Intervention) -> Tensor:
    """Set or scale the units in place."""
    if intervention.scale is None:
        return maps.index_fill_(axis, units, intervention.value)
    return maps.index_copy_(axis, units, maps.index_select(axis, units) * intervention.scale)


@contextmanager
def intervene(
    model: nn.Module,
    graph: FilterGraph,
    intervention: Intervention,
    *,
    device: torch.device | None = None,
    grad: bool = False,
) -> Iterator[nn.Module]:
    """Hold the model under do(): every forward pass within the block sees the units set or scaled.

    Parameters
    ----------
    model : nn.Module
        The user's model; after the block it is exactly what it was before.
    graph : FilterGraph
        Its graph.
    intervention : Intervention
        What is set, to what, and where.
    device : torch.device, optional
        Where the model runs within the block. None: where it is.
    grad : bool
        Whether gradients are recorded; the set units then pass none to what is before them.

    Yields
    ------
    nn.Module
        The model, in `eval` mode, under do().

    Raises
    ------
    UnknownNameError
        If a layer or unit does not exist.
    ArgumentError
        If a unit is a class of the output.
    """
    network, checked = bare(model), intervention.checked(graph)
    lever = Lever(graph, [checked])
    with guarded(network, device, grad), watch(network, graph, lever.handlers):
        lever.pull(checked)
        yield network
