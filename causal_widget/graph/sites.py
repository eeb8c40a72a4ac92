"""Reach the tensors at the sites of a running model: the one way to read or change activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.errors import UnknownNameError, UnsupportedModelError, nearest
from causal_widget.graph.calls import call_name, on_calls
from causal_widget.graph.filter_graph import FilterGraph
from causal_widget.graph.layer import Layer
from causal_widget.graph.steps import PASSING, Follower, gave_back_input

Handler = Callable[[Tensor], Tensor | None]


@dataclass
class _Plan:
    """What to do along one layer's steps: handlers by position, and the last position that matters."""

    layer: Layer
    handlers: dict[int, list[Handler]] = field(default_factory=dict)

    def add(self, site: str, handler: Handler) -> None:
        self.handlers.setdefault(self._position(site), []).append(handler)

    def _position(self, site: str) -> int:
        if site not in self.layer.sites:
            raise UnknownNameError(
                f'layer "{self.layer.name}" has no site "{site}", only {", ".join(self.layer.sites)}.'
                f"{nearest(site, self.layer.sites)}"
            )
        if site == "conv":
            return 0
        return next(k for k, step in enumerate(self.layer.steps, 1) if site in step.sites)

    @property
    def last(self) -> int:
        return max(self.handlers)


@dataclass(eq=False)
class _Run:
    """One call of a layer, being followed."""

    plan: _Plan
    count: int = 0

    def on_call(
        self, positions: list[int], name: str, args: tuple[Any, ...], result: Tensor
    ) -> tuple[Any, int | None]:
        self.count += 1
        if self.count > self.plan.last:
            return result, None
        step = self.plan.layer.steps[self.count - 1]
        if step.function != name:
            raise UnsupportedModelError(
                f'after layer "{self.plan.layer.name}" the model called {name} where {step.function} was '
                "traced: it took another path than the traced one, so the site cannot be found; trace it on "
                "such an image"
            )
        for handler in self.plan.handlers.get(self.count, ()):
            result = _handled(handler, result, _must_write(name, args, result))
        return result, self.count if step.owned and self.count < self.plan.last else None


def _must_write(name: str, args: tuple[Any, ...], result: Tensor) -> bool:
    """Whether a replacement has to be written into the tensor that a function got and gave back.

    Dropout in eval mode gives back its input untouched: a gradient may still need what is in it.
    """
    return gave_back_input(args, result) and not (name in PASSING and torch.is_grad_enabled())


def _handled(handler: Handler, tensor: Tensor, in_place: bool) -> Tensor:
    replacement = handler(tensor)
    if replacement is None:
        return tensor
    # Who called an in-place function may go on with the tensor it passed, not with the one it got back.
    return tensor.copy_(replacement) if in_place else replacement


@contextmanager
def watch(
    model: nn.Module, graph: FilterGraph, handlers: Sequence[tuple[str, str, Handler]]
) -> Iterator[None]:
    """Be given the tensors at some sites whenever the model runs, in this thread, while the block lasts.

    Parameters
    ----------
    model : nn.Module
        The traced model, under `guarded`.
    graph : FilterGraph
        Its graph.
    handlers : sequence of (layer name, site, callable)
        Each callable gets the tensor at that site, shape (image, ...) with the units at
        ``layer.unit_axis``, and returns a replacement, or None to leave it as it is (it may also write into
        it). Several at one site run in order; blocks may be nested, the outer one runs first.

    Raises
    ------
    UnknownNameError
        If a layer does not exist, or has no such site (`Layer.site` finds the one to use).
    UnsupportedModelError
        While the model runs, if it takes another path than the traced one.
    """
    plans: dict[str, _Plan] = {}
    for name, site, handler in handlers:
        plan = plans.setdefault(graph.layer(name).name, _Plan(graph.layer(name)))
        plan.add(site, handler)
    follower = Follower(lambda run, *call: run.on_call(*call))
    with ExitStack() as stack:
        stack.enter_context(_layer_calls(model, plans, follower))
        if any(plan.last > 0 for plan in plans.values()):
            stack.enter_context(follower)
        yield


@contextmanager
def _layer_calls(model: nn.Module, plans: dict[str, _Plan], follower: Follower) -> Iterator[None]:
    def after(path: str, call: int, output: Tensor) -> Tensor | None:
        plan = plans.get(call_name(path, call))
        return None if plan is None else begin(plan, output)

    def begin(plan: _Plan, output: Tensor) -> Tensor:
        for handler in plan.handlers.get(0, ()):
            output = _handled(handler, output, in_place=False)
        if plan.last > 0:
            follower.mark(output, _Run(plan), 0)
        return output

    output_plan = next((p for p in plans.values() if p.layer.kind == "output"), None)
    finish = None if output_plan is None else lambda output: begin(output_plan, output)
    modules = {plan.layer.module for plan in plans.values()}
    with on_calls(model, None, after, finish, modules):
        yield


def as_maps(layer: Layer, tensor: Float[Tensor, "image ..."]) -> Float[Tensor, "image unit height width"]:
    """View a site's tensor as activation maps.

    Parameters
    ----------
    layer : Layer
        Whose tensor it is.
    tensor : Tensor, shape (image, ...)
        With the units at ``layer.unit_axis``.

    Returns
    -------
    Tensor, shape (image, unit, height, width)
        A linear layer's units have maps of 1 x 1; of volumes all axes but the last are laid into the height.
    """
    moved = tensor.movedim(layer.unit_axis, 1)
    space = moved.shape[2:]
    if len(space) == 2:
        return moved
    if not space:
        return moved[:, :, None, None]
    return moved.reshape(*moved.shape[:2], -1, space[-1])
