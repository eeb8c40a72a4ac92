"""Shadow copies of a batch: beside the images run copies in which a unit is scaled on the way to its readers.

What a few children of a unit are to see, and nobody else, is computed beside what all see: the batch is
repeated, and in each copy some units are scaled where they come out. Every layer's own output is made the
same in all copies, so that they differ only between those units and the layers that read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from causal_widget.errors import DataError, UnsupportedModelError
from causal_widget.graph import FilterGraph
from causal_widget.interventions.path_plan import Shadow

Handler = tuple[str, str, Callable[[Tensor], Tensor | None]]


class Copies:
    """The images of the present run, their numbers, and the copies beside them.

    Parameters
    ----------
    shadows : sequence of Shadow
        One copy for each.
    first : int
        Number of the first image of the first run; every run goes on counting.
    numbers : int64 Tensor, shape (image,), optional
        Numbers of the images of every run instead.
    """

    def __init__(self, shadows: Sequence[Shadow], first: int = 0, numbers: Tensor | None = None) -> None:
        self._shadows = tuple(shadows)
        self._next, self._numbers = first, numbers
        self.index = torch.arange(0)

    @property
    def n(self) -> int:
        """Copies in all, the images themselves among them."""
        return 1 + len(self._shadows)

    def begin(self, images: Tensor) -> Tensor:
        """Give the batch to run in place of the images.

        Raises
        ------
        DataError
            If there are not as many images as numbers for them.
        """
        if self._numbers is not None and len(self._numbers) != len(images):
            raise DataError(f"{len(images)} images, and numbers for {len(self._numbers)}")
        counted = torch.arange(self._next, self._next + len(images))
        self.index = counted if self._numbers is None else self._numbers
        self._next += len(images)
        return images if self.n == 1 else images.repeat(self.n, *[1] * (images.ndim - 1))

    def end(self, output: Tensor) -> Tensor:
        """Give the output for the images themselves."""
        kept = output if self.n == 1 else output[: len(self.index)]
        self.index = self.index[:0]
        return kept

    def apart(self, name: str, tensor: Tensor) -> Sequence[Tensor]:
        """Cut a tensor into the images' part and the copies' parts.

        Raises
        ------
        UnsupportedModelError
            If there are not as many rows as images: images cannot be told apart there.
        """
        if len(tensor) != self.n * len(self.index):
            raise UnsupportedModelError(
                f'at layer "{name}" {self.n} x {len(self.index)} images have {len(tensor)} rows: images '
                "cannot be told apart there. Give several edits at once, do not nest, and run the whole model"
            )
        # Slices, not chunks: gradients allow one of several chunks no writing.
        size = len(self.index)
        return [tensor[k * size : (k + 1) * size] for k in range(self.n)]

    def of(self, name: str, tensor: Tensor, shadow: Shadow) -> Tensor:
        """Give one shadow's part; without units scaled, the images' own."""
        return self.apart(name, tensor)[1 + self._shadows.index(shadow) if shadow else 0]

    def handlers(self, graph: FilterGraph) -> list[Handler]:
        """Give to `watch` what makes the copies differ nowhere but between scaled units and their readers."""
        if self.n == 1:
            return []
        same = [
            (layer.name, "conv", self._same(layer.name)) for layer in graph.layers if layer.kind != "output"
        ]
        places: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
        for k, shadow in enumerate(self._shadows, 1):
            for layer, unit, site, beta in shadow:
                places.setdefault((layer, site), []).append((k, unit, beta))
        scaled = [(layer, site, self._scaled(graph, layer, units)) for (layer, site), units in places.items()]
        return [*same, *scaled]

    def _same(self, layer: str) -> Callable[[Tensor], Tensor]:
        def same(maps: Tensor) -> Tensor:
            own = self.apart(layer, maps)[0]
            return own.repeat(self.n, *[1] * (own.ndim - 1))

        return same

    def _scaled(
        self, graph: FilterGraph, layer: str, units: Sequence[tuple[int, int, float]]
    ) -> Callable[[Tensor], Tensor]:
        """Scale units at one place, each of which is (copy, unit, beta)."""
        axis = graph.layer(layer).unit_axis

        def scaled(maps: Tensor) -> Tensor:
            maps = maps.clone()
            parts = self.apart(layer, maps)
            for copy, unit, beta in units:
                parts[copy].select(axis, unit).mul_(beta)
            return maps

        return scaled

    @contextmanager
    def around(self, model: nn.Module) -> Iterator[None]:
        """Run the batch with its copies whenever the model runs, and give the output for the images alone."""

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
            for k, value in enumerate(args):
                if isinstance(value, Tensor):
                    return (*args[:k], self.begin(value), *args[k + 1 :]), kwargs
            for name, value in kwargs.items():
                if isinstance(value, Tensor):
                    return args, {**kwargs, name: self.begin(value)}
            raise DataError("the model was called without a tensor of images")

        handles: list[RemovableHandle] = [
            model.register_forward_pre_hook(enter, with_kwargs=True),
            model.register_forward_hook(lambda _, __, output: self.end(output)),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
