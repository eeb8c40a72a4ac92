"""What a notebook shows without a kernel: a picture of the graph and a table, as plain HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_widget.graph import Layer

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend, Choices

WIDTH, HEIGHT, TOP = 920, 320, 44
MAX_UNITS = 512
MAX_LINES = 300
# dark blue to yellow, readable on white and on black
COLOURS = ("#3b4f8a", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
UNKNOWN = "#9aa0a6"
STYLE = "font-family:system-ui,sans-serif;font-size:13px;max-width:960px"


def page(backend: Backend, choices: Choices, layers: Sequence[str]) -> str:
    """Give picture and summary of what the widget shows now.

    Parameters
    ----------
    backend : Backend
        The widget's kernel side.
    choices : Choices
        The rule that colours, what is zeroed.
    layers : sequence of str
        The layers shown.
    """
    graph = backend.explainer.graph
    shown = [graph.layer(name) for name in layers] or list(graph.layers)
    rule, known = _colouring(backend, choices.rule)
    picture = _picture(backend, shown, known, choices)
    return (
        f'<div class="causal-widget-static" style="{STYLE}">{_heading(backend, rule, choices)}{picture}'
        f"{_table(shown, known)}</div>"
    )


def _colouring(backend: Backend, rule: str) -> tuple[str, dict[str, Any]]:
    """Give the chosen rule's importances, or those of the weights while nothing has been collected."""
    known = backend.store.importance(rule)
    return (rule, known) if known else ("l1", backend.store.importance("l1"))


def _heading(backend: Backend, rule: str, choices: Choices) -> str:
    graph, collection = backend.explainer.graph, backend.explainer.collection
    parts = [f"{graph.n_filters:,} filters in {len(graph.conv_layers)} convolutions"]
    if collection is None:
        parts.append("nothing collected yet")
    else:
        parts.append(f"{collection.n_images:,} images collected")
        if collection.accuracy is not None:
            parts.append(f"accuracy {collection.accuracy:.1%}")
    parts.append(f"coloured by importance ({rule})")
    if choices.ablated:
        zeroed = "; ".join(f"{name} {list(units)}" for name, units in choices.ablated.items())
        parts.append(f"zeroed: {zeroed}")
    return f"<p><b>{html.escape(graph.model_name)}</b>: {html.escape(', '.join(parts))}</p>"


def _picture(backend: Backend, shown: list[Layer], known: dict[str, Any], choices: Choices) -> str:
    """Draw one column a layer, one square a unit, the strongest edges between them."""
    places = {layer.name: _places(i, layer, len(shown)) for i, layer in enumerate(shown)}
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + TOP}" width="100%">']
    parts.append(_lines(backend, places))
    parts += [_column(layer, places[layer.name], known.get(layer.name), choices) for layer in shown]
    return "".join(parts) + "</svg>"


def _places(column: int, layer: Layer, columns: int) -> tuple[np.ndarray[Any, Any], float]:
    """Give the positions of a layer's squares, filling its column row by row, and their size."""
    wide = WIDTH / columns
    n = min(layer.units, MAX_UNITS)
    rows_one = HEIGHT / 12
    across = max(1, int(np.ceil(n / rows_one)))
    size = min(11.0, 0.72 * wide / across)
    rows = int(np.ceil(n / across))
    pitch = min(HEIGHT / rows, size * 1.15)
    index = np.arange(n)
    x = column * wide + (wide - across * size * 1.1) / 2 + (index % across) * size * 1.1
    y = TOP + (HEIGHT - rows * pitch) / 2 + (index // across) * pitch
    return np.stack([x, y], axis=1), min(size, pitch * 0.9)


def _column(layer: Layer, place: tuple[np.ndarray[Any, Any], float], values: Any, choices: Choices) -> str:
    """Draw one path for each colour: a square a unit costs some twenty bytes."""
    points, size = place
    paths: dict[str, list[str]] = {}
    zeroed = set(choices.ablated.get(layer.name, ()))
    for unit, (x, y) in enumerate(points):
        colour = "#d62728" if unit in zeroed else _colour(values, unit)
        paths.setdefault(colour, []).append(f"M{x:.1f} {y:.1f}h{size:.1f}v{size:.1f}h-{size:.1f}z")
    drawn = "".join(f'<path fill="{colour}" d="{"".join(d)}"/>' for colour, d in paths.items())
    name = html.escape(layer.name if len(layer.name) <= 22 else "…" + layer.name[-21:])
    x = float(points[:, 0].mean() + size / 2)
    label = (
        f'<text x="{x:.1f}" y="{TOP - 8}" font-size="10" fill="currentColor" '
        f'transform="rotate(-20 {x:.1f} {TOP - 8})">{name}</text>'
    )
    title = html.escape(f"{layer.name}: {layer.units} units")
    return f"<g><title>{title}</title>{drawn}{label}</g>"


def _colour(values: Any, unit: int) -> str:
    if values is None or not np.isfinite(values[unit]):
        return UNKNOWN
    largest = float(np.nanmax(values))
    share = float(values[unit]) / largest if largest > 0 else 0.0
    return COLOURS[min(int(share * len(COLOURS)), len(COLOURS) - 1)]


def _lines(backend: Backend, places: dict[str, tuple[np.ndarray[Any, Any], float]]) -> str:
    """Draw the strongest edges among the units drawn."""
    found: list[tuple[float, tuple[float, ...]]] = []
    for i, wiring in enumerate(backend.explainer.graph.wirings):
        if wiring.source not in places or wiring.target not in places:
            continue
        (start, a), (end, b) = places[wiring.source], places[wiring.target]
        bytes_ = backend.store.edges(i)[: len(end), : len(start)]
        best = np.argsort(-bytes_.astype(np.int16), axis=None, kind="stable")[:MAX_LINES]
        for target, source in zip(*np.unravel_index(best, bytes_.shape), strict=True):
            if bytes_[target, source]:
                ends = (*(start[source] + a / 2), *(end[target] + b / 2))
                found.append((float(bytes_[target, source]) / 255, ends))
    strongest = sorted(found, key=lambda entry: -entry[0])[:MAX_LINES]
    return "".join(
        f'<path d="M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}" stroke="#7f8ea3" stroke-opacity="{0.12 + 0.6 * s:.2f}"/>'
        for s, (x, y, u, v) in strongest
    )


def _table(shown: list[Layer], known: dict[str, Any]) -> str:
    rows = "".join(_row(layer, known.get(layer.name)) for layer in shown)
    head = "<tr><th>layer</th><th>kind</th><th>units</th><th>most important units</th></tr>"
    return f"<details><summary>Layers</summary><table>{head}{rows}</table></details>"


def _row(layer: Layer, values: Any) -> str:
    best = "" if values is None else ", ".join(f"{u} ({values[u]:.3f})" for u in np.argsort(-values)[:3])
    kind = "classes" if layer.is_output else layer.kind
    cells = (html.escape(layer.name), html.escape(kind), str(layer.units), best)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
