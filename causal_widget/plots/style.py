"""What all figures share: colours that the colour-blind can tell apart, quiet axes, one way to be shown."""

from __future__ import annotations

import io

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from causal_widget.errors import ArgumentError, UnknownNameError, nearest

__all__ = ["COLOURS", "DASHES", "GREY", "MARKERS", "Picture", "known_cmap", "picture", "quiet", "shortened"]

# Okabe and Ito's palette, without its yellow, which is too light for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)), (0, (3, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#6b6b6b"


class Picture(Figure):
    """A figure that a notebook shows without pyplot, and so never twice."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        return buffer.getvalue()


def picture(figsize: tuple[float, float]) -> Picture:
    """Make an empty figure of that size in inches.

    Raises
    ------
    ArgumentError
        If the size is not two positive numbers.
    """
    try:
        width, height = (float(side) for side in figsize)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"figsize must be (width, height) in inches, got {figsize!r}") from error
    if not (0 < width < 1000 and 0 < height < 1000):
        raise ArgumentError(f"figsize must be two positive numbers of inches, got {figsize!r}")
    return Picture(figsize=(width, height), layout="constrained")


def quiet(axes: Axes, grid: str | None = "y") -> None:
    """Take away what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if grid == "x":
        axes.grid(axis="x", color="0.9", linewidth=0.8)
    elif grid == "y":
        axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def shortened(name: str, limit: int = 24) -> str:
    """Give a long name by its two ends; dollar signs are no formulas."""
    if len(name) > limit:
        half = (limit - 1) // 2
        name = f"{name[:half]}\u2026{name[-half:]}"
    return name.replace("$", r"\$")


def known_cmap(cmap: str) -> str:
    """Check a colour map's name.

    Raises
    ------
    UnknownNameError
        If matplotlib has none of that name.
    """
    if cmap not in mpl.colormaps:
        raise UnknownNameError(f'colour map "{cmap}" does not exist.{nearest(str(cmap), mpl.colormaps)}')
    return cmap
