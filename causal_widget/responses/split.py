"""Which images are held out: a seeded hash of the image's index, so no order or state is involved."""

from __future__ import annotations

from numbers import Real

import numpy as np
from jaxtyping import Bool

from causal_widget.errors import ArgumentError

_GOLDEN, _MIX_A, _MIX_B = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def check_share(share: float) -> float:
    """Return the held-out share.

    Raises
    ------
    ArgumentError
        Not in [0, 1).
    """
    if not isinstance(share, Real) or not 0 <= share < 1:
        raise ArgumentError(
            f"holdout is {share!r:.80}; expected a share of the images from 0 up to, not including, 1."
        )
    return float(share)


def held_out(first: int, n_images: int, share: float, seed: int = 0) -> Bool[np.ndarray, " image"]:
    """Return which of the images first, first + 1, ... are held out.

    Each image draws a number from its index by splitmix64 (Steele, Lea and Flood 2014, "Fast Splittable
    Pseudorandom Number Generators"), so batch size and resumption do not change the split.
    """
    start = (first + 1 + seed * _GOLDEN) & _MASK
    z = (np.arange(n_images, dtype=np.uint64) + np.uint64(start)) * np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX_A)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX_B)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53 < share
