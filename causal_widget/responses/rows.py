"""A buffer of response rows that become moments a chunk at a time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
from jaxtyping import Float, Int64

from causal_widget.responses.arm import Arm
from causal_widget.responses.layout import Layout
from causal_widget.responses.moments import Moments
from causal_widget.responses.split import HELD_OUT, Split

CHUNK_BYTES = 64 * 1024 * 1024
CHUNK_ROWS = (32, 512)


def chunk_rows(layout: Layout, sets: int = 1) -> int:
    """Return how many images make a chunk: as many as fit some megabytes, whatever the batch size.

    Each set of moments (a fold, the images held out) has a chunk of its own; all together take
    `CHUNK_BYTES` at most.
    """
    low, high = CHUNK_ROWS
    return max(low, min(high, CHUNK_BYTES // (8 * layout.total * sets)))


class RowBuffer:
    """Collects rows and adds them to moments in chunks of fixed size.

    Chunks are counted in images and not in batches, so that the loader's batch size does not change the order
    of additions, and products of matrices are large enough to be fast.

    Parameters
    ----------
    moments
        Where full chunks go.
    sets
        How many buffers there are, which share the memory for chunks.
    """

    def __init__(self, moments: Moments, sets: int = 1) -> None:
        self.moments = moments
        self.moments.reserve()
        self._rows = np.full((chunk_rows(moments.layout, sets), moments.layout.total), 0.0)
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


class ArmBuffers:
    """The buffers of one kind of data: one for each fold, and one for the images held out.

    Parameters
    ----------
    layout
        Of the moments.
    split
        How images are cut.
    """

    def __init__(self, layout: Layout, split: Split) -> None:
        self._folds = [RowBuffer(Moments(layout), split.sets) for _ in range(split.folds)]
        self._heldout = RowBuffer(Moments(layout), split.sets) if split.share else None

    def add(self, rows: Float[np.ndarray, "image column"], fold: Int64[np.ndarray, " image"]) -> None:
        """Take rows in, each into its fold."""
        for number, buffer in enumerate(self._folds):
            buffer.add(rows[fold == number])
        if self._heldout is not None:
            self._heldout.add(rows[fold == HELD_OUT])

    def flush(self) -> Arm:
        """Return the moments of all rows taken in."""
        buffers = [*self._folds, *([] if self._heldout is None else [self._heldout])]
        for buffer in buffers:
            buffer.flush()
        apart = None if self._heldout is None else self._heldout.moments
        return Arm(tuple(buffer.moments for buffer in self._folds), apart if apart and apart.count else None)
