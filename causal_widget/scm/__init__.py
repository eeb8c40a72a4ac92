"""Structural equations fitted from moments, and the causal model that they make of a filter graph."""

from causal_widget.scm.counterfactual import Counterfactual
from causal_widget.scm.do import Submodel, do
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.equations_table import Equations
from causal_widget.scm.expectation import Expectation
from causal_widget.scm.fit import ESTIMATORS, RIDGE, fit
from causal_widget.scm.learned import LearnedEquations
from causal_widget.scm.model import StructuralCausalModel
from causal_widget.scm.ranking import LayerRanking, Ranking
from causal_widget.scm.sanity import Sanity
from causal_widget.scm.silencing import SilencingLosses
from causal_widget.scm.total import TotalEffects

__all__ = [
    "ESTIMATORS",
    "RIDGE",
    "Counterfactual",
    "Equations",
    "Expectation",
    "LayerEquations",
    "LayerRanking",
    "LearnedEquations",
    "Ranking",
    "Sanity",
    "SilencingLosses",
    "StructuralCausalModel",
    "Submodel",
    "TotalEffects",
    "do",
    "fit",
]
