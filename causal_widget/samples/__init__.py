"""The embedded demo: a small trained CNN and scikit-learn's handwritten digits, offline and at once."""

from causal_widget.samples._digits import Digits, digits
from causal_widget.samples._lenet import LeNet

__all__ = ["Digits", "LeNet", "digits"]
