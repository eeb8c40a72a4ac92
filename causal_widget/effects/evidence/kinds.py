"""The kinds of evidence, by the names under which they are saved."""

from __future__ import annotations

from collections.abc import Mapping

from causal_widget.effects.evidence.controlled import ControlledEvidence
from causal_widget.effects.evidence.exact import ExactEvidence
from causal_widget.effects.evidence.stratified import StratifiedEvidence

__all__ = ["KINDS", "Evidence", "kind_of"]

Evidence = ExactEvidence | ControlledEvidence | StratifiedEvidence
KINDS: Mapping[str, type[Evidence]] = {
    "exact": ExactEvidence,
    "controlled": ControlledEvidence,
    "stratified": StratifiedEvidence,
}


def kind_of(evidence: Evidence) -> str:
    """Give the name of a kind."""
    return next(name for name, kind in KINDS.items() if isinstance(evidence, kind))
