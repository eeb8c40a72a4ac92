"""Run a model once and see, for every tensor in it, which units each element came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from causal_widget.errors import UnsupportedModelError
from causal_widget.graph.rules import RULES, is_pointwise, pointwise, tensors_in
from causal_widget.graph.shadow import ShadowMemory
from causal_widget.graph.sources import Sources


class Flow(TorchDispatchMode):
    """Carry labels through every operation outside the layers.

    Attributes
    ----------
    sources : Sources
        What the labels mean.
    shadow : ShadowMemory
        Where they are.
    paused : bool
        Set while a layer computes: what it mixes is its own wiring, not the flow's.
    after : str
        The layer that ran last, for messages.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.sources = Sources()
        self.shadow = ShadowMemory()
        self.paused = False
        self.after = "the input"

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self.paused and any(self.shadow.knows(t) for t in tensors_in((args, kwargs))):
            for tensor, labels in self._label(func, args, kwargs, result):
                self.shadow.write(tensor, labels)
        return result

    def _label(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> list[tuple[Tensor, Tensor]]:
        targets = self._fresh(func, args, result)
        if not targets:
            return []
        first = targets[0]
        labels = self._rule(func)(func, args, kwargs, first, self.shadow.read, self.sources)
        written = [(first, labels)]
        for other in targets[1:]:
            same = other.shape == first.shape
            written.append((other, labels if same else self._everything(labels)))
        return written

    def _everything(self, labels: Tensor) -> Tensor:
        return labels.new_tensor(self.sources.union_all(labels))

    def _fresh(self, func: Any, args: tuple[Any, ...], result: Any) -> list[Tensor]:
        """Tensors that the operation wrote: its results, less those that are views of what is known."""
        if torch.Tag.inplace_view in func.tags:
            return []
        if func._schema.is_mutable:
            arguments = func._schema.arguments
            written = [
                a for s, a in zip(arguments, args, strict=False) if s.alias_info and s.alias_info.is_write
            ]
            return tensors_in(written)
        return [t for t in tensors_in(result) if t.numel() and not self.shadow.knows(t)]

    def _rule(self, func: Any) -> Any:
        name = func._schema.name.split("::")[-1]
        name = name.rstrip("_") if func._schema.is_mutable else name
        if name in RULES:
            return RULES[name]
        if is_pointwise(func, name):
            return pointwise
        raise UnsupportedModelError(
            f'the operation "{func._schema.name}" (after layer "{self.after}") is not one whose parents '
            "can be read; attention and other operations that multiply activations with each other in one "
            "call are not supported"
        )
