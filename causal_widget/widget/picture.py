"""A picture of the graph for where no page runs: one column a layer, one square a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from causal_widget.graph import Layer

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend

Points = np.ndarray[Any, Any]
MAX_UNITS, MAX_LINES, MIN_LINES, MAX_EDGES = 512, 240, 6, 5_000_000
ROWS, COLOURS = 24, 64
# readable on white and on black
TEXT, UNKNOWN, ZEROED = "#7a828c", "#9aa0a6", "#d62728"


def picture(
    backend: Backend, shown: Sequence[Layer], known: Mapping[str, Any], ablated: Mapping[str, Sequence[int]]
) -> bytes:
    """Draw units coloured by importance, zeroed ones red, and each layer pair's strongest edges, as a PNG."""
    figure = Figure(figsize=(9.2, 3.4), dpi=100)
    axes = figure.add_axes((0.01, 0.02, 0.98, 0.82))
    axes.set_axis_off()
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.set_ylim(-0.5, 0.5)
    places = {layer.name: _places(i, layer) for i, layer in enumerate(shown)}
    _edges(axes, backend, places)
    for i, layer in enumerate(shown):
        _units(axes, places[layer.name], known.get(layer.name), ablated.get(layer.name, ()), len(shown))
        name = layer.name if len(layer.name) <= 20 else "…" + layer.name[-19:]
        # a name is text, never mathematics
        axes.text(
            i, 0.52, name, color=TEXT, fontsize=8 if len(shown) < 20 else 5, rotation=30, parse_math=False
        )
    return _small_png(figure)


def _small_png(figure: Figure) -> bytes:
    """Write with few colours: the picture is saved with every notebook."""
    full, small = BytesIO(), BytesIO()
    figure.savefig(full, format="png", transparent=True)
    Image.open(full).quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(small, "PNG", optimize=True)
    return small.getvalue()


def _places(column: int, layer: Layer) -> Points:
    """Give the positions of a layer's units, filling its column row by row."""
    n = min(layer.units, MAX_UNITS)
    across = max(1, -(-n // ROWS))
    rows = -(-n // across)
    index = np.arange(n)
    x = column + ((index % across) - (across - 1) / 2) * min(0.06, 0.7 / across)
    y = ((rows - 1) / 2 - index // across) / ROWS
    return np.stack([x, y], axis=1)


def _units(axes: Axes, points: Points, values: Any, zeroed: Sequence[int], columns: int) -> None:
    size = max(2.0, min(40.0, 300.0 / columns, 20_000.0 / columns / max(len(points), 1)))
    if values is None:
        axes.scatter(points[:, 0], points[:, 1], s=size, marker="s", color=UNKNOWN, linewidths=0)
    else:
        top = float(np.nanmax(values)) or 1.0
        shares = np.asarray(values)[: len(points)]
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=size,
            marker="s",
            c=shares,
            cmap="viridis",
            vmin=0,
            vmax=top,
            linewidths=0,
        )
    red = [unit for unit in zeroed if unit < len(points)]
    if red:
        axes.scatter(points[red, 0], points[red, 1], s=2 * size, marker="x", color=ZEROED, linewidths=1.5)


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
    alpha = 0.1 + 0.6 * np.concatenate(strengths)
    colours = [(*to_rgb(TEXT), share) for share in alpha]
    axes.add_collection(LineCollection(list(np.concatenate(ends)), colors=colours, linewidths=0.7))


def _largest(found: np.ndarray[Any, Any], most: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Give the positions of the largest entries above zero."""
    best = np.argsort(-found.astype(np.int16), axis=None, kind="stable")[:most]
    return np.unravel_index(best[found.ravel()[best] > 0], found.shape)
