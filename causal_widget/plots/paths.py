"""The path of a penalised equation: each coefficient as the penalty goes to 0."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from causal_widget.plots.style import COLOURS, DASHES, GREY, Picture, picture, quiet, shortened

__all__ = ["coefficient_path"]

# So many parents, those with the largest coefficients, have a colour and a name; the others are grey.
NAMED = 7


def coefficient_path(
    alphas: Float64[np.ndarray, " step"],
    coefficients: Float64[np.ndarray, "parent step"],
    names: list[str],
    title: str,
    figsize: tuple[float, float] = (7, 4.2),
) -> Picture:
    """Show a line a parent over the size of all coefficients, from none on the left to the end of the path.

    Parameters
    ----------
    alphas : (step,)
        The penalties, which are written at the top.
    coefficients : (parent, step)
        At each step.
    names : list of str
        Of the parents.
    title : str
        Whose path it is.
    figsize : tuple of float
        In inches.
    """
    figure = picture(figsize)
    axes = figure.add_subplot()
    x = np.abs(coefficients).sum(axis=0)
    largest = np.argsort(-np.abs(coefficients[:, -1]), kind="stable")
    for parent in largest[NAMED:]:
        axes.plot(x, coefficients[parent], color=GREY, linewidth=0.6, alpha=0.5)
    for k, parent in enumerate(largest[:NAMED]):
        axes.plot(
            x, coefficients[parent], color=COLOURS[k % len(COLOURS)], linestyle=DASHES[k % len(DASHES)],
            linewidth=1.6, label=shortened(names[parent]),
        )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.8)
    _alphas_above(axes, x, alphas)
    axes.set_xlabel("sum of the coefficients' sizes", fontsize=9)
    axes.set_ylabel("coefficient", fontsize=9)
    axes.set_title(shortened(title, 60), fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    quiet(axes)
    return figure


def _alphas_above(axes: Axes, x: Float64[np.ndarray, " step"], alphas: Float64[np.ndarray, " step"]) -> None:
    """Write the penalty of a few steps above the picture."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), 6)).round().astype(int))
    above = axes.secondary_xaxis("top")
    above.set_xticks(x[chosen], [f"{alphas[i]:.2g}" for i in chosen])
    above.tick_params(labelsize=8, length=3)
    above.set_xlabel("penalty (alpha)", fontsize=8)
