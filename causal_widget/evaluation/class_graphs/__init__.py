"""Whether graphs of classes can be relied on: over betas, under masks, and for repair."""

from causal_widget.evaluation.class_graphs.reliability import plan_reliability, reliability
from causal_widget.evaluation.class_graphs.reliability_plan import ReliabilityPlan
from causal_widget.evaluation.class_graphs.reliability_result import Reliability

__all__ = ["Reliability", "ReliabilityPlan", "plan_reliability", "reliability"]
