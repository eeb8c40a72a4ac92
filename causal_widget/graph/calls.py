"""Which layer runs right now: the calls of a model's convolutions and linear layers, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

OUTPUT = "output"


def layer_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that own units, by path: convolutions (transposed ones too) and linear layers."""
    return {name: m for name, m in model.named_modules() if isinstance(m, _ConvNd | nn.Linear)}


def call_name(module: str, call: int) -> str:
    """Name of a layer: the module's path, with the number of the call from the second on."""
    return module if call == 0 else f"{module}#{call + 1}"


class _Calls(Counter[str]):
    """How often each layer was called in the present run of the model."""

    _running = False

    def begin(self) -> None:
        self.clear()
        self._running = True

    def end(self) -> None:
        self.clear()
        self._running = False

    def advance(self, path: str) -> int:
        """Give the number of the call that has just ended."""
        call = self[path]
        self[path] = call + self._running
        return call


@contextmanager
def on_calls(
    model: nn.Module,
    before: Callable[[str, int, Tensor], None] | None,
    after: Callable[[str, int, Tensor], Tensor | None],
    finish: Callable[[Any], Any] | None = None,
    modules: set[str] | None = None,
) -> Iterator[None]:
    """Be told of every call of a layer while the block lasts.

    Parameters
    ----------
    model : nn.Module
        The model; its hooks are removed when the block ends.
    before : callable (module path, call, input) or None
        Told before the layer computes.
    after : callable (module path, call, output)
        Told after it; what it returns, if anything, replaces the output.
    finish : callable (output of the model), optional
        Told when the whole model returns; what it returns, if anything, replaces the output.
    modules : set of str, optional
        Paths to be told of; None: every layer.

    Notes
    -----
    Calls are counted within one run of the whole model. Where a part of it is run by itself, each call of a
    layer counts as its first.
    """
    calls = _Calls()
    handles: list[RemovableHandle] = [
        model.register_forward_pre_hook(lambda *_: calls.begin()),
        model.register_forward_hook(lambda *_: calls.end(), always_call=True),
    ]

    def watch(path: str, module: nn.Module) -> None:
        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if before is not None:
                before(path, calls[path], args[0] if args else kwargs["input"])

        def leave(_: nn.Module, __: Any, output: Tensor) -> Tensor | None:
            return after(path, calls.advance(path), output)

        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave))

    try:
        for path, module in layer_modules(model).items():
            if modules is None or path in modules:
                watch(path, module)
        if finish is not None:
            handles.append(model.register_forward_hook(lambda _, __, output: finish(output)))
        yield
    finally:
        for handle in handles:
            handle.remove()
