"""Filters as points in a plane."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from causal_widget.plots.style import Picture, picture, quiet

__all__ = ["filter_embedding"]

LABELS = 64


def filter_embedding(
    points: Float[np.ndarray, "unit 2"],
    importance: Float64[np.ndarray, " unit"] | None,
    figsize: tuple[float, float] = (8, 6),
    title: str = "Filters by likeness of their weights (t-SNE)",
) -> Picture:
    """Show filters as numbered points, coloured by importance where it is known.

    Parameters
    ----------
    points : array, shape (unit, 2)
        Their places; the axes of a t-SNE have no unit.
    importance : array, shape (unit,), or None
        Their colours.
    figsize : tuple of float
        In inches.
    title : str
        Above the figure.
    """
    figure = picture(figsize)
    axes = figure.add_subplot()
    if importance is None:
        axes.scatter(points[:, 0], points[:, 1], s=42, color="#0072B2", edgecolors="white", linewidths=0.6)
    else:
        drawn = axes.scatter(
            points[:, 0], points[:, 1], s=48, c=importance, cmap="viridis", edgecolors="0.35", linewidths=0.5
        )
        figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02, label="importance")
    if len(points) <= LABELS:
        for number, (x, y) in enumerate(points):
            axes.annotate(
                str(number), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7, color="0.25"
            )
    axes.set_xlabel("t-SNE 1", fontsize=9)
    axes.set_ylabel("t-SNE 2", fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
    axes.margins(0.08)
    quiet(axes, grid=None)
    return figure
