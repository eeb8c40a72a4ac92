"""A network under edits of units and of paths, nothing of which is written into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, UnsupportedModelError
from causal_widget.graph import FilterGraph, Layer, watch
from causal_widget.graph.calls import call_name, on_calls
from causal_widget.guard import bare, guarded
from causal_widget.interventions.acting import acted
from causal_widget.interventions.actions import Action
from causal_widget.interventions.edit import Edit, Edits
from causal_widget.interventions.intervention import Intervention
from causal_widget.interventions.layer_part import channels_in, check_plain
from causal_widget.interventions.path_plan import Piece, TargetPlan, plan_paths
from causal_widget.interventions.piece_change import piece_change
from causal_widget.interventions.seen_maps import Donors, MeanMaps
from causal_widget.interventions.shadows import Copies, Handler
from causal_widget.interventions.unit_edit import UnitEdit


@contextmanager
def edited(
    model: nn.Module,
    graph: FilterGraph,
    edits: Edits | Edit | Intervention | Iterable[Edits | Edit | Intervention],
    *,
    means: MeanMaps | None = None,
    donors: Donors | None = None,
    first: int = 0,
    index: Tensor | None = None,
    device: torch.device | None = None,
    grad: bool = False,
) -> Iterator[nn.Module]:
    """Hold the model under edits: every forward pass within the block sees them.

    Weights are never written to. What a path's weights would change is computed beside the layer that they
    belong to: with the weights w of some channels scaled, its output is itself plus (beta - 1) times what
    these channels give under w. See `PathEdit` for channels that several units share; for these the batch
    runs once more beside itself for each set of units that some children see scaled.

    Parameters
    ----------
    model : nn.Module
        The user's model; after the block it is exactly what it was before.
    graph : FilterGraph
        Its graph.
    edits : Edits, UnitEdit, PathEdit, Intervention, or several
        What is done.
    means : MeanMaps, optional
        From `means`; needed by the action `Mean`.
    donors : Donors, optional
        From `donors`: the maps that `Resample` takes. None: those of the batch's other images.
    first : int
        Number of the first image, by which `Resample` and `Noise` draw; every pass goes on counting.
    index : int64 Tensor, shape (image,), optional
        The numbers themselves, of the images of every pass, instead.
    device : torch.device, optional
        Where the model runs within the block. None: where it is.
    grad : bool
        Whether gradients are recorded.

    Yields
    ------
    nn.Module
        The model, in `eval` mode, under the edits.

    Raises
    ------
    UnknownNameError
        If a layer or unit does not exist.
    ArgumentError
        If a unit is a class, a path joins what is not parent and child, or means are missing or of another
        site.
    UnsupportedModelError
        If a path leads into a layer that computes in a way of its own.
    """
    network, checked = bare(model), Edits.of(edits).checked(graph)
    plans = plan_paths(graph, checked.paths)
    shadows = dict.fromkeys(shadow for plan in plans for shadow in plan.shadows)
    copies = Copies(tuple(shadows), first, index)
    for plan in plans:
        check_plain(plan.layer.name, network.get_submodule(plan.layer.module))
    handlers = [one for edit in checked.units for one in _handlers(edit, graph, copies, means, donors)]
    with ExitStack() as stack:
        stack.enter_context(guarded(network, device, grad))
        stack.enter_context(copies.around(network))
        if plans:
            stack.enter_context(_paths(network, plans, copies))
        stack.enter_context(watch(network, graph, [*handlers, *copies.handlers(graph)]))
        yield network


def _handlers(
    edit: UnitEdit, graph: FilterGraph, copies: Copies, means: MeanMaps | None, donors: Donors | None
) -> list[Handler]:
    """Give to `watch` what edits units."""
    if edit.action.needs_means and means is None:
        raise ArgumentError(f"{edit} needs means=means(model, graph, images, {edit.site!r})")
    found: list[Handler] = []
    for name, numbers in edit.units.items():
        layer = graph.layer(name)
        site, units = layer.site(edit.site), torch.tensor(tuple(numbers))
        if means is not None and edit.action.needs_means:
            means.at(layer, site)  # refused before the model runs
        found.append((name, site, _edit_units(edit.action, layer, site, units, copies, means, donors)))
    return found


def _edit_units(
    action: Action,
    layer: Layer,
    site: str,
    units: Tensor,
    copies: Copies,
    means: MeanMaps | None,
    donors: Donors | None,
) -> Callable[[Tensor], Tensor]:
    def handler(maps: Tensor) -> Tensor:
        chosen = units.to(maps.device)
        old = maps.index_select(layer.unit_axis, chosen).movedim(layer.unit_axis, 1)
        parts = copies.apart(layer.name, old) if action.random else (old,)
        done = [acted(action, layer, site, one, chosen, copies.index, means, donors) for one in parts]
        new = torch.cat(done).movedim(1, layer.unit_axis)
        return maps.index_copy(layer.unit_axis, chosen, new)

    return handler


@contextmanager
def _paths(model: nn.Module, plans: Iterable[TargetPlan], copies: Copies) -> Iterator[None]:
    """Add to each target's output what its scaled weights, and what its children see otherwise, change."""
    by_name = {plan.layer.name: plan for plan in plans}
    inputs: dict[str, Tensor] = {}

    def before(path: str, call: int, given: Tensor) -> None:
        if call_name(path, call) in by_name:
            inputs[call_name(path, call)] = given

    def after(path: str, call: int, output: Tensor) -> Tensor | None:
        plan = by_name.get(call_name(path, call))
        if plan is None:
            return None
        given = inputs.pop(plan.layer.name)
        return _under(plan, model.get_submodule(path), given, output, copies)

    with on_calls(model, before, after, None, {plan.layer.module for plan in by_name.values()}):
        yield


def _under(plan: TargetPlan, module: nn.Module, given: Tensor, output: Tensor, copies: Copies) -> Tensor:
    """Give the layer's output under its path edits."""
    changed = output
    for piece in plan.pieces:
        own = channels_in(module, _own(plan, piece, given, copies), piece.channels)
        other = None
        if piece.shadow:
            seen = copies.of(plan.layer.name, given, piece.shadow)
            other = channels_in(module, seen, piece.channels[piece.shadowed])
        difference = piece_change(piece, module, own, other)
        if len(difference) != len(output):
            # Only the images' own rows count; `Copies` makes all copies of a layer's output the same.
            rest = difference.new_zeros(len(output) - len(difference), *difference.shape[1:])
            difference = torch.cat([difference, rest])
        axis = plan.layer.unit_axis
        if difference.movedim(axis, 0).shape[1:] != output.movedim(axis, 0).shape[1:]:
            raise UnsupportedModelError(
                f'layer "{plan.layer.name}" was asked for an output size that is not its own; a path into it '
                "cannot be followed"
            )
        units = torch.as_tensor(piece.units, device=output.device)
        changed = changed.index_add(axis, units, difference.to(output.dtype))
    return changed


def _own(plan: TargetPlan, piece: Piece, given: Tensor, copies: Copies) -> Tensor:
    """Give the layer's input: for the images alone where a unit shares its channels."""
    return copies.of(plan.layer.name, given, ()) if piece.shadow else given
