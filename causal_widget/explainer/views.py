"""The pictures of the explainer: figures that are returned, and shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, DataError, UnknownNameError, UnsupportedModelError
from causal_widget.explainer.neighbours import tsne
from causal_widget.graph import FilterGraph

if TYPE_CHECKING:
    from causal_widget.plots import Picture

__all__ = ["Views"]

Size = tuple[float, float]


class Shown(Protocol):
    """What the pictures are made of."""

    mean: tuple[float, ...] | None
    scm: Any
    _network: nn.Module

    @property
    def graph(self) -> FilterGraph: ...

    def importance(self, rule: str = ...) -> dict[str, Float64[np.ndarray, " unit"]]: ...

    def heatmap(
        self, images: Tensor, layer: str | int, *, rule: str = ...
    ) -> Float64[np.ndarray, "image height width"]: ...

    def denormalise(self, images: Tensor) -> Float[np.ndarray, "image height width rgb"]: ...


class Views:
    """What `CausalCNNExplainer` can show; every method returns a matplotlib figure."""

    def visualize_heatmap_on_input(
        self: Shown,
        image: Float[Tensor, "channel height width"],
        alpha: float = 0.5,
        cmap: str = "viridis",
        figsize: Size = (15, 5),
        *,
        layer: str | int | None = None,
        rule: str = "coefficient",
    ) -> Picture:
        """Show an image, the importance-weighted activation of a layer, and one over the other.

        Parameters
        ----------
        image : tensor, shape (channel, height, width) or (1, channel, height, width)
            As the network takes it. Shown with `mean` and `std` undone; without them it is stretched from its
            smallest to its largest value, and the title says so.
        alpha : float
            Opacity of the map, 0..1.
        cmap : str
            Matplotlib's name of a colour map.
        figsize : tuple of float
            In inches.
        layer : str or int, optional
            A convolution, by name or by its number in `conv_layers`; otherwise the first.
        rule : str
            Rule of the importances.
        """
        from causal_widget.plots import heatmap_overlay

        single = _single(image)
        name = _conv_name(self.graph, 0 if layer is None else layer)
        heat = self.heatmap(single, name, rule=rule)[0]
        shown = "image" if self.mean is not None else "image (stretched to its own range)"
        signed = bool(heat.min() < 0 < heat.max())
        titles = (shown, f"{name}: activation x {rule} importance", "map over the image")
        return heatmap_overlay(
            self.denormalise(single)[0],
            heat,
            alpha=alpha,
            cmap=cmap,
            figsize=figsize,
            signed=signed,
            titles=titles,
        )

    def visualize_first_layer_filters(
        self: Shown, n_filters: int = 16, figsize: Size | None = None
    ) -> Picture:
        """Show the weights of the first convolution's filters, for any number of input channels."""
        from causal_widget.plots import filter_weights

        name = _conv_name(self.graph, 0)
        weights = _conv_weights(self._network, self.graph, name)
        title = f"Filters of {name}, the first {min(n_filters, len(weights))} of {len(weights)}"
        return filter_weights(weights, n_filters, figsize, title)

    def plot_importance_distribution(
        self: Shown, figsize: Size | None = None, rule: str = "coefficient"
    ) -> Picture:
        """Show how importance is spread over the filters of each layer, one row a layer."""
        from causal_widget.plots import importance_distribution

        return importance_distribution(self.importance(rule), figsize, f"Importance by layer, rule {rule}")

    def visualize_filter_tsne(
        self: Shown,
        layer_idx: int | str = 0,
        figsize: Size = (8, 6),
        *,
        seed: int = 0,
        rule: str = "coefficient",
    ) -> Picture:
        """Show a convolution's filters by likeness of weights, coloured by importance once learned.

        Raises
        ------
        ArgumentError
            If the layer has fewer than 3 filters.
        UnknownNameError
            If there is no such convolution.
        """
        from causal_widget.plots import filter_embedding

        name = _conv_name(self.graph, layer_idx)
        weights = _conv_weights(self._network, self.graph, name)
        colours = self.importance(rule).get(name) if self.scm is not None else None
        title = f"{len(weights)} filters of {name} by likeness of their weights (t-SNE, seed {seed})"
        return filter_embedding(tsne(weights, seed), colours, figsize, title)


def _conv_name(graph: FilterGraph, layer: str | int) -> str:
    names = [one.name for one in graph.conv_layers]
    if isinstance(layer, str):
        if graph.layer(layer).name not in names:
            raise ArgumentError(f'layer "{layer}" is no convolution')
        return layer
    if isinstance(layer, bool) or not isinstance(layer, int | np.integer) or not 0 <= layer < len(names):
        raise UnknownNameError(
            f"convolution {layer!r} does not exist; they are numbered 0 to {len(names) - 1}"
        )
    return names[layer]


def _conv_weights(
    network: nn.Module, graph: FilterGraph, name: str
) -> Float64[np.ndarray, "filter channel h w"]:
    weight = network.get_submodule(graph.layer(name).module).weight
    if not isinstance(weight, Tensor):
        raise UnsupportedModelError(f'the weight of "{name}" is no tensor')
    return np.asarray(weight.detach().cpu().double().numpy())


def _single(image: Tensor) -> Float[Tensor, "1 channel height width"]:
    if not isinstance(image, Tensor) or image.ndim not in (3, 4) or (image.ndim == 4 and len(image) != 1):
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise DataError(f"image must be one image as a tensor (channel, height, width), got {got}")
    return image[None] if image.ndim == 3 else image
