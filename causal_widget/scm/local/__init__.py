"""Structural equations local to an image: what each unit adds to its outcome, from gradients."""

from causal_widget.scm.local.coefficients import LocalCoefficients
from causal_widget.scm.local.fitting import FRACTIONS, PASSES, local_bytes, local_coefficients
from causal_widget.scm.local.outcomes import margin_of

__all__ = ["FRACTIONS", "PASSES", "LocalCoefficients", "local_bytes", "local_coefficients", "margin_of"]
