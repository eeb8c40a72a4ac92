"""What was measured of one group's questions: arrays in, arrays out."""

from causal_widget.effects.evidence.controlled import ControlledEvidence
from causal_widget.effects.evidence.exact import ExactEvidence
from causal_widget.effects.evidence.kinds import KINDS, Evidence, kind_of
from causal_widget.effects.evidence.plain import moments_arrays, moments_from
from causal_widget.effects.evidence.stratified import StratifiedEvidence

__all__ = [
    "KINDS",
    "ControlledEvidence",
    "Evidence",
    "ExactEvidence",
    "StratifiedEvidence",
    "kind_of",
    "moments_arrays",
    "moments_from",
]
