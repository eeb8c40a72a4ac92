"""Images for choosing and images for estimating, never the same."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from causal_widget.effects.statistics.checks import check_share, check_whole
from causal_widget.errors import ArgumentError, check_seed

__all__ = ["split_images"]


def split_images(
    n: int, split: float = 0.5, *, seed: int = 0
) -> tuple[Int64[np.ndarray, " chosen"], Int64[np.ndarray, " rest"]]:
    """Cut image numbers 0..n-1 at random in two parts, each in rising order.

    Parameters
    ----------
    n : int
        Images.
    split : float
        Share of the first part.
    seed : int

    Raises
    ------
    ArgumentError
        If a part would be empty.
    """
    count, share = check_whole(n, "n (images)", 2), check_share(split, "split")
    first = round(count * share)
    if not 0 < first < count:
        raise ArgumentError(f"split={split} of {count} images leaves one part empty")
    order = np.random.default_rng(check_seed(seed)).permutation(count)
    return np.sort(order[:first]), np.sort(order[first:])
