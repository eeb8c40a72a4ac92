"""Random numbers by counter: each belongs to an image's number, whatever is asked before or beside it."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import ArrayLike, NDArray

from causal_widget.errors import check_seed

__all__ = ["in_selection", "poisson_weights"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_HALVES, _DRAWS = 1, 2
_MOST = 20
Bits = NDArray[np.uint64]


def in_selection(seed: int, index: ArrayLike) -> Bool[np.ndarray, " image"]:
    """Say which images belong to the half that chooses what is asked; the others estimate.

    Every image by a fair coin of its own, so that each half is a simple random sample of the images.

    Parameters
    ----------
    seed : int
    index : array of int, shape (image,)
        The images' numbers.
    """
    return np.asarray(_bits(seed, index, _HALVES, 1)[:, 0] >> np.uint64(63) == 1)


def poisson_weights(seed: int, index: ArrayLike, draws: int) -> Float64[np.ndarray, "image draw"]:
    """Give how often each image comes in each of the bootstrap's draws: Poisson with mean 1.

    The Poisson bootstrap (Oza and Russell 2001; Chamandy and others 2012) needs no table of all images: sums
    are updated batch by batch, and parts measured apart are added.

    Parameters
    ----------
    seed : int
    index : array of int, shape (image,)
        The images' numbers.
    draws : int
    """
    numbers = np.asarray(index, dtype=np.int64)
    return _weights(check_seed(seed), numbers.tobytes(), draws)


@lru_cache(maxsize=4)
def _weights(seed: int, index: bytes, draws: int) -> Float64[np.ndarray, "image draw"]:
    bits = _bits(seed, np.frombuffer(index, np.int64), _DRAWS, draws)
    uniform = (bits >> np.uint64(11)) * 2.0**-53
    found = np.searchsorted(_DISTRIBUTION, uniform, side="right").astype(np.float64)
    found.flags.writeable = False
    return found


_DISTRIBUTION = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(_MOST)])


def _bits(seed: int, index: ArrayLike, purpose: int, count: int) -> Bits:
    """Give 64 random bits for each image and counter (Steele, Lea and Flood 2014, SplitMix64)."""
    start = np.array([check_seed(seed) * 4 + purpose], np.uint64)
    images = np.asarray(index).astype(np.uint64)
    keys = _mixed(_mixed(start + _STEP) ^ _mixed(images * _STEP + _STEP))
    counters = np.arange(1, count + 1, dtype=np.uint64)
    return _mixed(keys[:, None] + counters * _STEP)


def _mixed(x: Bits) -> Bits:
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        x = (x ^ (x >> shift)) * multiplier
    return np.asarray(x ^ (x >> _SHIFTS[2]))
