"""How often units appear in a graph that is found again and again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from causal_widget.errors import ArgumentError
from causal_widget.plots.style import COLOURS, DASHES, MARKERS, Picture, picture, quiet, shortened

__all__ = ["appearance"]

_BINS = np.array([0, 20, 40, 60, 80, 98, 100.0])
_MANY = 7


def appearance(
    panels: Mapping[str, Mapping[str, Float64[np.ndarray, " unit"]]],
    title: str,
    always: float = 0.98,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show how appearance rates are spread: a panel a range of b, a line a layer or network.

    Heights are shares of the units that appear at least once, on a logarithmic axis that ends at zero.

    Parameters
    ----------
    panels : mapping of title to mapping of name to array (unit,)
        Shares of runs in which each unit appears, in 0..1.
    title : str
        Above the figure.
    always : float
        The last bin begins here.
    figsize : tuple of float, optional
        In inches.

    Raises
    ------
    ArgumentError
        If there is no panel.
    """
    if not panels:
        raise ArgumentError("there are no appearance rates to plot")
    columns = min(len(panels), 5)
    rows = -(-len(panels) // columns)
    figure = picture(figsize or (2.5 * columns + 0.6, 2.5 * rows + 0.9))
    cells = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    edges = _BINS / 100
    edges[-2] = always
    for axes, (name, lines) in zip(cells.flat, panels.items(), strict=False):
        _panel(axes, lines, edges)
        axes.set_title(shortened(name, 40), fontsize=9)
    for axes in cells.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in cells[-1]:
        axes.set_xlabel("appears in so many runs, %", fontsize=8)
    for axes in cells[:, 0]:
        axes.set_ylabel("share of units, %", fontsize=8)
    handles, labels = cells[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=7, frameon=False)
    figure.suptitle(shortened(title, 110), fontsize=10, x=0.02, ha="left")
    return figure


def _panel(
    axes: Axes, lines: Mapping[str, Float64[np.ndarray, " unit"]], edges: Float64[np.ndarray, " edge"]
) -> None:
    places = np.arange(len(edges) - 1)
    for k, (name, rates) in enumerate(list(lines.items())[:_MANY]):
        appear = rates[rates > 0]
        if not len(appear):
            axes.plot([], [], label=shortened(name, 18), color=COLOURS[k], marker=MARKERS[k])
            continue
        counts = np.histogram(appear, [*edges[:-1], 1 + 1e-9])[0]
        shift = 0.09 * (k - (min(len(lines), _MANY) - 1) / 2)
        axes.plot(
            places + shift, 100 * counts / len(appear), color=COLOURS[k], linestyle=DASHES[k],
            marker=MARKERS[k], markersize=5, linewidth=1.2, markeredgecolor="white", markeredgewidth=0.5,
            label=shortened(name, 18),
        )  # fmt: skip
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(-0.15, 130)
    axes.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    axes.minorticks_off()
    percent = [f"{100 * low:.0f}\u2013{100 * high:.0f}" for low, high in pairwise(edges)]
    axes.set_xticks(places, percent, rotation=45, ha="right")
    quiet(axes)
    axes.tick_params(labelsize=7)
