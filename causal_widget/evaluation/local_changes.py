"""What local coefficients foresee of the true class's logit and of the margin."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from causal_widget.errors import DataError
from causal_widget.evaluation.truth import margins, true_logits
from causal_widget.scm.local import LocalCoefficients
from causal_widget.scm.local.answering import MOST_CLASSES

__all__ = ["PAIR", "local_changes", "outcomes_for"]

PAIR = ("true", "margin")


def outcomes_for(classes: int) -> object:
    """Say what to measure: all classes, or of very many the true one and the margin alone."""
    return "all" if classes <= MOST_CLASSES else PAIR


def local_changes(
    local: LocalCoefficients, masks: Bool[np.ndarray, "mask unit"]
) -> Float64[np.ndarray, "image mask 2"]:
    """Foresee how true logit and margin change under sets of silenced units.

    From the logits of all classes where these were measured, else from the two themselves.

    Raises
    ------
    DataError
        If the images had no labels.
    """
    if local.labels is None:
        raise DataError("the images have no labels; the true class's logit and the margin need them")
    found, labels = local.predict_masks(masks), np.asarray(local.labels)
    if set(PAIR) <= set(local.outcomes):
        return found[..., [local.outcome(name) for name in PAIR]]
    own = local.logits[:, None]
    change = found[..., [local.outcome(k) for k in range(own.shape[-1])]]
    margin = margins(own + change, labels) - margins(own, labels)
    return np.stack([true_logits(change, labels), margin], axis=2)
