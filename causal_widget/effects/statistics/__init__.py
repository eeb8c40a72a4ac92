"""How sure an effect is: moments, control variates, anytime-valid intervals, verdicts, stability."""

from causal_widget.effects.statistics.asymptotic import asymptotic_half_width, asymptotic_interval
from causal_widget.effects.statistics.bernstein import BernsteinSequence
from causal_widget.effects.statistics.control import (
    Controlled,
    PairMoments,
    controlled,
    controlled_both_ways,
)
from causal_widget.effects.statistics.moments import EffectMoments, images_needed, spread_of_mean
from causal_widget.effects.statistics.settled import ORDERS, Settled, settled

__all__ = [
    "ORDERS",
    "BernsteinSequence",
    "Controlled",
    "EffectMoments",
    "PairMoments",
    "Settled",
    "asymptotic_half_width",
    "asymptotic_interval",
    "controlled",
    "controlled_both_ways",
    "images_needed",
    "settled",
    "spread_of_mean",
]
