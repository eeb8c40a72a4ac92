"""A network as a list of functions without side effects, each of which can be run again by itself."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from causal_widget.graph.calls import layer_modules

__all__ = ["NoCut", "Program", "has_hooks", "written"]


class NoCut(Exception):
    """Why a network cannot be cut; never leaves this room, its text does."""


class _Tracer(fx.Tracer):
    """Look into everything a person wrote, but not into layers and torch's own modules."""

    def __init__(self, layers: set[nn.Module]) -> None:
        super().__init__()
        self._layers = layers

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self._layers or super().is_leaf_module(m, module_qualified_name)


@dataclass(eq=False)
class Program:
    """The nodes of a traced network in the order in which they run.

    Attributes
    ----------
    model : nn.Module
        The user's model; its modules are called, never changed.
    nodes : tuple of fx.Node
        What runs, without the placeholders and the output.
    images, result : fx.Node
        Where the images enter, and the node whose value is the model's output.
    """

    model: nn.Module
    nodes: tuple[fx.Node, ...]
    images: fx.Node
    result: fx.Node
    defaults: dict[fx.Node, Any]
    _calls: dict[fx.Node, Callable[..., Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module) -> Program:
        """Trace a model.

        Raises
        ------
        NoCut
            If torch.fx cannot follow it, or its output is no single value.
        """
        try:
            graph = _Tracer(set(layer_modules(model).values())).trace(model)
        # A model may do anything at all with a proxy, and so raise anything: that is the answer.
        except Exception as error:  # noqa: BLE001
            lines = str(error).splitlines()
            raise NoCut(f"torch.fx cannot follow it: {type(error).__name__}: {lines[0] if lines else ''}")  # noqa: B904
        entries = [node for node in graph.nodes if node.op == "placeholder"]
        (end,) = (node for node in graph.nodes if node.op == "output")
        if not isinstance(end.args[0], fx.Node):
            raise NoCut("its output is not a single tensor")
        inner = tuple(node for node in graph.nodes if node.op not in ("placeholder", "output"))
        defaults = {node: node.args[0] if node.args else None for node in entries[1:]}
        program = cls(model, inner, entries[0], end.args[0], defaults)
        program._graph = graph  # type: ignore[attr-defined]  # its nodes do not own it
        return program

    def module(self, node: fx.Node) -> nn.Module | None:
        """Give the module that a node calls, None where it calls none."""
        return self.model.get_submodule(str(node.target)) if node.op == "call_module" else None

    def call(
        self, node: fx.Node, look: Callable[[fx.Node], Any], instead: Callable[..., Any] | None = None
    ) -> Any:
        """Run one node, or what is called instead, on the values that `look` gives."""
        args, kwargs = map_arg(node.args, look), map_arg(node.kwargs, look)
        return (instead or self.function(node))(*args, **kwargs)

    def function(self, node: fx.Node) -> Callable[..., Any]:
        """Give what a node calls."""
        if node not in self._calls:
            self._calls[node] = self._function(node)
        return self._calls[node]

    def _function(self, node: fx.Node) -> Callable[..., Any]:
        target = node.target
        if node.op == "call_module":
            return self.model.get_submodule(str(target))
        if node.op == "get_attr":
            path = operator.attrgetter(str(target))
            return lambda: path(self.model)  # looked up each time: a guard may have moved it
        if node.op == "call_method":
            return lambda owner, *args, **kwargs: getattr(owner, str(target))(*args, **kwargs)
        if not callable(target):
            raise NoCut(f"the traced network calls {target!r}, which is no function")
        return target

    def steps(
        self,
        images: Tensor,
        keep: Collection[fx.Node] = (),
        instead: Mapping[fx.Node, Callable[..., Any]] | None = None,
    ) -> Iterator[tuple[fx.Node, Any]]:
        """Run everything, node by node; give each node with its value, and free what none needs any more.

        Parameters
        ----------
        images : Tensor
        keep : collection of nodes
            What is not freed.
        instead : mapping of node to function, optional
            What is called in place of some nodes' own functions.
        """
        values: dict[fx.Node, Any] = {**self.defaults, self.images: images}
        last = last_uses(self.nodes)
        for node in self.nodes:
            function = (instead or {}).get(node)
            values[node] = self.call(node, values.__getitem__, function)
            yield node, values[node]
            for done in last.get(node, ()):
                if done not in keep and done is not self.result:
                    del values[done]

    def all_values(self, images: Tensor) -> dict[fx.Node, Any]:
        """Run everything, and give every value."""
        values: dict[fx.Node, Any] = {**self.defaults, self.images: images}
        for node in self.nodes:
            values[node] = self.call(node, values.__getitem__)
        return values

    def without_side_effects(self, places: dict[fx.Node, list[fx.Node]]) -> None:
        """Let nodes that wrote into their input give a new tensor instead.

        Parameters
        ----------
        places : dict
            Each node that writes, with the nodes whose value is the very tensor it writes into.
        """
        order = {node: i for i, node in enumerate(self.nodes)}
        for node in self.nodes:
            if node not in places:
                continue
            self._calls[node] = _pure(node, self.module(node), self.function(node))
            for alias in places[node]:
                for user in [u for u in alias.users if order.get(u, len(order)) > order[node]]:
                    user.replace_input_with(alias, node)
                if alias is self.result:
                    self.result = node


def has_hooks(module: nn.Module) -> bool:
    """Whether a person's functions see a module's input or output, and may change it."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def last_uses(nodes: Collection[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
    """Say after which node which values are needed no more by any of the nodes."""
    last: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        for read in node.all_input_nodes:
            last[read] = node
        last.setdefault(node, node)
    found: dict[fx.Node, list[fx.Node]] = {}
    for value, user in last.items():
        found.setdefault(user, []).append(value)
    return found


def _pure(node: fx.Node, module: nn.Module | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the form of a writing function that gives a new tensor."""
    if module is not None and getattr(module, "inplace", False):
        twin = copy.copy(module)  # the user's own module stays as it is
        twin.__dict__["inplace"] = False
        return twin
    if node.kwargs.get("inplace"):
        return lambda *args, **kwargs: function(*args, **{**kwargs, "inplace": False})
    name = str(node.target if node.op == "call_method" else getattr(node.target, "__name__", ""))
    if node.op == "call_function" and node.target in _ARITHMETIC:
        return _ARITHMETIC[node.target]
    plain = name.rstrip("_")
    if node.op == "call_method" and name.endswith("_") and hasattr(Tensor, plain):
        return lambda owner, *args, **kwargs: getattr(owner, plain)(*args, **kwargs)
    return lambda owner, *args, **kwargs: function(owner.clone(), *args, **kwargs)


_ARITHMETIC: dict[Any, Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    torch.relu_: torch.relu,
}


def written(program: Program, images: Tensor, seen: Callable[[fx.Node, Any], None]) -> dict[Any, Any]:
    """Run a program as it was written, and find which nodes write into their input.

    Parameters
    ----------
    program : Program
        Just traced.
    images : Tensor
        An example.
    seen : callable (node, value)
        Told of each value when it is computed.

    Returns
    -------
    dict
        For `Program.without_side_effects`.

    Raises
    ------
    NoCut
        If a node writes into something other than its first input, or into one that others are views of.
    """
    values: dict[fx.Node, Any] = {**program.defaults, program.images: images}
    left = {node: i for i, node in enumerate(program.nodes)}
    found: dict[fx.Node, list[fx.Node]] = {}
    for i, node in enumerate(program.nodes):
        read = {n: values[n] for n in node.all_input_nodes if isinstance(values[n], Tensor)}
        versions = {n: tensor._version for n, tensor in read.items()}
        values[node] = program.call(node, values.__getitem__)
        seen(node, values[node])
        changed = [n for n, tensor in read.items() if tensor._version != versions[n]]
        if not changed:
            continue
        live = {
            n: v for n, v in values.items()
            if n is not node and isinstance(v, Tensor) and _needed_after(n, i, left, program.result)
        }  # fmt: skip
        found[node] = _aliases(node, values, live)
    return found


def _needed_after(value: fx.Node, i: int, order: dict[fx.Node, int], result: fx.Node) -> bool:
    return value is result or any(order.get(user, -1) > i for user in value.users)


def _aliases(node: fx.Node, values: dict[fx.Node, Any], live: dict[fx.Node, Tensor]) -> list[fx.Node]:
    target = values[node.args[0]] if node.args and isinstance(node.args[0], fx.Node) else None
    if not isinstance(target, Tensor) or not isinstance(values[node], Tensor):
        raise NoCut(f"{node.name} writes into a tensor that is not its first argument")
    if not _same_memory(values[node], target):
        raise NoCut(f"{node.name} writes into a tensor and gives back another one")
    storage = target.untyped_storage().data_ptr()
    shared = [n for n, v in live.items() if v.untyped_storage().data_ptr() == storage]
    for other in shared:
        if not _same_memory(values[other], target):
            raise NoCut(f"{node.name} writes into a tensor that {other.name} is a view of")
    return shared


def _same_memory(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
