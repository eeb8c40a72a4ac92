"""Exact effects on the network: what an intervention does to its answers, and how sure that is."""

from causal_widget.effects.effect import ClassEffect, Effect
from causal_widget.effects.forward import for_each_setting, in_halves, sizes_said
from causal_widget.effects.running import effect_of, evaluate
from causal_widget.responses.evaluation import Evaluation
from causal_widget.responses.paired import Paired, paired

__all__ = [
    "ClassEffect",
    "Effect",
    "Evaluation",
    "Paired",
    "effect_of",
    "evaluate",
    "for_each_setting",
    "in_halves",
    "paired",
    "sizes_said",
]
