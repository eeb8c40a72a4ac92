"""Structural equations fitted from moments, and the causal model that they make of a filter graph."""

from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.fit import ESTIMATORS, RIDGE, fit
from causal_widget.scm.model import StructuralCausalModel

__all__ = ["ESTIMATORS", "RIDGE", "LayerEquations", "StructuralCausalModel", "fit"]
