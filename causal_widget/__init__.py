"""Show a trained CNN's filters as a causal graph in a notebook, and intervene on them.

Start with `CausalCNNExplainer` (compute) and `CausalWidget` (look); try them on `samples.digits()`.
"""

from causal_widget import samples
from causal_widget._version import __version__
from causal_widget.devices import list_devices
from causal_widget.effects import (
    Effect,
    EffectPlan,
    EffectRanking,
    Effects,
    Evaluation,
    Stability,
    StrengthStability,
    Verdicts,
    effect_of,
    evaluate,
    outcomes_table,
    plan_effects,
    stability_over_strength,
)
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
from causal_widget.evaluation import (
    Fidelity,
    fidelity,
    network_effects,
    predict_accuracy,
    predict_removal,
)
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.explanations import heatmap
from causal_widget.graph import FilterGraph, Layer, Wiring, trace
from causal_widget.interventions import (
    Constant,
    Edits,
    Intervention,
    Mean,
    Noise,
    PathEdit,
    Resample,
    Scale,
    UnitEdit,
    Zero,
    edited,
    intervene,
)
from causal_widget.jobs import Progress, bar
from causal_widget.pruning import PruningCurve, pruning_curve, remove_filters
from causal_widget.responses import (
    Collection,
    RandomInterventions,
    ResponseSet,
    collect,
    raw_bytes,
    read_responses,
    transforms,
)
from causal_widget.scm import StructuralCausalModel, fit
from causal_widget.scm.cross_prediction import cross_prediction
from causal_widget.scm.error_table import error_table
from causal_widget.scm.local import LocalCoefficients, local_coefficients
from causal_widget.widget import CausalWidget

__all__ = [
    "ArgumentError",
    "Cancelled",
    "CausalCNNExplainer",
    "CausalWidget",
    "CausalWidgetError",
    "Collection",
    "Constant",
    "DataError",
    "DeviceError",
    "Edits",
    "Effect",
    "EffectPlan",
    "EffectRanking",
    "Effects",
    "Evaluation",
    "Fidelity",
    "FilterGraph",
    "Intervention",
    "Layer",
    "LocalCoefficients",
    "Mean",
    "Noise",
    "NonFiniteError",
    "OrderError",
    "PathEdit",
    "Progress",
    "PruningCurve",
    "RandomInterventions",
    "Resample",
    "ResponseSet",
    "Scale",
    "Stability",
    "StrengthStability",
    "StructuralCausalModel",
    "UnitEdit",
    "UnknownNameError",
    "UnsupportedModelError",
    "Verdicts",
    "Wiring",
    "Zero",
    "__version__",
    "bar",
    "collect",
    "cross_prediction",
    "edited",
    "effect_of",
    "error_table",
    "evaluate",
    "fidelity",
    "fit",
    "heatmap",
    "intervene",
    "list_devices",
    "local_coefficients",
    "network_effects",
    "outcomes_table",
    "plan_effects",
    "predict_accuracy",
    "predict_removal",
    "pruning_curve",
    "raw_bytes",
    "read_responses",
    "remove_filters",
    "samples",
    "stability_over_strength",
    "trace",
    "transforms",
]
