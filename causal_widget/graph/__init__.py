"""The graph of a network's filters, and how to reach them while it runs."""

from causal_widget.graph.filter_graph import FilterGraph
from causal_widget.graph.layer import SITES, Layer, Step
from causal_widget.graph.sites import as_maps, watch
from causal_widget.graph.trace import trace
from causal_widget.graph.wiring import Wiring

__all__ = ["SITES", "FilterGraph", "Layer", "Step", "Wiring", "as_maps", "trace", "watch"]
