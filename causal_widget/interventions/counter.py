"""Random numbers that belong to an image, not to a moment: the same whatever batch the image comes in.

A counter-based generator has no state to advance: number k of stream s is a hash of (s, k). The hash is the
finaliser of splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators",
OOPSLA, figure 17), folded over the counters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def bits(seed: int, counters: Iterable[Int[Tensor, "..."]]) -> Int[Tensor, "..."]:
    """Give 64 random bits for each combination of counters.

    Parameters
    ----------
    seed : int
        The stream.
    counters : iterable of int64 Tensor
        Of shapes that broadcast with each other.

    Returns
    -------
    Tensor of int64
        Of the broadcast shape; all 64 bits are random, so half of the numbers are negative.
    """
    state = torch.tensor(_signed(seed), dtype=torch.int64)
    for counter in counters:
        state = _mixed(state.to(counter.device) + (counter.long() + 1) * _signed(_GOLDEN))
    return state


def choice(seed: int, counter: Int[Tensor, "..."], n: int) -> Int[Tensor, "..."]:
    """Give for each counter one of 0 to n - 1, each as likely (but for n / 2**53)."""
    return (_uniform(bits(seed, [counter]), 53) * n).long()


def normals(seed: int, counters: Iterable[Int[Tensor, "..."]]) -> Float[Tensor, "..."]:
    """Give a standard normal float64 number for each combination of counters (Box and Muller 1958)."""
    drawn = bits(seed, counters)
    radius = torch.sqrt(-2 * torch.log(_uniform(drawn, 32) + 2.0**-33))
    return radius * torch.cos(2 * math.pi * _uniform(drawn << 32, 32))


def _uniform(drawn: Int[Tensor, "..."], depth: int) -> Float[Tensor, "..."]:
    """Read the highest bits as a number in [0, 1)."""
    return _shifted(drawn, 64 - depth).double() * 2.0**-depth


def _mixed(state: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    state = (state ^ _shifted(state, 30)) * _signed(_FIRST)
    state = (state ^ _shifted(state, 27)) * _signed(_SECOND)
    return state ^ _shifted(state, 31)


def _shifted(state: Int[Tensor, "..."], by: int) -> Int[Tensor, "..."]:
    """Shift to the right as if the number had no sign."""
    return (state >> by) & ((1 << (64 - by)) - 1)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
