"""Attribution maps over images, and how methods score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from causal_widget.plots.style import COLOURS, DASHES, GREY, Picture, picture, quiet, shortened

__all__ = ["map_gallery", "removal_curves", "score_intervals", "unit_maps"]

SIGNED = "RdBu_r"
Image = Float[np.ndarray, "height width *rgb"]
Panel = tuple[Float64[np.ndarray, "height width"], Float64[np.ndarray, "peak 2"]]


def unit_maps(
    image: Image | None,
    panels: Mapping[str, Panel],
    title: str,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show signed maps, each with its peaks; one colour scale for all but the first, which has its own.

    Parameters
    ----------
    image : array, shape (height, width) or (height, width, 3), optional
        In 0..1; shown first, and in grey under every map.
    panels : mapping of title to (map, peaks)
        Peaks are rows of (row, column) in pixels, marked by circles.
    title : str
        Above the figure.
    figsize : tuple of float, optional
        In inches.
    """
    cells = len(panels) + (image is not None)
    columns = min(5, cells)
    rows = math.ceil(cells / columns)
    figure = picture(figsize or (2.0 * columns + 0.9, 2.2 * rows + 0.5))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    start = 0
    if image is not None:
        grid[0].imshow(image, cmap="gray", vmin=0, vmax=1)
        grid[0].set_title("image", fontsize=9)
        start = 1
    names = list(panels)
    top = _span([panels[name][0] for name in names[1:]] or [panels[names[0]][0]])
    for axes, name in zip(grid[start:], names, strict=False):
        heat, peaks = panels[name]
        own = _span([heat]) if name == names[0] else top
        _overlaid(axes, image, heat, own)
        axes.plot(
            peaks[:, 1], peaks[:, 0], linestyle="", marker="o", markersize=8, markerfacecolor="none",
            markeredgecolor="black", markeredgewidth=1.4,
        )  # fmt: skip
        axes.set_title(shortened(name), fontsize=9)
    scale = ScalarMappable(Normalize(-top, top), SIGNED)
    bar = figure.colorbar(scale, ax=list(grid), fraction=0.025, pad=0.02)
    bar.set_label("response of a unit (signed)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(shortened(title, 110), fontsize=10, x=0.02, ha="left")
    return figure


def map_gallery(
    images: Sequence[Image],
    maps: Mapping[str, Float64[np.ndarray, "image height width"]],
    labels: Sequence[str],
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show the maps of every method for some images: a row an image, a column a method.

    Each map has its own scale, centred on zero: red speaks for the class, blue against it.

    Parameters
    ----------
    images : sequence of arrays (height, width) or (height, width, 3)
        In 0..1.
    maps : mapping of method to array (image, height, width)
    labels : sequence of str
        One an image.
    figsize : tuple of float, optional
        In inches.
    """
    columns = 1 + len(maps)
    figure = picture(figsize or (1.15 * columns, 1.3 * len(images) + 0.4))
    grid = figure.subplots(len(images), columns, squeeze=False)
    for row, image in enumerate(images):
        grid[row, 0].imshow(image, cmap="gray", vmin=0, vmax=1)
        grid[row, 0].set_ylabel(shortened(labels[row], 16), fontsize=8)
        for axes, heat in zip(grid[row, 1:], (m[row] for m in maps.values()), strict=True):
            span = _span([heat])
            axes.imshow(heat, cmap=SIGNED, vmin=-span, vmax=span)
    for axes in grid.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for axes, name in zip(grid[0], ["image", *maps], strict=True):
        axes.set_title(shortened(name, 20), fontsize=7, rotation=28, ha="left", loc="left")
    return figure


def score_intervals(
    panels: Mapping[str, Mapping[str, tuple[float, float, float]]],
    emphasised: Sequence[str] = (),
    controls: Sequence[str] = (),
    log: Sequence[str] = (),
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show means with their intervals, a row a method, a panel a measure.

    Parameters
    ----------
    panels : mapping of axis label to mapping of method to (mean, low, high)
        Methods are drawn in the order of the first panel, best first being the caller's choice.
    emphasised, controls : sequence of str
        Methods drawn in another colour: those in question, and those that no method should lose to.
    log : sequence of str
        Labels of panels with a logarithmic axis.
    figsize : tuple of float, optional
        In inches.
    """
    methods = list(next(iter(panels.values())))
    figure = picture(figsize or (4.2 * len(panels) + 1.4, 0.9 + 0.3 * len(methods)))
    cells = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    rows = np.arange(len(methods))
    for axes, (label, scores) in zip(cells, panels.items(), strict=True):
        for row, method in enumerate(methods):
            mean, low, high = scores[method]
            colour = COLOURS[1] if method in emphasised else GREY if method in controls else COLOURS[0]
            axes.plot([low, high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot(
                mean, row, color=colour, marker="D" if method in controls else "o", markersize=6,
                markeredgecolor="white", markeredgewidth=0.6,
            )  # fmt: skip
        if label in log:
            axes.set_xscale("symlog", linthresh=_least(scores))
        axes.set_xlabel(label, fontsize=9)
        quiet(axes, grid="x")
    cells[0].set_yticks(rows, [shortened(method, 30) for method in methods])
    cells[0].set_ylim(len(methods) - 0.4, -0.6)
    return figure


def removal_curves(
    lines: Mapping[str, tuple[Float64[np.ndarray, " share"], Float64[np.ndarray, " share"]]],
    emphasised: Sequence[str],
    controls: Sequence[str],
    n: int,
    figsize: tuple[float, float] = (6.4, 4.4),
) -> Picture:
    """Show what is left of a class's probability over the share of superpixels removed, a line a method.

    Parameters
    ----------
    lines : mapping of method to (share removed, probability left over that of the whole image)
        All in 0..1, in the order of the legend.
    emphasised, controls : sequence of str
        Methods drawn bold, and grey.
    n : int
        Number of images.
    figsize : tuple of float
        In inches.
    """
    figure = picture(figsize)
    axes = figure.add_subplot()
    colour = 0
    for k, (name, (share, left)) in enumerate(lines.items()):
        bold, control = name in emphasised, name in controls
        axes.plot(
            100 * share, left, color=GREY if control else COLOURS[colour % len(COLOURS)],
            linewidth=2.8 if bold else 1.4, label=shortened(name, 30),
            linestyle=DASHES[(k + k // len(DASHES)) % len(DASHES)],
        )  # fmt: skip
        colour += not control
    axes.set_xlabel("superpixels removed, most important first, %", fontsize=9)
    axes.set_ylabel("probability of the class, of the whole image's", fontsize=9)
    axes.set_title(f"Mean over {n:,} images", fontsize=10, loc="left")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 1.02)
    figure.legend(fontsize=8, loc="outside right center", frameon=False)
    quiet(axes)
    return figure


def _overlaid(
    axes: Axes, image: Image | None, heat: Float64[np.ndarray, "height width"], span: float
) -> None:
    if image is not None:
        grey = image if image.ndim == 2 else image.mean(axis=2)
        # Pale, so that a map's white, its zero, stays white over a black picture.
        axes.imshow(grey, cmap="gray", vmin=-1.5, vmax=1)
    axes.imshow(heat, cmap=SIGNED, vmin=-span, vmax=span, alpha=0.65 if image is not None else 1.0)


def _span(maps: Sequence[Float64[np.ndarray, "height width"]]) -> float:
    """Give the largest absolute value, 1 where all are zero."""
    return max(float(np.abs(heat).max()) for heat in maps) or 1.0


def _least(scores: Mapping[str, tuple[float, float, float]]) -> float:
    positive = [mean for mean, _, _ in scores.values() if mean > 0]
    return min(positive) / 2 if positive else 1.0
