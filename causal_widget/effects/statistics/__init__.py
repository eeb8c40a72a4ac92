"""How sure an effect is: moments, control variates, anytime-valid intervals, verdicts, stability."""

from causal_widget.effects.statistics.asymptotic import asymptotic_half_width, asymptotic_interval
from causal_widget.effects.statistics.bernstein import BernsteinSequence
from causal_widget.effects.statistics.control import (
    Controlled,
    PairMoments,
    controlled,
    controlled_both_ways,
)
from causal_widget.effects.statistics.corrections import (
    CORRECTIONS,
    benjamini_hochberg,
    benjamini_yekutieli,
    corrected,
)
from causal_widget.effects.statistics.minimum import minimum_effect
from causal_widget.effects.statistics.moments import EffectMoments, images_needed, spread_of_mean
from causal_widget.effects.statistics.settled import ORDERS, Settled, settled
from causal_widget.effects.statistics.split import split_images
from causal_widget.effects.statistics.verdicts import KINDS, VERDICTS, Verdicts, verdicts

__all__ = [
    "CORRECTIONS",
    "KINDS",
    "ORDERS",
    "VERDICTS",
    "BernsteinSequence",
    "Controlled",
    "EffectMoments",
    "PairMoments",
    "Settled",
    "Verdicts",
    "asymptotic_half_width",
    "asymptotic_interval",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "controlled",
    "controlled_both_ways",
    "corrected",
    "images_needed",
    "minimum_effect",
    "settled",
    "split_images",
    "spread_of_mean",
    "verdicts",
]
