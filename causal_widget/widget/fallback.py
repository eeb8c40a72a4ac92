"""What a notebook shows without a kernel: a picture of the graph and a table, as plain HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causal_widget.effects.statistics import VERDICTS
from causal_widget.graph import Layer
from causal_widget.widget.handlers.ranking import judged
from causal_widget.widget.picture import picture

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend, Choices

# class of the root element of a live page
ROOT = "cw-root"
RANKED = 15  # rows of the ranking
NAMED = 12  # critical units of a layer


def page(backend: Backend, choices: Choices, layers: Sequence[str], still: str = "") -> str:
    """Give picture and summary of what the widget shows now.

    Notebooks that are not trusted drop styles, scripts and SVG: the picture is a PNG, the rest plain text.

    Parameters
    ----------
    backend : Backend
        The widget's kernel side.
    choices : Choices
        The rule that colours, what is zeroed.
    layers : sequence of str
        The layers shown.
    still : str
        The name under which a live page hides what is shown here.
    """
    graph = backend.explainer.graph
    shown = [graph.layer(name) for name in layers] or list(graph.layers)
    rule, known = _colouring(backend, choices.rule)
    about = html.escape(f"Causal graph of {graph.model_name}: columns of units, coloured by importance")
    data = base64.b64encode(picture(backend, shown, known, choices.ablated)).decode()
    name = html.escape(still, quote=True)
    return (
        f'{_hiding(name)}<div class="cw-still" data-cw-still="{name}" data-testid="cw-still">'
        f"{_heading(backend, rule, choices)}"
        f'<img alt="{about}" src="data:image/png;base64,{data}">{_table(shown, known)}'
        f"{_ranking(backend)}{_classes(backend)}</div>"
    )


def _hiding(still: str) -> str:
    """Hide JupyterLab's note that the widget's model is gone, which stands above the picture then."""
    if not still:
        return ""
    note = f'.jp-OutputArea-child:not(:has(.{ROOT})):has(+ .jp-OutputArea-child [data-cw-still="{still}"])'
    return f"<style>{note}{{display:none}}</style>"


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
        parts.append(
            f"zeroed: {zeroed}" if choices.scale == 0 else f"scaled to {choices.scale:.0%}: {zeroed}"
        )
    return f"<p><b>{html.escape(graph.model_name)}</b>: {html.escape(', '.join(parts))}</p>"


def _ranking(backend: Backend) -> str:
    """Give the first rows of the ranking, largest effects first."""
    effects = backend.store.effects
    if effects is None:
        return ""
    outcome = effects.columns[0]
    table = judged(effects, outcome)
    order = np.argsort(-table["effect"].abs().to_numpy(), kind="stable")
    counts = table["verdict"].value_counts()
    said = ", ".join(f"{counts[kind]:,} {kind}" for kind in VERDICTS if kind in counts)
    words = f"Effect on the {outcome} of silencing each filter alone, on {effects.n:,} images: {said}"
    names = ("filter", "effect", "95 % interval", "verdict", "corrected p", "images")
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(_ranked_row(row) for _, row in table.iloc[order[:RANKED]].iterrows())
    left = len(table) - RANKED
    more = f"<p>and {left:,} more, not shown here</p>" if left > 0 else ""
    return f"<p>{html.escape(words)}</p><table><tr>{head}</tr>{rows}</table>{more}"


def _classes(backend: Backend) -> str:
    """Give what each class stands on, layer by layer from the class backwards."""
    parts = []
    for one in backend.classes.found.values():
        if one.graph is None:
            continue
        head, *rest = repr(one.graph).splitlines()
        critical = reversed(one.graph.units("critical").items())
        units = "; ".join(f"{layer} {_named(some)}" for layer, some in critical)
        lines = [head, *rest, *([f"  critical: {units}"] if units else [])]
        parts.append("<p>" + "<br>".join(map(html.escape, lines)) + "</p>")
    return "".join(parts)


def _named(units: tuple[int, ...]) -> str:
    return f"{list(units[:NAMED])}{' ...' if len(units) > NAMED else ''}"


def _ranked_row(row: pd.Series) -> str:
    interval = f"{row['low']:+.4f} to {row['high']:+.4f}"
    effect, p, n = f"{row['effect']:+.4f}", f"{row['corrected p']:.2g}", f"{row['n']:,}"
    cells = (row["question"], effect, interval, row["verdict"], p, n)
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _table(shown: list[Layer], known: dict[str, Any]) -> str:
    rows = "".join(_row(layer, known.get(layer.name)) for layer in shown)
    head = "<tr><th>layer</th><th>kind</th><th>units</th><th>most important units</th></tr>"
    return f"<table>{head}{rows}</table>"


def _row(layer: Layer, values: Any) -> str:
    best = "" if values is None else ", ".join(f"{u} ({values[u]:.3f})" for u in np.argsort(-values)[:3])
    kind = "classes" if layer.is_output else layer.kind
    cells = (html.escape(layer.name), html.escape(kind), str(layer.units), best)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
