"""What do() does to a running network, and where."""

from causal_widget.interventions.intervention import Intervention, Units
from causal_widget.interventions.running import Lever, intervene

__all__ = ["Intervention", "Lever", "Units", "intervene"]
