"""How far to believe a causal model, and how stable and faithful attributions are."""

from causal_widget.evaluation.attributions import (
    ATTRIBUTION_METHODS,
    AttributionComparison,
    MethodScores,
    Removals,
    compare_attributions,
    irof,
    local_lipschitz,
    superpixels,
)
from causal_widget.evaluation.class_graphs import (
    ClassMasking,
    Reliability,
    ReliabilityPlan,
    RepairCurve,
    Repaired,
    mask_classes,
    plan_reliability,
    reliability,
    repair,
    repair_curve,
)
from causal_widget.evaluation.coar import Coar, coar_of, ridge_of
from causal_widget.evaluation.elsewhere import Elsewhere, predict_accuracy
from causal_widget.evaluation.fidelity import Fidelity, fidelity
from causal_widget.evaluation.foreseen import Foreseen, from_logits, scored
from causal_widget.evaluation.kinds import KINDS
from causal_widget.evaluation.methods import METHODS, by_equations, by_local, of_local
from causal_widget.evaluation.network import network_effects
from causal_widget.evaluation.removal import Removal, predict_removal
from causal_widget.evaluation.scores import Score
from causal_widget.evaluation.truth import Truth, truth_under

__all__ = [
    "ATTRIBUTION_METHODS",
    "KINDS",
    "METHODS",
    "AttributionComparison",
    "ClassMasking",
    "Coar",
    "Elsewhere",
    "Fidelity",
    "Foreseen",
    "MethodScores",
    "Reliability",
    "ReliabilityPlan",
    "Removal",
    "Removals",
    "RepairCurve",
    "Repaired",
    "Score",
    "Truth",
    "by_equations",
    "by_local",
    "coar_of",
    "compare_attributions",
    "fidelity",
    "from_logits",
    "irof",
    "local_lipschitz",
    "mask_classes",
    "network_effects",
    "of_local",
    "plan_reliability",
    "predict_accuracy",
    "predict_removal",
    "reliability",
    "repair",
    "repair_curve",
    "ridge_of",
    "scored",
    "superpixels",
    "truth_under",
]
