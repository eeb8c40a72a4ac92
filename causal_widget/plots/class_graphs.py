"""Graphs of classes: units in a column a layer, their paths to the class, and heat maps of their effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from causal_widget.errors import ArgumentError
from causal_widget.plots.style import COLOURS, GREY, Picture, picture, shortened

__all__ = ["ate_heatmap", "class_graph"]

Node = tuple[str, int]

_SHOWN = {"critical": (COLOURS[0], "o"), "detrimental": (COLOURS[1], "v")}
_MOST_LINES = 20_000


def class_graph(
    columns: Mapping[str, NDArray[np.str_]],
    effects: Mapping[str, Float64[np.ndarray, " unit"]],
    edges: Sequence[tuple[Node, Node]],
    title: str,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Draw a graph of a class.

    Parameters
    ----------
    columns : mapping of layer name to array of str (unit,)
        The units' verdicts; layers in forward order, drawn from left to right.
    effects : mapping of layer name to array (unit,)
        The larger, the larger the mark.
    edges : sequence of (parent, child)
        Pairs of (layer, unit); a layer that is no column is the class itself.
    title : str
    figsize : tuple of float, optional
        In inches.
    """
    names = list(columns)
    figure = picture(figsize or (min(1.6 + 0.9 * len(names), 16.0), 5.2))
    axes = figure.add_subplot()
    places = {
        (name, unit): (x, _height(unit, len(verdicts)))
        for x, (name, verdicts) in enumerate(columns.items())
        for unit in range(len(verdicts))
    }
    for _, child in edges:
        places.setdefault(child, (len(names), 0.5))
    _lines(axes, [(places[a], places[b], columns[a[0]][a[1]]) for a, b in edges])
    for x, (name, verdicts) in enumerate(columns.items()):
        _column(axes, x, verdicts, effects[name])
    axes.plot(len(names), 0.5, marker="D", color="black", markersize=9, linestyle="")
    axes.set_xticks(
        range(len(names) + 1), [*(shortened(n, 18) for n in names), "class"], rotation=45, ha="right"
    )
    axes.set_yticks([])
    axes.set_xlim(-0.5, len(names) + 0.5)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(labelsize=8, length=0)
    figure.legend(handles=_legend(), fontsize=8, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _legend() -> list[Line2D]:
    """Name the marks, whether or not the graph has them all."""
    shown = {**_SHOWN, "others": ("0.7", "."), "the class": ("black", "D")}
    return [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
        for name, (colour, marker) in shown.items()
    ]


def _height(unit: int, units: int) -> float:
    return 1 - (unit + 0.5) / units


def _column(axes: Axes, x: int, verdicts: NDArray[np.str_], effects: Float64[np.ndarray, " unit"]) -> None:
    heights = np.array([_height(unit, len(verdicts)) for unit in range(len(verdicts))])
    rest = ~np.isin(verdicts, list(_SHOWN))
    axes.plot(np.full(rest.sum(), x), heights[rest], ".", color="0.8", markersize=3, zorder=2,
              )  # fmt: skip
    size = np.abs(np.nan_to_num(effects))
    size = 14 + 70 * size / max(float(size.max(initial=0.0)), 1e-300)
    for verdict, (colour, marker) in _SHOWN.items():
        own = verdicts == verdict
        axes.scatter(np.full(own.sum(), x), heights[own], s=size[own], color=colour, marker=marker, zorder=3,
                     edgecolors="white", linewidths=0.4, )  # fmt: skip


def _lines(axes: Axes, lines: Sequence[tuple[tuple[float, float], tuple[float, float], str]]) -> None:
    """Draw the paths, at most so many: beyond, the picture is a solid block."""
    step = 1 + len(lines) // _MOST_LINES
    shown = lines[::step]
    width = float(np.clip(300 / max(len(shown), 1), 0.3, 1.2))
    for verdict, (colour, _) in _SHOWN.items():
        own = [(a, b) for a, b, kind in shown if kind == verdict]
        alpha = float(np.clip(200 / max(len(own), 1), 0.08, 0.6))
        axes.add_collection(LineCollection(own, colors=colour, linewidths=width, alpha=alpha, zorder=1))


def ate_heatmap(
    effects: Mapping[str, Float64[np.ndarray, " unit"]],
    title: str,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Draw the average treatment effects of all units, a column a layer.

    Parameters
    ----------
    effects : mapping of layer name to array (unit,)
        Mean effect of each unit as a share of the class's output; NaN is not asked.
    title : str
    figsize : tuple of float, optional
        In inches.

    Raises
    ------
    ArgumentError
        If there is no layer.
    """
    if not effects:
        raise ArgumentError("there is no layer to draw the effects of")
    names, tallest = list(effects), max(len(one) for one in effects.values())
    figure = picture(figsize or (min(2.0 + 0.7 * len(names), 16.0), 5.2))
    axes = figure.add_subplot()
    cells = np.full((tallest, len(names)), np.nan)
    for k, one in enumerate(effects.values()):
        # Every layer is as tall as the tallest: a unit of a small layer takes several rows.
        rows = (np.arange(tallest) * len(one)) // tallest
        cells[:, k] = one[rows]
    finite = np.abs(cells[np.isfinite(cells)])
    most = float(np.quantile(finite, 0.99)) if finite.size else 1.0
    axes.set_facecolor("0.9")
    image = axes.imshow(
        cells, aspect="auto", cmap="RdBu", vmin=-(most or 1.0), vmax=most or 1.0, interpolation="nearest"
    )
    shown = [f"{shortened(name, 18)}\n{len(effects[name]):,} units" for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=45, ha="right")
    axes.set_yticks([])
    axes.set_ylabel("units, first at the top", fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8, length=0)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
    bar.set_label("effect of taking the paths away,\nas a share of the output", fontsize=8, color=GREY)
    bar.ax.tick_params(labelsize=8)
    return figure
