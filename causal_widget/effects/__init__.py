"""Exact effects on the network: what an intervention does to its answers, and how sure that is."""

from causal_widget.effects.cutting import CutModel, WholeModel, refuse_batch_dependent, single_effects
from causal_widget.effects.effect import ClassEffect, Effect
from causal_widget.effects.effects import Effects
from causal_widget.effects.forward import for_each_setting, in_halves, sizes_said
from causal_widget.effects.outcomes import OUTCOMES, Outcome, outcome, outcomes, outcomes_table
from causal_widget.effects.plan import EffectPlan, plan_effects
from causal_widget.effects.ranking import EffectRanking
from causal_widget.effects.running import effect_of, evaluate
from causal_widget.effects.statistics import VERDICTS, Stability, Verdicts
from causal_widget.effects.strength import StrengthStability, stability_over_strength
from causal_widget.responses.evaluation import Evaluation
from causal_widget.responses.paired import Paired, paired

__all__ = [
    "OUTCOMES",
    "VERDICTS",
    "ClassEffect",
    "CutModel",
    "Effect",
    "EffectPlan",
    "EffectRanking",
    "Effects",
    "Evaluation",
    "Outcome",
    "Paired",
    "Stability",
    "StrengthStability",
    "Verdicts",
    "WholeModel",
    "effect_of",
    "evaluate",
    "for_each_setting",
    "in_halves",
    "outcome",
    "outcomes",
    "outcomes_table",
    "paired",
    "plan_effects",
    "refuse_batch_dependent",
    "single_effects",
    "sizes_said",
    "stability_over_strength",
]
