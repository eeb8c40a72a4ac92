"""Where in the image: maps of what filters respond to, and of what an intervention changes."""

from causal_widget.explanations.attribution import (
    Attribution,
    ReceptiveField,
    attribute,
    class_attribution,
    receptive_fields,
)
from causal_widget.explanations.class_graphs import (
    ClassGraph,
    ClassGraphs,
    LayerUnits,
    explain_class,
    explain_classes,
)
from causal_widget.explanations.heatmaps import difference, heatmap

__all__ = [
    "Attribution",
    "ClassGraph",
    "ClassGraphs",
    "LayerUnits",
    "ReceptiveField",
    "attribute",
    "class_attribution",
    "difference",
    "explain_class",
    "explain_classes",
    "heatmap",
    "receptive_fields",
]
