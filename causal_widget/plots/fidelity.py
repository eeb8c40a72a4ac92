"""How well methods foresee interventions, by kind of intervention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from causal_widget.plots.style import COLOURS, GREY, MARKERS, Picture, picture, quiet, shortened

__all__ = ["fidelity_dots", "predicted_accuracy"]


def fidelity_dots(
    kinds: Sequence[str],
    lines: Mapping[str, Float64[np.ndarray, " kind"]],
    cost: Mapping[str, float],
    label: str,
    figsize: tuple[float, float] | None = None,
) -> Picture:
    """Show a score of every method for every kind of intervention, a row a method.

    Kinds differ in colour and marker. Below -1 a score is drawn at the edge.

    Parameters
    ----------
    kinds : sequence of str
        Kinds of intervention.
    lines : mapping of method to array (kind,)
        The scores; NaN is not drawn.
    cost : mapping of method to float
        Forward passes an image, said beside the name.
    label : str
        What the score is.
    figsize : tuple of float, optional
        In inches.
    """
    figure = picture(figsize or (8.0, 1.6 + 0.42 * len(lines)))
    axes = figure.add_subplot()
    rows = np.arange(len(lines))
    values = np.array(list(lines.values()), dtype=np.float64).reshape(len(lines), len(kinds))
    low = max(-1.0, min(0.0, float(np.nanmin(values, initial=0.0))))
    offsets = np.linspace(-0.28, 0.28, len(kinds)) if len(kinds) > 1 else np.zeros(1)
    for k, kind in enumerate(kinds):
        shown = np.clip(values[:, k], low, None)
        axes.plot(
            shown, rows + offsets[k], linestyle="", marker=MARKERS[k % len(MARKERS)], markersize=6,
            color=COLOURS[k % len(COLOURS)], markeredgecolor="white", markeredgewidth=0.5, label=kind,
        )  # fmt: skip
    for row in rows[:-1]:
        axes.axhline(row + 0.5, color="0.93", linewidth=0.8, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.9)
    axes.set_yticks(rows, [f"{shortened(name)}  ({cost[name]:,.0f})" for name in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlim(low - 0.03, 1.03)
    axes.set_xlabel(f"{label}\n(in brackets: forward passes an image)", fontsize=9)
    figure.legend(fontsize=8, loc="outside lower center", ncols=4, frameon=False)
    quiet(axes, grid="x")
    return figure


def predicted_accuracy(
    names: Sequence[str],
    foreseen: Mapping[str, Float64[np.ndarray, " point"]],
    true: Mapping[str, Float64[np.ndarray, " point"]],
    title: str,
    figsize: tuple[float, float] = (5.4, 4.6),
) -> Picture:
    """Show foreseen accuracy over true accuracy, one point a set of filters, one colour a series.

    Parameters
    ----------
    names : sequence of str
        The series.
    foreseen, true : mapping of series to array (point,)
        Accuracies, 0..1.
    title : str
        Above the figure.
    figsize : tuple of float
        In inches.
    """
    figure = picture(figsize)
    axes = figure.add_subplot()
    everything = 100 * np.concatenate([*(foreseen[n] for n in names), *(true[n] for n in names)])
    ends = float(everything.min(initial=100)) - 3, float(everything.max(initial=0)) + 3
    axes.plot(ends, ends, color=GREY, linewidth=0.9, linestyle=":", label="foreseen = true")
    for k, name in enumerate(names):
        axes.plot(
            100 * true[name], 100 * foreseen[name], linestyle="", marker=MARKERS[k % len(MARKERS)],
            color=COLOURS[k % len(COLOURS)], markersize=5.5, markeredgecolor="white", markeredgewidth=0.5,
            label=shortened(name, 40),
        )  # fmt: skip
    axes.set_xlabel("true accuracy, %", fontsize=9)
    axes.set_ylabel("foreseen accuracy, %", fontsize=9)
    axes.set_title(shortened(title, 80), fontsize=10, loc="left")
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_aspect("equal")
    figure.legend(fontsize=8, loc="outside lower center", ncols=3, frameon=False)
    quiet(axes)
    return figure
