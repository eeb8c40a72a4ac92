"""Which images are held out, and in which fold the others are: a seeded hash of the image's index.

No order or state is involved, so batch size and resumption do not change the split.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64
from numpy.typing import NDArray

from causal_widget.errors import ArgumentError

__all__ = ["HELD_OUT", "Split", "check_share", "held_out", "uniform"]

HELD_OUT = -1
_FOLDS = 0xF01D
_MOST_FOLDS = 64
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
    return Split(share, 1, seed).held_out(np.arange(first, first + n_images))


def uniform(counter: NDArray[np.integer], key: int | UInt64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Return a number in [0, 1) for every counter and key (which are broadcast), by splitmix64."""
    return (scrambled(counter, key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def scrambled(
    counter: NDArray[np.integer], key: int | UInt64[np.ndarray, "..."]
) -> UInt64[np.ndarray, "..."]:
    """Return the 64 bits that splitmix64 gives a counter under a key: ``mix((counter + 1 + key) gamma)``."""
    start = np.uint64(key & _MASK) if isinstance(key, int) else key
    z = (np.asarray(counter).astype(np.uint64) + np.uint64(1) + start) * np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX_A)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX_B)
    return np.asarray(z ^ (z >> np.uint64(31)))


def stream(seed: int, name: int) -> int:
    """Return the key of a stream of numbers of its own."""
    return int(scrambled(np.array([name]), seed * _GOLDEN)[0])


@dataclass(frozen=True)
class Split:
    """How images are cut into folds and a held-out part.

    Attributes
    ----------
    share
        Of the images, held out.
    folds
        Number of folds that the other images are cut into.
    seed
        Of the hash.

    Raises
    ------
    ArgumentError
        The share is not in [0, 1), or the folds are no whole number from 1 to 64.
    """

    share: float
    folds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_share(self.share)
        whole = isinstance(self.folds, Integral) and not isinstance(self.folds, bool)
        if not whole or not 1 <= self.folds <= _MOST_FOLDS:
            raise ArgumentError(
                f"folds is {self.folds!r:.80}; expected a whole number from 1 to {_MOST_FOLDS}."
            )

    @property
    def sets(self) -> int:
        """How many sets of moments are kept: one a fold, and one of the images held out."""
        return self.folds + bool(self.share)

    def held_out(self, index: NDArray[np.integer]) -> Bool[np.ndarray, " image"]:
        """Return which of the images with these indices are held out."""
        return uniform(index, self.seed * _GOLDEN) < self.share

    def fold(self, index: NDArray[np.integer]) -> Int64[np.ndarray, " image"]:
        """Return the fold of each image, `HELD_OUT` (-1) for those held out."""
        fold = (uniform(index, stream(self.seed, _FOLDS)) * self.folds).astype(np.int64)
        fold[self.held_out(index)] = HELD_OUT
        return fold
