"""Matplotlib figures of every result, from plain arrays.

Nothing here imports another room, so any result may draw itself. Every function gives a `Picture`, which a
notebook shows once, as the value of its cell: pyplot does not know of it.
"""

from causal_widget.plots.curves import effect_bars, pruning_lines
from causal_widget.plots.effects import effect_ranking, strength_lines
from causal_widget.plots.embedding import filter_embedding
from causal_widget.plots.images import filter_weights, heatmap_overlay
from causal_widget.plots.importance import importance_distribution
from causal_widget.plots.style import Picture

__all__ = [
    "Picture",
    "effect_bars",
    "effect_ranking",
    "filter_embedding",
    "filter_weights",
    "heatmap_overlay",
    "importance_distribution",
    "pruning_lines",
    "strength_lines",
]
