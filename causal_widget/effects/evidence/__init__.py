"""What was measured of one group's questions: arrays in, arrays out."""

from causal_widget.effects.evidence.controlled import ControlledEvidence
from causal_widget.effects.evidence.exact import ExactEvidence
from causal_widget.effects.evidence.plain import moments_arrays, moments_from

__all__ = ["ControlledEvidence", "ExactEvidence", "moments_arrays", "moments_from"]
