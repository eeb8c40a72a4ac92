"""How stable and how faithful attributions are: ours, others' and controls, on one code path."""

from causal_widget.evaluation.attributions.compare import (
    ATTRIBUTION_METHODS,
    CONTROLS,
    compare_attributions,
)
from causal_widget.evaluation.attributions.comparison import AttributionComparison
from causal_widget.evaluation.attributions.irof import Removals, irof
from causal_widget.evaluation.attributions.libraries import MissingLibraryError
from causal_widget.evaluation.attributions.lipschitz import local_lipschitz
from causal_widget.evaluation.attributions.method import Method, as_method, normalised
from causal_widget.evaluation.attributions.perturbations import rise_with
from causal_widget.evaluation.attributions.scores import MethodScores
from causal_widget.evaluation.attributions.superpixels import superpixels

__all__ = [
    "ATTRIBUTION_METHODS",
    "CONTROLS",
    "AttributionComparison",
    "Method",
    "MethodScores",
    "MissingLibraryError",
    "Removals",
    "as_method",
    "compare_attributions",
    "irof",
    "local_lipschitz",
    "normalised",
    "rise_with",
    "superpixels",
]
