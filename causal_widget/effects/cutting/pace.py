"""How many items to run in one batch: what a short measurement finds fastest, under a memory budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from causal_widget.errors import ArgumentError

__all__ = ["BUDGET", "Pace"]

BUDGET = 512 * 2**20
_SIZES = (16, 32, 64, 128, 256, 512, 1024)


class Pace:
    """Try some batch sizes on the work itself, then keep the one that took least time an item.

    Folding many interventions into one batch helps on a GPU and can hurt on a CPU, whose caches are small;
    how it is here is measured. Results differ by rounding from size to size: fix it where the same bits are
    wanted.

    Parameters
    ----------
    sizes : sequence of int
        The sizes to try; one alone is taken without measuring.
    tries : int
        How often each is measured; the fastest counts.
    """

    def __init__(self, sizes: Sequence[int], tries: int = 2) -> None:
        if not sizes or min(sizes) < 1:
            raise ArgumentError(f"the sizes of a batch must be at least 1, got {list(sizes)!r:.80}")
        self._best = dict.fromkeys(sizes, math.inf)
        self._left = [size for size in sizes for _ in range(tries)] if len(sizes) > 1 else []

    @classmethod
    def within(cls, budget: int, bytes_per_item: int) -> Pace:
        """Give the sizes to try that stay under a budget in bytes."""
        most = max(1, budget // max(bytes_per_item, 1))
        return cls([size for size in _SIZES if size <= most] or [most])

    @property
    def size(self) -> int:
        """The size to use for the next batch."""
        return self._left[0] if self._left else min(self._best, key=lambda size: self._best[size])

    @property
    def largest(self) -> int:
        """The largest size that may be used."""
        return max(self._best)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to try."""
        return not self._left

    @property
    def seconds_per_item(self) -> float:
        """Seconds an item at the best size; NaN before anything was measured."""
        best = min(self._best.values())
        return best if math.isfinite(best) else math.nan

    def note(self, items: int, seconds: float) -> None:
        """Take down what a batch took; one that was cut short by the end of the work says nothing."""
        if items not in self._best:
            return
        self._best[items] = min(self._best[items], seconds / items)
        if self._left and self._left[0] == items:
            self._left.pop(0)

    def __repr__(self) -> str:
        per = (
            "not measured" if math.isnan(self.seconds_per_item) else f"{self.seconds_per_item:.3g} s an item"
        )
        return f"Pace({self.size} items a batch, {per})"
