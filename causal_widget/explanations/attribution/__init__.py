"""Class-specific attributions: what critical units receive, and where in the image."""

from causal_widget.explanations.attribution.attribute import attribute
from causal_widget.explanations.attribution.by_class import class_attribution
from causal_widget.explanations.attribution.choice import ClassUnits
from causal_widget.explanations.attribution.receptive_field import Axis, ReceptiveField, receptive_fields
from causal_widget.explanations.attribution.result import Attribution

__all__ = [
    "Attribution",
    "Axis",
    "ClassUnits",
    "ReceptiveField",
    "attribute",
    "class_attribution",
    "receptive_fields",
]
