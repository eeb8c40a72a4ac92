"""Pruning: curves of accuracy over the share of filters removed, and copies with filters removed."""

from causal_widget.pruning.choose import lowest, prunable, random_order, ranking
from causal_widget.pruning.curve import PruningCurve
from causal_widget.pruning.remove import remove_filters
from causal_widget.pruning.running import pruning_curve

__all__ = ["PruningCurve", "lowest", "prunable", "pruning_curve", "random_order", "ranking", "remove_filters"]
