"""How sure an effect is: moments, control variates, anytime-valid intervals, verdicts, stability."""

from causal_widget.effects.statistics.control import (
    Controlled,
    PairMoments,
    controlled,
    controlled_both_ways,
)
from causal_widget.effects.statistics.moments import EffectMoments, images_needed, spread_of_mean

__all__ = [
    "Controlled",
    "EffectMoments",
    "PairMoments",
    "controlled",
    "controlled_both_ways",
    "images_needed",
    "spread_of_mean",
]
