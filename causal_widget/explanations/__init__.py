"""Where in the image: maps of what filters respond to, and of what an intervention changes."""

from causal_widget.explanations.attribution import Attribution, ReceptiveField, attribute, receptive_fields
from causal_widget.explanations.heatmaps import difference, heatmap

__all__ = ["Attribution", "ReceptiveField", "attribute", "difference", "heatmap", "receptive_fields"]
