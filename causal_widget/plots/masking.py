"""Accuracy while units of a graph are masked or its harmful paths are blocked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from causal_widget.errors import ArgumentError
from causal_widget.plots.style import COLOURS, DASHES, GREY, MARKERS, Picture, picture, quiet, shortened

__all__ = ["masking_lines", "repair_lines"]

Line = tuple[Float64[np.ndarray, " share"], ...]
_MANY = 14


def masking_lines(
    panels: Mapping[str, Mapping[str, Line]],
    whole: float,
    label: str,
    title: str,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show accuracy over the share of critical units masked, a panel a layer, a line a rule with its band.

    Parameters
    ----------
    panels : mapping of layer to mapping of rule to (share, accuracy, low, high)
        Arrays (share,), all in 0..1.
    whole : float
        Accuracy without a mask.
    label, title : str
        Of the vertical axis, and above the figure.
    figsize : tuple of float, optional
        In inches.

    Raises
    ------
    ArgumentError
        If there is no panel.
    """
    if not panels:
        raise ArgumentError("there are no masks to plot")
    columns = min(len(panels), 5)
    rows = -(-len(panels) // columns)
    figure = picture(figsize or (2.4 * columns + 0.8, 2.3 * rows + 0.8))
    cells = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (layer, lines) in zip(cells.flat, panels.items(), strict=False):
        axes.axhline(100 * whole, color=GREY, linewidth=0.9, linestyle=":")
        for k, (rule, line) in enumerate(lines.items()):
            _line(axes, k, rule, line, whole)
        axes.set_title("all layers" if layer == "all" else shortened(layer), fontsize=9)
        axes.set_ylim(-3, 106)
        quiet(axes)
    for axes in cells.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in cells[-1]:
        axes.set_xlabel("units masked, % of the critical", fontsize=8)
    for axes in cells[:, 0]:
        axes.set_ylabel(label, fontsize=8)
    handles, labels = cells[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(shortened(title, 110), fontsize=10, x=0.02, ha="left")
    return figure


def _line(axes: Axes, k: int, name: str, line: Line, start: float | None) -> None:
    """Draw a line with its band; from share 0 where its value there is known."""
    order = np.argsort(line[0], kind="stable")
    x, y, bottom, top = (np.asarray(values, np.float64)[order] for values in line)
    if start is not None and x[0] > 0:
        x, y, bottom, top = (np.insert(values, 0, first) for values, first in
                             ((x, 0.0), (y, start), (bottom, start), (top, start)))  # fmt: skip
    colour = COLOURS[k % len(COLOURS)]
    if np.isfinite(bottom).all() and np.isfinite(top).all():
        axes.fill_between(100 * x, 100 * bottom, 100 * top, color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        100 * x, 100 * y, color=colour, linestyle=DASHES[k % len(DASHES)], marker=MARKERS[k % len(MARKERS)],
        markersize=4.5, linewidth=1.5, markeredgecolor="white", markeredgewidth=0.5, label=shortened(name),
    )  # fmt: skip


def repair_lines(
    own: Mapping[str, Line],
    others: Mapping[str, Line],
    title: str,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show how accuracy changes over the share of harmful paths that is blocked.

    Left, each class on its own images and, in black, the mean with its band; right, what the same does to the
    images of all other classes.

    Parameters
    ----------
    own, others : mapping of class to (share, change, low, high)
        Arrays (share,); changes of accuracy. The last entry is the mean over classes where there are several.
    title : str
        Above the figure.
    figsize : tuple of float, optional
        In inches.

    Raises
    ------
    ArgumentError
        If there is no class.
    """
    if not own:
        raise ArgumentError("there is no class to plot")
    figure = picture(figsize or (8.4, 4.0))
    cells = figure.subplots(1, 2, sharex=True)
    for axes, lines, where in zip(
        cells, (own, others), ("the class itself", "all other classes"), strict=True
    ):
        axes.axhline(0, color=GREY, linewidth=0.9, linestyle=":")
        single = dict(list(lines.items())[:-1] if len(lines) > 1 else lines)
        for k, (name, line) in enumerate(list(single.items())[:_MANY]):
            x, y = 100 * line[0], 100 * line[1]
            axes.plot(
                x, y, color=COLOURS[k % 6], linestyle=DASHES[(k // 6) % len(DASHES)], linewidth=1.0,
                marker=MARKERS[k % len(MARKERS)], markersize=3.5, alpha=0.8, label=shortened(name, 16),
            )  # fmt: skip
        name, line = list(lines.items())[-1]
        x, y, low, high = (100 * values for values in line)
        if np.isfinite(low).all():
            axes.fill_between(x, low, high, color="0.2", alpha=0.15, linewidth=0)
        axes.plot(x, y, color="black", linewidth=2.0, label=shortened(name, 24))
        axes.set_title(f"On images of {where}", fontsize=9)
        axes.set_xlabel("harmful paths blocked, %", fontsize=8)
        axes.set_ylabel("change of accuracy, points", fontsize=8)
        quiet(axes)
    handles, labels = cells[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="outside lower center", ncols=7, frameon=False)
    figure.suptitle(shortened(title, 110), fontsize=10, x=0.02, ha="left")
    return figure
