"""A picture of the graph for where no page runs: columns of units, in the page's light look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from causal_widget.graph import Layer

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

Points = np.ndarray[Any, Any]
MAX_UNITS, MAX_LINES, MIN_LINES, MAX_EDGES = 512, 240, 6, 5_000_000
ROWS, COLOURS = 20, 64
WIDTH, HEIGHT = 900.0, 300.0  # of the drawing, in pixels
# the page's light look; js/src/colour.ts has the same stops
STOPS = ("#e8deb0", "#c6b770", "#968f72", "#6a6e74", "#3e4e6e", "#0a2c60", "#02143a")
IMPORTANCE = LinearSegmentedColormap.from_list("causal_widget", STOPS)
TEXT, QUIET, EDGE, OUTLINE, HOLLOW, ZEROED = "#1d2430", "#5c6570", "#3e4e6e", "#b9bec6", "#f3f4f7", "#b3261e"
NAMED = 20


class Grid(NamedTuple):
    """Where a layer's units are, and the area of their marks in square points."""

    points: Points
    size: float


def picture(
    backend: Backend, shown: Sequence[Layer], known: Mapping[str, Any], ablated: Mapping[str, Sequence[int]]
) -> bytes:
    """Draw units coloured by importance, zeroed ones crossed, and the strongest edges, as a PNG."""
    figure = Figure(figsize=(9.2, 3.8), dpi=100, facecolor="white")
    axes = figure.add_axes((0.01, 0.02, 0.98, 0.80))
    axes.set_axis_off()
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.set_ylim(-0.5, 0.5)
    grids = {layer.name: _places(i, layer, len(shown)) for i, layer in enumerate(shown)}
    _edges(axes, backend, {name: grid.points for name, grid in grids.items()})
    for i, layer in enumerate(shown):
        grid = grids[layer.name]
        _units(axes, grid, known.get(layer.name), ablated.get(layer.name, ()), layer.is_output)
        _name(axes, i, layer, len(shown))
        if layer.is_output and layer.units <= NAMED:
            _class_names(axes, grid.points, backend.explainer.class_names, 14 * len(shown) / WIDTH)
    return _small_png(figure)


def _name(axes: Axes, column: int, layer: Layer, columns: int) -> None:
    few = columns <= 8
    name = layer.name if len(layer.name) <= 20 else "…" + layer.name[-19:]
    look: dict[str, Any] = {"color": TEXT, "parse_math": False}  # a name is text, never mathematics
    if few:
        axes.text(column, 0.55, name, fontsize=9, fontweight="bold", ha="center", va="bottom", **look)
    else:
        axes.text(column, 0.52, name, fontsize=8 if columns < 20 else 5, rotation=30, **look)


def _class_names(axes: Axes, points: Points, names: Sequence[str], gap: float) -> None:
    right = float(points[:, 0].max()) + gap
    for (_, y), name in zip(points, names, strict=True):
        short = name if len(name) <= 14 else name[:13] + "…"
        axes.text(right, y, short, fontsize=7, color=QUIET, va="center", parse_math=False)


def _small_png(figure: Figure) -> bytes:
    """Write with few colours: the picture is saved with every notebook."""
    full, small = BytesIO(), BytesIO()
    figure.savefig(full, format="png")
    Image.open(full).quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(small, "PNG", optimize=True)
    return small.getvalue()


def _places(column: int, layer: Layer, columns: int) -> Grid:
    """Lay a layer's units on a grid, filling its column row by row, as nearly square as the room allows."""
    n = min(layer.units, MAX_UNITS)
    wide = 0.6 * WIDTH / columns
    rows = min(n, max(ROWS, math.ceil(math.sqrt(n * HEIGHT / wide))))
    across = -(-n // rows)
    step = min(HEIGHT / max(rows, ROWS), wide / across, 14.0)
    index = np.arange(n)
    x = column + ((index % across) - (across - 1) / 2) * step * columns / WIDTH
    y = ((-(-n // across) - 1) / 2 - index // across) * step / HEIGHT
    return Grid(np.stack([x, y], axis=1), (0.72 * 0.8 * step) ** 2)


def _units(axes: Axes, grid: Grid, values: Any, zeroed: Sequence[int], classes: bool) -> None:
    points, size = grid
    look: dict[str, Any] = {"s": size, "marker": "s" if classes else "o", "edgecolors": OUTLINE}
    look["linewidths"] = 0.6 if size > 10 else 0
    if values is None:
        axes.scatter(points[:, 0], points[:, 1], color=HOLLOW if size > 10 else OUTLINE, **look)
    else:
        top = float(np.nanmax(values)) or 1.0
        shares = np.asarray(values)[: len(points)]
        axes.scatter(points[:, 0], points[:, 1], c=shares, cmap=IMPORTANCE, vmin=0, vmax=top, **look)
    red = [unit for unit in zeroed if unit < len(points)]
    if red:
        axes.scatter(points[red, 0], points[red, 1], s=size, color="white", edgecolors=ZEROED, linewidths=1)
        axes.scatter(points[red, 0], points[red, 1], s=size, marker="x", color=ZEROED, linewidths=1.5)


def _edges(axes: Axes, backend: Backend, places: Mapping[str, Points]) -> None:
    """Draw the strongest edges of each pair of layers, unless looking through all would take long."""
    wirings = backend.explainer.graph.wirings
    if sum(w.n_edges for w in wirings) > MAX_EDGES:
        return
    drawn = [i for i, w in enumerate(wirings) if w.source in places and w.target in places]
    most = max(MIN_LINES, MAX_LINES // max(len(drawn), 1))
    ends, strengths = [np.zeros((0, 2, 2))], [np.zeros(0)]
    for i in drawn:
        start, end = places[wirings[i].source], places[wirings[i].target]
        found = backend.store.edges(i)[: len(end), : len(start)]
        target, source = _largest(found, most)
        ends.append(np.stack([start[source], end[target]], axis=1))
        strengths.append(found[target, source] / 255)
    alpha = 0.04 + 0.5 * np.concatenate(strengths)
    colours = [(*to_rgb(EDGE), share) for share in alpha]
    axes.add_collection(LineCollection(list(np.concatenate(ends)), colors=colours, linewidths=0.7))


def _largest(found: np.ndarray[Any, Any], most: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Give the positions of the largest entries above zero."""
    best = np.argsort(-found.astype(np.int16), axis=None, kind="stable")[:most]
    return np.unravel_index(best[found.ravel()[best] > 0], found.shape)
