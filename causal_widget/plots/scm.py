"""What a causal model says: effects of units, counterfactuals, its depth curve, rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from causal_widget.errors import ArgumentError
from causal_widget.plots.curves import most_changed
from causal_widget.plots.style import COLOURS, DASHES, GREY, MARKERS, Picture, picture, quiet, shortened

__all__ = ["counterfactual_dots", "depth_curve", "effect_matrix", "rank_intervals"]

TALLEST = 40


def counterfactual_dots(
    names: Sequence[str],
    panels: Mapping[str, tuple[Float64[np.ndarray, " klass"], Float64[np.ndarray, " klass"]]],
    title: str,
    figsize: tuple[float, float] = (8, 4.2),
) -> Picture:
    """Show each class as it is (hollow) and as it would have been (filled), one panel a measure.

    With more than 25 classes, those that change most in the first panel are shown, and the title says so.

    Parameters
    ----------
    names : sequence of str
        One a class.
    panels : mapping of axis label to (before, after)
        Arrays (class,).
    title : str
        Above the figure.
    figsize : tuple of float
        In inches.
    """
    before, after = next(iter(panels.values()))
    order, title = most_changed(after - before, title)
    figure = picture(figsize)
    cells = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    rows = np.arange(len(order))
    for axes, (label, (was, would)) in zip(cells, panels.items(), strict=True):
        was, would = was[order], would[order]
        colours = np.where(would < was, COLOURS[1], COLOURS[0])
        axes.hlines(rows, was, would, color=colours, linewidth=2.2, alpha=0.6)
        axes.scatter(was, rows, s=30, facecolors="white", edgecolors="0.3", zorder=3, label="as it is")
        axes.scatter(would, rows, s=30, c=colours, zorder=4, label="as it would have been")
        axes.set_xlabel(label, fontsize=9)
        quiet(axes, grid="x")
    cells[0].set_yticks(rows, [shortened(names[int(k)]) for k in order])
    cells[0].set_ylim(len(order) - 0.4, -0.6)
    figure.legend(
        *cells[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=2, frameon=False
    )
    figure.suptitle(shortened(title, 110), fontsize=10, x=0.02, ha="left")
    return figure


def effect_matrix(
    effects: Mapping[str, Float64[np.ndarray, "unit outcome"]],
    names: Sequence[str],
    title: str,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show effects of units (along) on outcomes (down) as colours, blue below zero, layers side by side.

    Parameters
    ----------
    effects : mapping of layer name to array (unit, outcome)
        At least one layer.
    names : sequence of str
        One an outcome.
    title : str
        Above the figure.
    figsize : tuple of float, optional
        In inches.
    """
    if not effects:
        raise ArgumentError("there are no effects to plot")
    whole = np.concatenate(list(effects.values())).T
    bound = float(np.nanpercentile(np.abs(whole), 99.5)) or float(np.nanmax(np.abs(whole))) or 1.0
    figure = picture(figsize or (9.5, min(1.6 + 0.28 * len(names), 8)))
    axes = figure.add_subplot()
    drawn = axes.imshow(whole, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    figure.colorbar(drawn, ax=axes, fraction=0.03, pad=0.01, label="change of mean", extend="both")
    _layer_ticks(axes, effects)
    if len(names) <= TALLEST:
        axes.set_yticks(range(len(names)), [shortened(name) for name in names])
    axes.set_ylabel("outcome", fontsize=9)
    axes.tick_params(labelsize=7, length=0)
    axes.set_title(title, fontsize=10, loc="left")
    return figure


def _layer_ticks(axes: Axes, effects: Mapping[str, Float64[np.ndarray, "unit outcome"]]) -> None:
    """Name each layer under its units, and the units where there is one layer."""
    if len(effects) == 1:
        axes.set_xlabel(f"units of {shortened(next(iter(effects)))}", fontsize=9)
        return
    ends = np.cumsum([len(one) for one in effects.values()])
    starts = np.concatenate([[0], ends[:-1]])
    for end in ends[:-1]:
        axes.axvline(end - 0.5, color="0.2", linewidth=0.6)
    axes.set_xticks((starts + ends - 1) / 2, [shortened(name) for name in effects], rotation=60, ha="right")
    axes.set_xlabel("units, layer by layer", fontsize=9)


def depth_curve(
    depths: Sequence[int],
    labels: Sequence[str],
    agreement: Float64[np.ndarray, " depth"],
    accuracy: Float64[np.ndarray, " depth"] | None,
    network: float | None,
    n: int,
    figsize: tuple[float, float] = (7.5, 4.4),
) -> Picture:
    """Show how well equations predict the network's answers from the first k layers alone.

    Parameters
    ----------
    depths : sequence of int
        How many layers are observed.
    labels : sequence of str
        The last observed layer of each depth.
    agreement : array, shape (depth,)
        Share of images on which the equations predict the class that the network predicts.
    accuracy : array, shape (depth,), or None
        Share of images on which they predict the true class.
    network : float or None
        The network's own accuracy.
    n : int
        Number of images.
    figsize : tuple of float
        In inches.
    """
    figure = picture(figsize)
    axes = figure.add_subplot()
    lines = {"agrees with the network": agreement, "accuracy": accuracy}
    for k, (label, line) in enumerate((name, one) for name, one in lines.items() if one is not None):
        axes.plot(
            depths, 100 * line, color=COLOURS[k], linestyle=DASHES[k], marker=MARKERS[k], markersize=4.5,
            linewidth=1.7, markeredgecolor="white", markeredgewidth=0.6, label=label,
        )  # fmt: skip
    if network is not None:
        axes.axhline(
            100 * network, color=GREY, linewidth=0.9, linestyle=":", label=f"network ({network:.1%})"
        )
    step = max(1, -(-len(depths) // 24))
    axes.set_xticks(depths[::step], [shortened(name) for name in labels[::step]], rotation=60, ha="right")
    axes.set_ylim(0, 102)
    axes.set_xlabel("last layer that is observed; all after it follow by their equations", fontsize=9)
    axes.set_ylabel("share of images, %", fontsize=9)
    axes.set_title(f"The causal model against the network, {n:,} images", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, loc="best")
    quiet(axes)
    return figure


def rank_intervals(
    labels: Sequence[str],
    rank: Float64[np.ndarray, " unit"],
    low: Float64[np.ndarray, " unit"],
    high: Float64[np.ndarray, " unit"],
    title: str,
    figsize: tuple[float, float] | None = None,
    label: str = "rank in its layer (1: matters most)",
) -> Picture:
    """Show the rank of each unit with its interval, the most important at the top.

    Parameters
    ----------
    labels : sequence of str
        One a unit, in the order in which they are drawn.
    rank, low, high : array, shape (unit,)
        1 is the most important.
    title : str
        Above the figure.
    figsize : tuple of float, optional
        In inches; otherwise as tall as the units need.
    label : str
        Of the axis.
    """
    figure = picture(figsize or (6.5, 1.3 + 0.19 * len(labels)))
    axes = figure.add_subplot()
    rows = np.arange(len(labels))
    axes.hlines(rows, low, high, color=COLOURS[0], linewidth=2.4, alpha=0.45)
    axes.scatter(rank, rows, s=18, color=COLOURS[0], zorder=3)
    axes.set_yticks(rows, [shortened(one) for one in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    known = ", with interval" if np.isfinite(low).any() else ""
    axes.set_xlabel(f"{label}{known}", fontsize=9)
    axes.set_title(shortened(title, 90), fontsize=10, loc="left")
    quiet(axes, grid="x")
    return figure
