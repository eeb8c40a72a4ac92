"""The display: traits, protocol, worker thread and static page; nothing is computed here."""

from causal_widget.widget.widget import CausalWidget

__all__ = ["CausalWidget"]
