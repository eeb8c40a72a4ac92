"""`CausalCNNExplainer`, the facade that notebooks start from."""

from causal_widget.explainer.example import guess_example
from causal_widget.explainer.facade import CausalCNNExplainer

__all__ = ["CausalCNNExplainer", "guess_example"]
