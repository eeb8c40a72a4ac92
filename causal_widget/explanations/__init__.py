"""Where in the image: maps of what filters respond to, and of what an intervention changes."""

from causal_widget.explanations.heatmaps import difference, heatmap

__all__ = ["difference", "heatmap"]
