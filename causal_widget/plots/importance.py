"""How importance is spread over the filters of each layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from causal_widget.errors import ArgumentError
from causal_widget.plots.style import COLOURS, GREY, Picture, picture, quiet, shortened

__all__ = ["importance_distribution"]

FEW = 3
WIDE = 8.0


def importance_distribution(
    importances: Mapping[str, Float64[np.ndarray, " unit"]],
    figsize: tuple[float, float] | None = None,
    title: str = "Importance of the filters, by layer",
) -> Picture:
    """Show a row a layer: every filter as a dot, a box of quartiles (orange: median) behind many.

    Values are multiplied by the layer's number of filters, so that 1 is an equal share in every layer and
    layers of different widths compare. Where one is beyond 8, the axis is logarithmic from 2 on.

    Parameters
    ----------
    importances : mapping of layer name to array (unit,)
        Of any length from one; at least one layer.
    figsize : tuple of float, optional
        In inches; otherwise as tall as the layers need.
    title : str
        Above the figure.
    """
    if not importances:
        raise ArgumentError("there are no importances to plot")
    names = list(importances)
    shares = [np.asarray(importances[name]) * len(importances[name]) for name in names]
    figure = picture(figsize or (7.5, 1.3 + 0.27 * len(names)))
    axes = figure.add_subplot()
    generator = np.random.default_rng(0)
    for row, share in enumerate(shares):
        if len(share) > FEW:
            _box(axes, row, share)
        jitter = generator.uniform(-0.18, 0.18, len(share)) if len(share) > FEW else np.zeros(len(share))
        axes.scatter(share, row + jitter, s=9, color=COLOURS[0], alpha=0.45, linewidths=0, zorder=3)
    axes.axvline(1, color="black", linewidth=0.9, linestyle=":", zorder=1)
    axes.set_yticks(range(len(names)), [f"{shortened(n)} ({len(importances[n])})" for n in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    widest = max(float(share.max()) for share in shares)
    if widest > WIDE:
        axes.set_xscale("symlog", linthresh=2, linscale=1.2)
        ticks = [t for t in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if t <= widest * 1.5]
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.minorticks_off()
    axes.set_xlim(0, max(widest * 1.08, 1.5))
    axes.set_xlabel("importance, as a multiple of an equal share (dotted: 1)", fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
    quiet(axes, grid="x")
    return figure


def _box(axes: Axes, row: int, share: Float64[np.ndarray, " unit"]) -> None:
    """Draw quartiles as a box, the 5 % and 95 % quantiles as whiskers, the median as a bar."""
    low, first, median, third, high = np.percentile(share, (5, 25, 50, 75, 95))
    axes.plot([low, high], [row, row], color=GREY, linewidth=1, zorder=1)
    axes.barh(
        row, third - first, left=first, height=0.62, color="0.88", edgecolor=GREY, linewidth=0.9, zorder=2
    )
    axes.plot([median, median], [row - 0.31, row + 0.31], color=COLOURS[1], linewidth=1.8, zorder=4)
