"""The random interventions under which gradients are taken: few, and each unit silenced equally often."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from jaxtyping import Bool, Float64

from causal_widget.errors import ArgumentError

__all__ = ["Contexts", "checked_contexts"]


@dataclass(frozen=True)
class Contexts:
    """Shares of the units that are silenced, and how many random sets are drawn at each.

    Attributes
    ----------
    fractions : tuple of float
        Ascending, the first is 0: the network as it is.
    passes : tuple of int
        Random sets an image at each fraction; 1 at 0, where there is only one.
    units : int
        How many units there are to silence.
    """

    fractions: tuple[float, ...]
    passes: tuple[int, ...]
    units: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many units are silenced at each fraction."""
        return tuple(_size(share, self.units) for share in self.fractions)

    @property
    def exact(self) -> Float64[np.ndarray, " context"]:
        """The fractions that whole numbers of units make."""
        return np.array(self.sizes) / self.units

    def draw(self, context: int, seed: int, image: int) -> Bool[np.ndarray, "pass unit"]:
        """Draw one image's silenced units.

        Each set alone is a uniformly random one of its size. Together they go round one random order of the
        units, so that in a few passes no unit is silenced twice while another never is.

        Parameters
        ----------
        context : int
            Which fraction.
        seed, image : int
            The same two numbers give the same sets, whatever the batch that the image comes in.
        """
        passes, size = self.passes[context], self.sizes[context]
        order = np.random.default_rng([seed, context, image]).permutation(self.units)
        places = np.arange(passes * size).reshape(passes, size) % self.units
        silenced = np.zeros((passes, self.units), dtype=bool)
        np.put_along_axis(silenced, order[places], True, axis=1)
        return silenced

    def weights(self, fraction: Float64[np.ndarray, " asked"]) -> Float64[np.ndarray, "asked context"]:
        """Give what each context counts for sets of that fraction: linear between neighbours, 1 in all.

        Beyond the last context, that one.
        """
        nodes = self.exact
        return np.stack([np.interp(fraction, nodes, row) for row in np.eye(len(nodes))], axis=-1)


def checked_contexts(fractions: object, passes: object, units: int) -> Contexts:
    """Check and sort what a person asked for.

    Parameters
    ----------
    fractions : iterable of float
        From 0 to below 1, each once; 0 is added where it is missing. Of a small network two fractions may
        make sets of the same size: they become one, with the passes of both.
    passes : int or sequence of int
        Random sets at each fraction, one number for all or one a fraction; at 0 there is always 1.
    units : int
        Units of the network that can be silenced.

    Raises
    ------
    ArgumentError
        If they are not that.
    """
    shares = _shares(fractions)
    counts = _counts(passes, len(shares))
    merged: dict[int, tuple[float, int]] = {0: (0.0, 1)}
    for share, count in sorted(zip(shares, counts, strict=True)):
        size = _size(share, units)
        first, before = merged.get(size, (share, 0))
        merged[size] = (first, before + count) if size else (0.0, 1)
    kept = list(merged.values())
    return Contexts(tuple(share for share, _ in kept), tuple(count for _, count in kept), units)


def _size(share: float, units: int) -> int:
    return max(1, round(share * units)) if share else 0


def _shares(fractions: object) -> list[float]:
    listed = [fractions] if isinstance(fractions, Real) else fractions
    if isinstance(listed, str) or not isinstance(listed, Iterable):
        raise ArgumentError(f"fractions must be numbers from 0 to 1, got {fractions!r:.80}")
    shares = list(listed)
    for share in shares:
        if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= float(share) < 1:
            raise ArgumentError(f"a fraction must be a number from 0 to below 1, got {share!r:.80}")
    if len({float(share) for share in shares}) < len(shares):
        raise ArgumentError(f"each fraction once, got {shares!r:.80}")
    return [float(share) for share in shares]


def _counts(passes: object, n: int) -> list[int]:
    listed = [passes] * n if isinstance(passes, Integral) else passes
    if not isinstance(listed, Sequence) or len(listed) != n:
        raise ArgumentError(
            f"passes must be a whole number, or one for each of {n} fractions, got {passes!r:.80}"
        )
    for count in listed:
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise ArgumentError(f"passes must be whole numbers from 1, got {count!r:.80}")
    return [int(count) for count in listed]
