"""hello: what a page needs to know first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from causal_widget.widget.protocol import VERSION

if TYPE_CHECKING:
    from causal_widget.widget.backend import Backend


def state_data(backend: Backend) -> dict[str, Any]:
    """Give the state of explainer and images; cheap, nothing is computed."""
    explainer, strip = backend.explainer, backend.data.strip
    graph, collection = explainer.graph, explainer.collection
    return {
        "version": VERSION,
        "model": graph.model_name,
        "nFilters": graph.n_filters,
        "nLayers": len(graph.layers),
        "classes": explainer.class_names,
        "devices": [
            {"name": d.name, "label": d.label, "memory": d.memory_bytes, "free": d.free_bytes}
            for d in backend.devices
        ],
        "collected": explainer.scm is not None,
        "nImages": 0 if collection is None else collection.n_images,
        "accuracy": None if collection is None else collection.accuracy,
        "loss": None if collection is None else collection.loss,
        "hasLabels": strip is not None and strip.labels is not None,
        "nStrip": 0 if strip is None else len(strip.images),
        "still": backend.still,
        "canCollect": backend.data.loader is not None,
    }
