"""A buffer of response rows that become moments a chunk at a time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy.typing import NDArray

from causal_widget.responses.arm import Arm
from causal_widget.responses.interventional import Gap, InterventionalMoments
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
        self._beside: tuple[NDArray[Any], ...] = ()
        self._used = 0

    def add(self, rows: Float[np.ndarray, "image column"], *beside: NDArray[Any]) -> None:
        """Take rows in, with what stands beside them; each full chunk becomes moments."""
        taken = 0
        while taken < len(rows):
            fits = min(len(self._rows) - self._used, len(rows) - taken)
            for kept, given in zip((self._rows, *self._beside), (rows, *beside), strict=True):
                kept[self._used : self._used + fits] = given[taken : taken + fits]
            self._used += fits
            taken += fits
            if self._used == len(self._rows):
                self.flush()

    def flush(self) -> None:
        """Add the rows that wait, a chunk or less."""
        used, self._used = self._used, 0
        self._add_to(self.moments, self._rows[:used], consume=True)

    def so_far(self) -> Moments:
        """Return moments of all rows taken in, without ending the chunk that is being filled."""
        twin = self.moments.copy()
        self._add_to(twin, self._rows[: self._used], consume=False)
        return twin

    def _add_to(self, moments: Moments, rows: Float64[np.ndarray, "image column"], consume: bool) -> None:
        moments.update_matrix(rows, consume=consume)


class InterventionalBuffer(RowBuffer):
    """The same for images under random interventions.

    Beside each row stand the position of its drawn layer and what that layer's units lost (`forcing.lost`).
    """

    def __init__(self, moments: InterventionalMoments, sets: int = 1) -> None:
        super().__init__(moments, sets)
        widest, n_rows = max(moments.layout.widths[name] for name in moments.drawn), len(self._rows)
        self._beside = (np.zeros(n_rows, dtype=np.int64), np.zeros((n_rows, widest)))

    def _add_to(self, moments: Moments, rows: Float64[np.ndarray, "image column"], consume: bool) -> None:
        assert isinstance(moments, InterventionalMoments)
        drawn, lost = (part[: len(rows)] for part in self._beside)
        gaps = []
        for position, name in enumerate(moments.drawn):
            chosen = np.flatnonzero(drawn == position)
            if len(chosen):
                gaps.append(Gap(name, chosen, lost[chosen, : moments.layout.widths[name]]))
        moments.update_matrix(rows, consume=consume, gaps=gaps)


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
    make
        Makes an empty buffer.
    split
        How images are cut.
    """

    def __init__(self, make: Callable[[], RowBuffer], split: Split) -> None:
        self._folds = [make() for _ in range(split.folds)]
        self._heldout = make() if split.share else None

    def add(
        self,
        fold: Int64[np.ndarray, " image"],
        rows: Float[np.ndarray, "image column"],
        *beside: NDArray[Any],
    ) -> None:
        """Take rows in, each into its fold."""
        parts = dict(enumerate(self._folds)) | ({HELD_OUT: self._heldout} if self._heldout else {})
        for number, buffer in parts.items():
            chosen = fold == number
            buffer.add(rows[chosen], *(part[chosen] for part in beside))

    def arm(self, complete: bool) -> Arm:
        """Return the moments of all rows taken in; of an incomplete pass as copies, so that it can go on."""
        folds = tuple(_moments(buffer, complete) for buffer in self._folds)
        apart = None if self._heldout is None else _moments(self._heldout, complete)
        return Arm(folds, apart if apart is not None and apart.count else None)


def _moments(buffer: RowBuffer, complete: bool) -> Moments:
    if not complete:
        return buffer.so_far()
    buffer.flush()
    return buffer.moments
