"""Is an effect above the least one, below its negative, or between: p-values, and images that would tell."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.special import ndtri

from causal_widget.effects.statistics.checks import Array
from causal_widget.effects.statistics.estimate import Estimate, chance_of_few
from causal_widget.effects.statistics.moments import images_needed

__all__ = ["POWER", "images_to_settle", "three_tests"]

POWER = 0.8
_DOUBLINGS = 20.0


def three_tests(one: Estimate, sign: Array, margin: Array) -> Float64[np.ndarray, "3 *question"]:
    """Give the p-values of critical, neutral and detrimental; see `verdicts`."""
    critical, detrimental = one.p_above(margin, sign), one.p_above(margin, -sign)
    neutral = np.maximum(one.p_above(-margin, sign), one.p_above(-margin, -sign))
    neutral = np.maximum(neutral, one.p_rare(margin))
    p = np.stack([critical, neutral, detrimental])
    on_edge = (one.se == 0) & (np.abs(sign * one.mean) == margin)
    p[:, on_edge | ~np.isfinite(one.se)] = 1.0
    alike = one.alike & ~one.whole
    return np.where(alike, np.maximum(p, 1 / (one.n + 1)), p)


def images_to_settle(
    one: Estimate, sign: Array, margin: Array, threshold: Array, least: int
) -> Float64[np.ndarray, "*question"]:
    """Give the images at which the distance to the nearer edge is found with a chance of 80 %.

    Parameters
    ----------
    one, sign, margin
        As for the tests.
    threshold : array, shape (question...)
        The p-value that must be reached.
    least : int
        Fewer are never enough.
    """
    distance = np.abs(np.abs(sign * one.mean) - margin)
    quantile = ndtri(POWER) + (-ndtri(threshold) if one.looks is None else one.looks.quantile(threshold))
    sd = np.where(np.isfinite(one.per_image), one.per_image, np.inf)
    alone = images_needed(sd, distance, quantile, None)
    with np.errstate(divide="ignore"):
        more = np.maximum(1 / (1 / alone + 1 / np.maximum(one.frame, 1)), one.n + 1.0)
    more = np.maximum(more, _images_for_rare(one, np.abs(one.mean) < margin, margin, threshold))
    more = np.where(
        (sd == 0) | one.alike, np.maximum(more, np.ceil(1 / threshold)), more
    )  # p is at least 1 / (n + 1)
    return np.asarray(np.ceil(np.minimum(np.maximum(more, least), one.frame)))


def _images_for_rare(
    one: Estimate, inside: NDArray[np.bool_], margin: Array, threshold: Array
) -> Float64[np.ndarray, "*question"]:
    """Find by halving how many images, with effects as those seen, make `Estimate.p_rare` small enough."""
    found = np.zeros(one.mean.shape)
    late = inside & (one.p_rare(margin) > threshold)
    if one.jump is None or not late.any():
        return found
    n, mean, jump = np.maximum(one.n[late], 1), one.mean[late], one.jump[late]
    edge, wanted = margin[late], np.broadcast_to(threshold, one.mean.shape)[late]
    low, high = np.zeros(n.shape), np.full(n.shape, _DOUBLINGS)
    for _ in range(24):
        middle = (low + high) / 2
        small = chance_of_few(n * 2**middle, mean, jump, edge) <= wanted
        low, high = np.where(small, low, middle), np.where(small, middle, high)
    found[late] = np.where(high < _DOUBLINGS, n * 2**high, np.inf)
    return found
