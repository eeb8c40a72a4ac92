"""Follow a layer's own tensor through the functions that read it, from its output to the last site.

The same follower serves the tracing of a model, where the steps are recorded, and every later run, where
they are recognised again. It works on function calls, so that `nn.ReLU`, `F.relu` and `x.relu_()` are all
one to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_serial = itertools.count()


@dataclass(frozen=True)
class Mark:
    """A tensor that holds the units of one layer call and nothing else.

    Attributes
    ----------
    owner : object
        What follows this layer call.
    position : int
        0 for the layer's output, k for the result of the k-th function that read it.
    """

    owner: Any
    position: int


class Follower(TorchFunctionMode):
    """Tell the owner of a marked tensor of every function that reads it.

    Parameters
    ----------
    on_call : callable (owner, positions read, function name, arguments, result)
        Called after each function that reads marked tensors, once an owner; returns the result to go on
        with and the position to mark it with (None: do not mark).
    """

    def __init__(
        self, on_call: Callable[[Any, list[int], str, tuple[Any, ...], Any], tuple[Any, int | None]]
    ) -> None:
        super().__init__()
        self._on_call = on_call
        self._key = f"_causal_widget_mark_{next(_serial)}"

    def mark(self, tensor: Tensor, owner: Any, position: int) -> None:
        """Say whose units a tensor holds."""
        tensor.__dict__[self._key] = Mark(owner, position)

    def mark_of(self, value: object) -> Mark | None:
        """Say whose units a tensor holds, None where it holds no single layer's."""
        return value.__dict__.get(self._key) if isinstance(value, Tensor) else None

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        reads = self._reads(args, kwargs)
        if not reads or getattr(func, "__name__", "") == "__get__":
            return func(*args, **kwargs)
        target = args[0] if torch.is_grad_enabled() and _asks_in_place(func, args, kwargs) else None
        given = args if target is None else (target.clone(), *args[1:])
        result = func(*given, **kwargs)
        if not isinstance(result, Tensor):
            return result
        written = target if target is not None and result is given[0] else None
        result.__dict__.pop(self._key, None)
        for owner, positions in reads.items():
            result, position = self._on_call(owner, positions, function_name(func), args, result)
            if position is not None:
                self.mark(result, owner, position)
        return result if written is None else self._write_back(written, result)

    def _write_back(self, target: Tensor, result: Tensor) -> Tensor:
        """Finish an in-place function that ran on a copy.

        Its gradient needs the numbers it computed; a handler that wrote others over them would break it.
        """
        mark = result.__dict__.get(self._key)
        target = target.copy_(result)
        target.__dict__.pop(self._key, None)
        if mark is not None:
            self.mark(target, mark.owner, mark.position)
        return target

    def _reads(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[Any, list[int]]:
        found: dict[Any, list[int]] = {}
        for tensor in _tensors((*args, *kwargs.values()) if kwargs else args):
            mark = tensor.__dict__.get(self._key)
            if mark is not None:
                found.setdefault(mark.owner, []).append(mark.position)
        return found


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """All tensors among arguments, in order; also those in lists, as `torch.cat` takes them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def function_name(func: Any) -> str:
    """Name of a torch function, without the underscore of its in-place form."""
    name = getattr(func, "__name__", type(func).__name__)
    return name if name.startswith("__") else name.rstrip("_")


NORMS = frozenset({"batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"})
PASSING = frozenset(
    {
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
        *("feature_dropout", "feature_alpha_dropout", "contiguous", "to", "type", "float", "half", "double"),
        *("bfloat16", "clone", "detach", "requires_grad", "cpu", "cuda"),
    }
)
LINEAR = frozenset(
    {
        *("mul", "add", "sub", "div", "true_divide", "neg", "__mul__", "__rmul__", "__add__", "__radd__"),
        *("__sub__", "__rsub__", "__truediv__"),
    }
)


def _asks_in_place(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a function will write into its first argument: by its name, or by its inplace argument."""
    name = getattr(func, "__name__", "")
    if not args or not isinstance(args[0], Tensor):
        return False
    if name.startswith("__"):
        return name.startswith("__i") and name not in ("__invert__", "__index__", "__int__")
    return name.endswith("_") or kwargs.get("inplace") is True or args[-1] is True


def gave_back_input(args: tuple[Any, ...], result: Tensor) -> bool:
    """Whether a function gave back one of its inputs, as in-place functions do."""
    return any(result is tensor for tensor in _tensors(args))


def is_nonlinear(name: str) -> bool:
    """Whether a function counts as an activation: neither a norm, nor passing on, nor plain arithmetic."""
    return name not in NORMS and name not in PASSING and name not in LINEAR
