"""Whether graphs of classes can be relied on: over betas, under masks, and for repair."""

from causal_widget.evaluation.class_graphs.masking import mask_classes
from causal_widget.evaluation.class_graphs.masking_result import ClassMasking
from causal_widget.evaluation.class_graphs.reliability import plan_reliability, reliability
from causal_widget.evaluation.class_graphs.reliability_plan import ReliabilityPlan
from causal_widget.evaluation.class_graphs.reliability_result import Reliability
from causal_widget.evaluation.class_graphs.repair import repair
from causal_widget.evaluation.class_graphs.repair_result import RepairCurve
from causal_widget.evaluation.class_graphs.repaired import Repaired
from causal_widget.evaluation.class_graphs.repairing import repair_curve

__all__ = [
    "ClassMasking",
    "Reliability",
    "ReliabilityPlan",
    "RepairCurve",
    "Repaired",
    "mask_classes",
    "plan_reliability",
    "reliability",
    "repair",
    "repair_curve",
]
