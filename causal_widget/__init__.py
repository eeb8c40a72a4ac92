"""Show a trained CNN's filters as a causal graph, and intervene on them."""

from causal_widget import samples
from causal_widget._version import __version__

__all__ = ["__version__", "samples"]
