"""Show a trained CNN's filters as a causal graph in a notebook, and intervene on them.

Start with `CausalCNNExplainer` (compute) and `CausalWidget` (look); try them on `samples.digits()`.
"""

from causal_widget import samples
from causal_widget._version import __version__
from causal_widget.devices import list_devices
from causal_widget.effects import Effect, Evaluation, effect_of, evaluate
from causal_widget.errors import (
    ArgumentError,
    Cancelled,
    CausalWidgetError,
    DataError,
    DeviceError,
    NonFiniteError,
    OrderError,
    UnknownNameError,
    UnsupportedModelError,
)
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.explanations import heatmap
from causal_widget.graph import FilterGraph, Layer, Wiring, trace
from causal_widget.interventions import Intervention, intervene
from causal_widget.jobs import Progress, bar
from causal_widget.pruning import PruningCurve, pruning_curve, remove_filters
from causal_widget.responses import Collection, collect
from causal_widget.scm import StructuralCausalModel, fit
from causal_widget.widget import CausalWidget

__all__ = [
    "ArgumentError",
    "Cancelled",
    "CausalCNNExplainer",
    "CausalWidget",
    "CausalWidgetError",
    "Collection",
    "DataError",
    "DeviceError",
    "Effect",
    "Evaluation",
    "FilterGraph",
    "Intervention",
    "Layer",
    "NonFiniteError",
    "OrderError",
    "Progress",
    "PruningCurve",
    "StructuralCausalModel",
    "UnknownNameError",
    "UnsupportedModelError",
    "Wiring",
    "__version__",
    "bar",
    "collect",
    "effect_of",
    "evaluate",
    "fit",
    "heatmap",
    "intervene",
    "list_devices",
    "pruning_curve",
    "remove_filters",
    "samples",
    "trace",
]
