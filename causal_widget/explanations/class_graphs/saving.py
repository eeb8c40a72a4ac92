"""Graphs of classes in JSON."""

from __future__ import annotations

import json
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from causal_widget.errors import DataError
from causal_widget.explanations.class_graphs.class_graph import ClassGraph
from causal_widget.explanations.class_graphs.layer_units import LayerUnits

__all__ = ["from_record", "load", "record_of", "save"]

FORMAT, VERSION = "causal_widget class graph", 1


def record_of(graph: ClassGraph) -> dict[str, Any]:
    """Give a graph as plain values."""
    record: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    for one in _saved():
        record[one.name] = getattr(graph, one.name)
    record["layers"] = [layer.to_dict() for layer in graph.layers]
    record["class_units"] = {layer: list(units) for layer, units in graph.class_units.items()}
    record["choices"] = dict(graph.choices)
    return record


def from_record(record: Any, where: str = "the record") -> ClassGraph:
    """Give the graph of what `record_of` gave.

    Raises
    ------
    DataError
        If it is none, or of another version.
    """
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{where} is no graph of a class: expected a JSON object of format {FORMAT!r}")
    if record.get("version") != VERSION:
        raise DataError(f"{where} is of version {record.get('version')!r}; this reads version {VERSION}")
    try:
        given = {one.name: record[one.name] for one in _saved()}
        given["layers"] = tuple(LayerUnits.from_dict(layer) for layer in record["layers"])
        given["example_shape"] = tuple(record["example_shape"])
        given["class_units"] = {layer: tuple(units) for layer, units in record["class_units"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where} is damaged: {type(error).__name__}: {error}") from error
    return ClassGraph(**given)


def _saved() -> list[Field[Any]]:
    return [one for one in fields(ClassGraph) if one.metadata.get("saved", True)]


def save(graph: ClassGraph, path: str | Path) -> None:
    """Write a graph as JSON."""
    Path(path).write_text(json.dumps(record_of(graph), allow_nan=False))


def load(path: str | Path) -> ClassGraph:
    """Read a graph.

    Raises
    ------
    DataError
        If the file is none.
    """
    return from_record(parsed(path), str(path))


def parsed(path: str | Path) -> Any:
    """Give what is in a JSON file.

    Raises
    ------
    DataError
        If it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no JSON: {error}") from error
