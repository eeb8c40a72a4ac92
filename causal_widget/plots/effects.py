"""Edits in the order of their effects, with intervals and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from causal_widget.errors import ArgumentError
from causal_widget.plots.style import COLOURS, DASHES, GREY, MARKERS, Picture, picture, quiet, shortened

__all__ = ["VERDICT_STYLES", "effect_ranking", "strength_lines"]

# Marker, colour and whether it is filled: each verdict can be told by its shape alone.
VERDICT_STYLES = {
    "critical": ("^", COLOURS[1], True),
    "detrimental": ("v", COLOURS[0], True),
    "neutral": ("o", GREY, True),
    "undecided": ("D", GREY, False),
}


def effect_ranking(
    names: Sequence[str],
    *,
    effect: Float64[np.ndarray, " edit"],
    low: Float64[np.ndarray, " edit"],
    high: Float64[np.ndarray, " edit"],
    verdict: NDArray[np.object_],
    every: Float64[np.ndarray, " all"],
    every_verdict: NDArray[np.object_],
    least: float,
    label: str,
    title: str,
    level: float = 0.95,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show the first edits of a ranking with their intervals, and all of them by rank.

    Verdicts differ in shape, fill and colour. The shaded band is plus or minus the least effect that matters.

    Parameters
    ----------
    names : sequence of str
        One an edit, in the order of the ranking.
    effect, low, high, verdict : array, shape (edit,)
        Mean effects, their intervals (infinite ends are cut at the figure's edge) and verdicts.
    every, every_verdict : array, shape (all,)
        Effects and verdicts of all edits, in the order of the ranking.
    least : float
        Least effect that matters.
    label, title : str
        Of the effects' axis, and above the figure.
    level : float
        Of the intervals.
    figsize : tuple of float, optional
        In inches; otherwise as tall as the edits need.

    Raises
    ------
    ArgumentError
        If there is no edit.
    """
    if not len(names):
        raise ArgumentError("there are no edits to plot")
    figure = picture(figsize or (9.0, 1.9 + 0.2 * max(len(names), 8)))
    main, whole = figure.subplots(1, 2, width_ratios=(2.2, 1))
    _first(main, names, effect, (low, high), verdict, least)
    main.set_xlabel(
        f"{label}, {level:.0%} interval{' (shaded: too small to matter)' if least > 0 else ''}", fontsize=9
    )
    _all(whole, every, every_verdict, least)
    whole.set_ylabel(label, fontsize=9)
    handles, labels = _legend(whole, every_verdict)
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(shortened(title, 110), fontsize=10, x=0.02, ha="left")
    return figure


def _first(
    axes: Axes,
    names: Sequence[str],
    effect: Float64[np.ndarray, " edit"],
    ends: tuple[Float64[np.ndarray, " edit"], Float64[np.ndarray, " edit"]],
    verdict: NDArray[np.object_],
    least: float,
) -> None:
    rows = np.arange(len(names))
    finite = np.concatenate([one[np.isfinite(one)] for one in (effect, *ends)] + [[0.0, least, -least]])
    edge = 0.05 * (np.ptp(finite) or 1.0)
    left, right = finite.min() - edge, finite.max() + edge
    axes.axvspan(-least, least, color="0.93", zorder=0, linewidth=0)
    axes.axvline(0, color="0.35", linewidth=0.9, zorder=1)
    axes.hlines(
        rows, np.clip(ends[0], left, right), np.clip(ends[1], left, right), color="0.25", linewidth=1.1
    )
    for name, style in VERDICT_STYLES.items():
        own = np.asarray(verdict) == name
        _dots(axes, effect[own], rows[own], style, 30)
    axes.set_yticks(rows, [shortened(one, 34) for one in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(left, right)
    quiet(axes, grid="x")


def _all(axes: Axes, every: Float64[np.ndarray, " all"], verdict: NDArray[np.object_], least: float) -> None:
    rank = np.arange(1, len(every) + 1)
    for name, style in VERDICT_STYLES.items():
        own = np.asarray(verdict) == name
        _dots(axes, rank[own], every[own], style, 12)
    axes.axhspan(-least, least, color="0.93", zorder=0, linewidth=0)
    axes.axhline(0, color="0.35", linewidth=0.9, zorder=1)
    size = np.abs(every).max()
    if least > 0 and size > 100 * least:
        axes.set_yscale("symlog", linthresh=least)
        axes.minorticks_off()
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("rank among all", fontsize=9)
    quiet(axes)


def _dots(
    axes: Axes,
    x: NDArray[np.number],
    y: NDArray[np.number],
    style: tuple[str, str, bool],
    size: float,
) -> None:
    marker, colour, filled = style
    axes.scatter(
        x, y, s=size, marker=marker, facecolors=colour if filled else "white", edgecolors=colour,
        linewidths=0.9, zorder=3,
    )  # fmt: skip


def _legend(axes: Axes, verdict: NDArray[np.object_]) -> tuple[list[Artist], list[str]]:
    handles: list[Artist] = []
    labels = []
    for name, (marker, colour, filled) in VERDICT_STYLES.items():
        count = int((np.asarray(verdict) == name).sum())
        handles += axes.plot(
            [], [], linestyle="", marker=marker, color=colour, markersize=5.5,
            markerfacecolor=colour if filled else "white",
        )  # fmt: skip
        labels.append(f"{name} ({count:,})")
    return handles, labels


def strength_lines(
    strengths: Sequence[float],
    lines: Mapping[str, Float64[np.ndarray, " strength"]],
    others: Float64[np.ndarray, "edit strength"],
    label: str,
    title: str,
    figsize: tuple[float, float] = (7.5, 4.4),
) -> Picture:
    """Show how effects change with the strength of an intervention.

    Parameters
    ----------
    strengths : sequence of float
        In rising order.
    lines : mapping of name to array (strength,)
        The edits that are named.
    others : array, shape (edit, strength)
        All others, in grey.
    label, title : str
        Of the effects' axis, and above the figure.
    figsize : tuple of float
        In inches.
    """
    figure = picture(figsize)
    axes = figure.add_subplot()
    if len(others):
        axes.plot(strengths, np.asarray(others).T, color="0.8", linewidth=0.7, zorder=1)
    for k, (name, line) in enumerate(lines.items()):
        axes.plot(
            strengths, line, color=COLOURS[k % len(COLOURS)], linestyle=DASHES[k % len(DASHES)],
            marker=MARKERS[k % len(MARKERS)], markersize=5, linewidth=1.6, markeredgecolor="white",
            markeredgewidth=0.6, label=shortened(name), zorder=3,
        )  # fmt: skip
    axes.axhline(0, color="0.35", linewidth=0.9, zorder=2)
    axes.set_xlabel("strength of the intervention", fontsize=9)
    axes.set_ylabel(label, fontsize=9)
    axes.set_title(shortened(title, 100), fontsize=10, loc="left")
    figure.legend(fontsize=8, loc="outside lower center", ncols=4, frameon=False)
    quiet(axes)
    return figure
