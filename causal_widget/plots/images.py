"""Images, maps over them, and the weights of filters."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from jaxtyping import Float

from causal_widget.errors import ArgumentError
from causal_widget.plots.style import Picture, known_cmap, picture

__all__ = ["filter_weights", "heatmap_overlay"]

MAX_ROWS, MAX_CHANNELS = 64, 32


def heatmap_overlay(
    image: Float[np.ndarray, "height width rgb"],
    heat: Float[np.ndarray, "height width"],
    *,
    alpha: float = 0.5,
    cmap: str = "viridis",
    figsize: tuple[float, float] = (15, 5),
    signed: bool = False,
    titles: tuple[str, str, str] = ("image", "map", "map over the image"),
) -> Picture:
    """Show an image, a map of the same size with its scale, and the map over the image.

    Parameters
    ----------
    image : array, shape (height, width, 3)
        In 0..1.
    heat : array, shape (height, width)
        In its own unit; the scale says it.
    alpha : float
        Opacity of the map over the image, 0..1.
    cmap : str
        A colour map's name.
    figsize : tuple of float
        In inches.
    signed : bool
        Centre the colours on zero.
    titles : tuple of str
        One a panel.

    Raises
    ------
    ArgumentError
        If alpha is outside 0..1.
    UnknownNameError
        If the colour map does not exist.
    """
    if not isinstance(alpha, Real) or not 0 <= alpha <= 1:
        raise ArgumentError(f"alpha must be in 0..1, got {alpha!r}")
    low, high = float(heat.min()), float(heat.max())
    if signed:
        high = max(abs(low), abs(high))
        low = -high
    style = {"cmap": known_cmap(cmap), "vmin": low, "vmax": high if high > low else low + 1}
    figure = picture(figsize)
    left, middle, right = figure.subplots(1, 3)
    left.imshow(image)
    drawn = middle.imshow(heat, **style)
    figure.colorbar(drawn, ax=middle, fraction=0.046, pad=0.02)
    right.imshow(image)
    right.imshow(heat, alpha=alpha, **style)
    for axes, title in zip((left, middle, right), titles, strict=True):
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    return figure


def filter_weights(
    weights: Float[np.ndarray, "filter channel height width"],
    n_filters: int,
    figsize: tuple[float, float] | None = None,
    title: str = "Filters of the first layer",
) -> Picture:
    """Show filters' weights: as colour pictures for three input channels, otherwise a square a channel.

    Grey and many-channel filters are signed: blue below zero, red above, one scale for all. Colour pictures
    are scaled filter by filter, zero at middle grey.

    Parameters
    ----------
    weights : array, shape (filter, channel, height, width)
        Of the first layer.
    n_filters : int
        How many to show, from the first; more than there are shows all.
    figsize : tuple of float, optional
        In inches.
    title : str
        Above the figure.

    Raises
    ------
    ArgumentError
        If `n_filters` is less than 1.
    """
    if not isinstance(n_filters, int | np.integer) or n_filters < 1:
        raise ArgumentError(f"n_filters must be a whole number from 1, got {n_filters!r}")
    shown = weights[:n_filters]
    if shown.shape[1] in (1, 3):
        return _grid(shown, figsize, title)
    if shown.shape[1] > MAX_CHANNELS:
        title = f"{title}; the first {MAX_CHANNELS} of {shown.shape[1]} input channels"
    return _rows(shown[:MAX_ROWS, :MAX_CHANNELS], figsize, title)


def _grid(
    weights: Float[np.ndarray, "filter channel h w"], size: tuple[float, float] | None, title: str
) -> Picture:
    """Draw one square a filter, numbered, on one canvas: hundreds of axes would be slow."""
    filters, channels, height, width = weights.shape
    columns = math.ceil(math.sqrt(filters * 1.6))
    rows = math.ceil(filters / columns)
    gap = max(1, round(0.3 * height))
    canvas = np.full((rows * (height + gap), columns * (width + gap) - gap, channels), np.nan)
    figure = picture(size or (0.9 * columns + 1.0, 1.0 * rows + 0.6))
    axes = figure.add_subplot()
    for number, own in enumerate(weights):
        top, left = number // columns * (height + gap) + gap, number % columns * (width + gap)
        canvas[top : top + height, left : left + width] = _coloured(own)
        axes.text(left + (width - 1) / 2, top - 0.6, str(number), fontsize=7, ha="center", va="bottom")
    if channels == 3:
        axes.imshow(np.nan_to_num(canvas, nan=1.0), interpolation="nearest")
    else:
        bound = float(np.abs(weights).max()) or 1.0
        drawn = axes.imshow(canvas[..., 0], cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
        figure.colorbar(drawn, ax=axes, fraction=0.03, pad=0.02, label="weight")
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    return figure


def _coloured(weights: Float[np.ndarray, "channel h w"]) -> Float[np.ndarray, "h w channel"]:
    """Put the channels last; of three, scale each filter to 0..1 with zero at the middle."""
    last = weights.transpose(1, 2, 0)
    if len(weights) != 3:
        return last
    return np.asarray(0.5 + 0.5 * last / (float(np.abs(weights).max()) or 1.0))


def _rows(
    weights: Float[np.ndarray, "filter channel h w"], size: tuple[float, float] | None, title: str
) -> Picture:
    """Draw one row a filter and one square a channel."""
    filters, channels, height, width = weights.shape
    bound = float(np.abs(weights).max()) or 1.0
    canvas = np.full((filters * (height + 1) - 1, channels * (width + 1) - 1), np.nan)
    for f in range(filters):
        for c in range(channels):
            top, left = f * (height + 1), c * (width + 1)
            canvas[top : top + height, left : left + width] = weights[f, c]
    scale = 0.42
    figure = picture(size or (min(scale * channels, 14) + 1.8, min(scale * filters, 20) + 1.1))
    axes = figure.add_subplot()
    drawn = axes.imshow(canvas, cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    axes.set_yticks(np.arange(filters) * (height + 1) + (height - 1) / 2, [str(f) for f in range(filters)])
    step = max(1, channels // 16)
    axes.set_xticks(
        np.arange(0, channels, step) * (width + 1) + (width - 1) / 2,
        [str(c) for c in range(0, channels, step)],
    )
    axes.tick_params(labelsize=7, length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("input channel", fontsize=9)
    axes.set_ylabel("filter", fontsize=9)
    figure.colorbar(drawn, ax=axes, fraction=0.03, pad=0.02, label="weight")
    axes.set_title(title, fontsize=10)
    return figure
