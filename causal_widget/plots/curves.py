"""Accuracy over pruning, and the effect of an intervention on each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from causal_widget.plots.style import COLOURS, DASHES, GREY, MARKERS, Picture, picture, quiet, shortened

__all__ = ["effect_bars", "pruning_lines"]

MANY = 25
Line = tuple[Float64[np.ndarray, " percent"], ...]
Bars = tuple[Float64[np.ndarray, " class"], Float64[np.ndarray, " class"]]


def pruning_lines(
    percents: Sequence[float],
    lines: Mapping[str, Line],
    baseline: float,
    n: int,
    figsize: tuple[float, float] = (7, 4.2),
) -> Picture:
    """Show accuracy over the share of filters removed, one line a rule.

    Lines differ in colour, dash and marker.

    Parameters
    ----------
    percents : sequence of float
        The shares, in percent.
    lines : mapping of rule to (mean,) or (mean, low, high)
        Accuracies in 0..1 at each share; low and high are drawn as a band.
    baseline : float
        Accuracy of the whole network, 0..1.
    n : int
        Number of images.
    figsize : tuple of float
        In inches.
    """
    figure = picture(figsize)
    axes = figure.add_subplot()
    order = np.argsort(percents, kind="stable")
    x = np.asarray(percents, dtype=np.float64)[order]
    axes.axhline(100 * baseline, color=GREY, linewidth=0.9, linestyle=":", label=f"unpruned ({baseline:.1%})")
    for k, (rule, line) in enumerate(lines.items()):
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        label = shortened(rule)
        if len(line) == 3:
            low, high = 100 * line[1][order], 100 * line[2][order]
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            label += " (mean, 5\u201395 % of draws)"
        axes.plot(
            x, 100 * line[0][order], color=colour, linestyle=DASHES[k % len(DASHES)], marker=marker,
            markersize=5, linewidth=1.7, markeredgecolor="white", markeredgewidth=0.6, label=label,
        )  # fmt: skip
    axes.set_xlabel("filters removed from every convolution, %", fontsize=9)
    axes.set_ylabel("accuracy, %", fontsize=9)
    axes.set_title(f"Accuracy on {n:,} images after pruning", fontsize=10, loc="left")
    axes.set_ylim(bottom=0, top=max(100 * baseline * 1.06, 5))
    figure.legend(fontsize=8, loc="outside lower center", ncols=3, frameon=False)
    quiet(axes)
    return figure


def most_changed(
    change: Float64[np.ndarray, " klass"], title: str
) -> tuple[Int64[np.ndarray, " shown"], str]:
    """Choose the classes to show: all, or the 25 that change most, which the title then says."""
    if len(change) <= MANY:
        return np.arange(len(change)), title
    order = np.sort(np.argsort(-np.abs(np.nan_to_num(change)), kind="stable")[:MANY])
    return order, f"{title}\nthe {MANY} of {len(change)} classes that change most"


def effect_bars(
    names: Sequence[str],
    panels: Mapping[str, Bars],
    title: str,
    figsize: tuple[float, float] = (9, 4.2),
) -> Picture:
    """Show a change for each class with its interval, one panel a measure.

    With more than 25 classes, those that change most in the first panel are shown, and the title says so.

    Parameters
    ----------
    names : sequence of str
        One a class.
    panels : mapping of axis label to (change, half width of the interval)
        Arrays (class,); NaN where a class has no images.
    title : str
        Above the figure.
    figsize : tuple of float
        In inches.
    """
    order, title = most_changed(next(iter(panels.values()))[0], title)
    figure = picture(figsize)
    cells = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (label, (change, half)) in zip(cells, panels.items(), strict=True):
        change, half = change[order], half[order]
        colours = np.where(change < 0, COLOURS[1], COLOURS[0])
        rows = np.arange(len(order))
        axes.barh(rows, np.nan_to_num(change), height=0.66, color=colours, alpha=0.75)
        axes.errorbar(change, rows, xerr=half, fmt="none", ecolor="0.15", elinewidth=1.1, capsize=2.5)
        axes.axvline(0, color="0.2", linewidth=0.9)
        axes.set_xlabel(f"{label}, 95 % interval", fontsize=9)
        quiet(axes, grid="x")
    cells[0].set_yticks(np.arange(len(order)), [shortened(names[int(k)]) for k in order])
    cells[0].set_ylim(len(order) - 0.4, -0.6)
    figure.suptitle(shortened(title, 110), fontsize=10, x=0.02, ha="left")
    return figure
