"""Operations that may write over their input when they run again, because nothing else will read it.

A processor spends a good part of a forward pass on getting fresh memory for each result.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from causal_widget.effects.cutting.program import Program, has_hooks

__all__ = ["Reuse", "reuses"]

Reuse = tuple[fx.Node, Callable[..., Any]]

_NEW_MODULES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ADDS = (operator.add, operator.iadd, torch.add)
_RELUS = (torch.relu, F.relu)


def reuses(program: Program, example: Mapping[fx.Node, Any]) -> dict[fx.Node, Reuse]:
    """Find the nodes that may write over an input.

    Parameters
    ----------
    program : Program
        Without side effects.
    example : mapping of node to value
        Values that tell shapes.

    Returns
    -------
    dict of node to (input, function)
        The input is new memory whenever its own node runs, and only this node reads it, so that no view of
        it is alive. The function takes the node's arguments in its own order, the input first.
    """
    found: dict[fx.Node, Reuse] = {}
    for node in program.nodes:
        reuse = _of_module(program, node) or _of_relu(program, node) or _of_add(program, node, example)
        if reuse is not None:
            found[node] = reuse
    return found


def _is_own(program: Program, value: Any, node: fx.Node) -> bool:
    """Whether a value is new memory that only this node reads, once."""
    if not isinstance(value, fx.Node) or value is program.result or list(value.users) != [node]:
        return False
    module = program.module(value)
    if module is not None:
        return type(module) in _NEW_MODULES and not module._forward_hooks
    return value.op == "call_function" and value.target in _ADDS


def _of_module(program: Program, node: fx.Node) -> Reuse | None:
    module = program.module(node)
    if not isinstance(module, nn.ReLU | nn.ReLU6 | nn.SiLU | nn.Hardswish) or len(node.args) != 1:
        return None
    if has_hooks(module) or not _is_own(program, node.args[0], node):
        return None
    twin = copy.copy(module)  # the user's own module stays as it is
    twin.__dict__["inplace"] = True
    return node.args[0], twin  # type: ignore[return-value]


def _of_relu(program: Program, node: fx.Node) -> Reuse | None:
    if node.op != "call_function" or node.target not in _RELUS or not _is_own(program, node.args[0], node):
        return None
    return node.args[0], torch.relu_  # type: ignore[return-value]


def _of_add(program: Program, node: fx.Node, example: Mapping[fx.Node, Any]) -> Reuse | None:
    if node.op != "call_function" or node.target not in _ADDS or len(node.args) != 2 or node.kwargs:
        return None
    first, second = node.args
    if first is second or not all(isinstance(one, fx.Node) for one in (first, second)):
        return None
    a, b = example[first], example[second]  # type: ignore[index]
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or (a.shape, a.dtype) != (b.shape, b.dtype):
        return None
    if _is_own(program, first, node):
        return first, lambda own, other: own.add_(other)  # type: ignore[return-value]
    if _is_own(program, second, node):
        return second, lambda own, other: own.add_(other)  # type: ignore[return-value]
    return None
