"""Moments over those images in which a question's edit changes anything."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.checks import Array, as_effects
from causal_widget.effects.statistics.moments import EffectMoments, column_sums
from causal_widget.effects.statistics.pairs import PairMoments
from causal_widget.errors import ArgumentError

__all__ = ["moments_where", "pairs_where"]

Mask = Bool[np.ndarray, "image question 1"]


def moments_where(effects: ArrayLike, changed: ArrayLike) -> EffectMoments:
    """Give the moments of the effects (image, question, column) of the images marked (image, question)."""
    values = as_effects(effects)
    mask = _mask(values, changed)
    n, mean = _mean(values, mask)
    centred = (values - mean) * mask
    return EffectMoments(n, mean, column_sums(centred * centred))


def pairs_where(exact: ArrayLike, cheap: ArrayLike, changed: ArrayLike) -> PairMoments:
    """Give the moments of pairs (image, question, column) of the images marked (image, question)."""
    e, g = as_effects(exact, "exact effects"), as_effects(cheap, "cheap estimates")
    if e.shape != g.shape:
        raise ArgumentError(f"exact effects {e.shape} and cheap estimates {g.shape} must have one shape")
    first, second, mask = moments_where(e, changed), moments_where(g, changed), _mask(e, changed)
    return PairMoments(first, second, column_sums((e - first.mean) * (g - second.mean) * mask))


def _mean(values: Array, mask: Mask) -> tuple[np.ndarray, Array]:
    n = np.broadcast_to(mask.sum(axis=0), values.shape[1:]).astype(np.int64)
    return n, column_sums(values * mask) / np.maximum(n, 1)


def _mask(values: Array, changed: ArrayLike) -> Mask:
    mask = np.asarray(changed)
    if values.ndim != 3 or mask.dtype != np.bool_ or mask.shape != values.shape[:2]:
        raise ArgumentError(
            f"effects must be (image, question, column) and changed bool (image, question), "
            f"got {values.shape} and {mask.dtype} {mask.shape}"
        )
    return mask[..., None]
