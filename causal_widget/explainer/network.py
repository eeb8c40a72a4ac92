"""A network as the explainer knows it: its device, its graph, its layers, its classes, its normalisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.devices import resolve_device
from causal_widget.errors import ArgumentError
from causal_widget.explainer.example import check_model, guess_example
from causal_widget.explainer.pixels import Statistics, check_statistics, denormalise
from causal_widget.explainer.tables import Dag, conv_layers, dag_of
from causal_widget.graph import FilterGraph, trace

__all__ = ["Network"]


class Network:
    """The part of `CausalCNNExplainer` that needs no images.

    Parameters
    ----------
    model, device, example, mean, std, class_names
        As for `CausalCNNExplainer`.
    """

    def __init__(
        self,
        model: nn.Module,
        device: str | torch.device | None,
        example: Float[Tensor, "image channel height width"] | None,
        mean: Statistics,
        std: Statistics,
        class_names: Sequence[str] | None,
    ) -> None:
        self._network = check_model(model)
        self.model = model
        self.device = resolve_device(device, self._network)
        self.mean, self.std = check_statistics(mean, std)
        self._names = _names(class_names)
        self._graph = None if example is None else trace(self._network, example)

    @property
    def graph(self) -> FilterGraph:
        """The graph of the network, read on an image of guessed size where none was seen yet."""
        if self._graph is None:
            self._graph = trace(self._network, guess_example(self._network))
        return self._graph

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class."""
        classes = self.graph.output.units
        names = tuple(map(str, range(classes))) if self._names is None else self._names
        if len(names) != classes:
            raise ArgumentError(
                f"there are {len(names)} class names for the {classes} classes of the network"
            )
        return names

    @property
    def conv_layers(self) -> list[tuple[str, nn.Module]]:
        """The convolutions as (name, module), in forward order."""
        return conv_layers(self._network, self.graph)

    @property
    def dag(self) -> Dag:
        """By the number of each convolution: ``name``, ``layer``, ``filters``, ``parents``, ``children``."""
        return dag_of(self._network, self.graph)

    def denormalise(
        self, images: Float[Tensor, "image channel height width"]
    ) -> Float[np.ndarray, "image height width rgb"]:
        """Turn images as the network takes them into pictures in 0..1 with three colours."""
        return denormalise(images, self.mean, self.std)


def _names(class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    if class_names is None:
        return None
    if not isinstance(class_names, Iterable):
        raise ArgumentError(f"class_names must be a list of names, one a class, got {class_names!r:.80}")
    return tuple(map(str, class_names))
