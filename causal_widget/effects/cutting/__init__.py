"""Run again only what lies below a change, to the same numbers as the whole network."""

from causal_widget.effects.cutting.batch_dependent import refuse_batch_dependent
from causal_widget.effects.cutting.changed import Change, ChangedLogits, changed_logits
from causal_widget.effects.cutting.cut_model import CutModel
from causal_widget.effects.cutting.pace import BUDGET, Pace
from causal_widget.effects.cutting.places import Place
from causal_widget.effects.cutting.singles import Block, single_effects
from causal_widget.effects.cutting.state import CutState
from causal_widget.effects.cutting.whole_model import WholeModel, WholeState

__all__ = [
    "BUDGET",
    "Block",
    "Change",
    "ChangedLogits",
    "CutModel",
    "CutState",
    "Pace",
    "Place",
    "WholeModel",
    "WholeState",
    "changed_logits",
    "refuse_batch_dependent",
    "single_effects",
]
