"""Graphs of classes: which units a class stands on, which hurt it, and through which paths."""

from causal_widget.explanations.class_graphs.class_graph import ClassGraph
from causal_widget.explanations.class_graphs.class_graphs import ClassGraphs
from causal_widget.explanations.class_graphs.explain import explain_class, explain_classes
from causal_widget.explanations.class_graphs.layer_units import LayerUnits

__all__ = ["ClassGraph", "ClassGraphs", "LayerUnits", "explain_class", "explain_classes"]
