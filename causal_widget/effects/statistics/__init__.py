"""How sure an effect is: moments, control variates, anytime-valid intervals, verdicts, stability."""

from causal_widget.effects.statistics.agreement import agreement, halves
from causal_widget.effects.statistics.anytime import Looks
from causal_widget.effects.statistics.asymptotic import asymptotic_half_width, asymptotic_interval
from causal_widget.effects.statistics.bernstein import BernsteinSequence
from causal_widget.effects.statistics.bootstrap import bootstrap_means
from causal_widget.effects.statistics.control import Controlled, controlled, controlled_both_ways
from causal_widget.effects.statistics.corrections import (
    CORRECTIONS,
    benjamini_hochberg,
    benjamini_yekutieli,
    corrected,
)
from causal_widget.effects.statistics.estimate import Estimate
from causal_widget.effects.statistics.looks import controlled_looks
from causal_widget.effects.statistics.minimum import minimum_effect
from causal_widget.effects.statistics.moments import EffectMoments, images_needed, spread_of_mean
from causal_widget.effects.statistics.pairs import PairMoments
from causal_widget.effects.statistics.ranks import ORDERS, ranks_of, top_overlap
from causal_widget.effects.statistics.settled import Settled, settled
from causal_widget.effects.statistics.shrinkage import shrunken, spread_of_bias
from causal_widget.effects.statistics.split import split_images
from causal_widget.effects.statistics.stability import (
    Stability,
    stability,
    stability_of_draws,
    stability_of_estimates,
)
from causal_widget.effects.statistics.verdicts import KINDS, VERDICTS, Verdicts, verdicts

__all__ = [
    "CORRECTIONS",
    "KINDS",
    "ORDERS",
    "VERDICTS",
    "BernsteinSequence",
    "Controlled",
    "EffectMoments",
    "Estimate",
    "Looks",
    "PairMoments",
    "Settled",
    "Stability",
    "Verdicts",
    "agreement",
    "asymptotic_half_width",
    "asymptotic_interval",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "bootstrap_means",
    "controlled",
    "controlled_both_ways",
    "controlled_looks",
    "corrected",
    "halves",
    "images_needed",
    "minimum_effect",
    "ranks_of",
    "settled",
    "shrunken",
    "split_images",
    "spread_of_bias",
    "spread_of_mean",
    "stability",
    "stability_of_draws",
    "stability_of_estimates",
    "top_overlap",
    "verdicts",
]
