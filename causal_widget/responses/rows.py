"""A buffer of response rows that become moments a chunk at a time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
from jaxtyping import Float

from causal_widget.responses.layout import Layout
from causal_widget.responses.moments import Moments

CHUNK_BYTES = 24 * 1024 * 1024
CHUNK_ROWS = (32, 512)


def chunk_rows(layout: Layout) -> int:
    """Return how many images make a chunk: as many as fit some megabytes, whatever the batch size."""
    low, high = CHUNK_ROWS
    return max(low, min(high, CHUNK_BYTES // (8 * layout.total)))


class RowBuffer:
    """Collects rows and adds them to moments in chunks of fixed size.

    Chunks are counted in images and not in batches, so that the loader's batch size does not change the order
    of additions, and products of matrices are large enough to be fast.

    Parameters
    ----------
    moments
        Where full chunks go.
    """

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        self.moments.reserve()
        self._rows = np.full((chunk_rows(moments.layout), moments.layout.total), 0.0)
        self._used = 0

    def add(self, rows: Float[np.ndarray, "image column"]) -> None:
        """Take rows in; each full chunk becomes moments."""
        taken = 0
        while taken < len(rows):
            fits = min(len(self._rows) - self._used, len(rows) - taken)
            self._rows[self._used : self._used + fits] = rows[taken : taken + fits]
            self._used += fits
            taken += fits
            if self._used == len(self._rows):
                self.flush()

    def flush(self) -> None:
        """Add the rows that wait, a chunk or less."""
        used, self._used = self._used, 0
        self.moments.update_matrix(self._rows[:used], consume=True)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended, so that moments are never left half updated.

    Signals reach the main thread alone; in any other thread there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: waiting.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        if callable(before):
            before(*waiting[0])
        elif before == signal.SIG_DFL:
            raise KeyboardInterrupt
