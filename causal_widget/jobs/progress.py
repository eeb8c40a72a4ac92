"""Progress of a long computation: how far it is, how fast, and whether it should stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from causal_widget.errors import Cancelled


@dataclass(frozen=True)
class Tick:
    """One reading of a computation's progress.

    Attributes
    ----------
    done : int
        Units of work finished.
    total : int or None
        Units of work in all, None where the loader has no length.
    unit : str
        What is counted, for example ``"images"``.
    seconds : float
        Time since the start.
    message : str
        What is being done now.
    """

    done: int
    total: int | None
    unit: str
    seconds: float
    message: str = ""

    @property
    def rate(self) -> float:
        """Units of work a second, 0 before anything is done."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds left at the present rate, None where it cannot be known."""
        if self.total is None or self.done == 0:
            return None
        return max(self.total - self.done, 0) / self.rate if self.rate > 0 else None


class Progress:
    """Where a long computation reports to, and where it asks whether to go on.

    Parameters
    ----------
    listener : callable, optional
        Called with a `Tick`, at most once every `interval` seconds and once at the end.
    cancel : threading.Event, optional
        Once set, `advance` and `check` raise `Cancelled`.
    interval : float
        Seconds between two calls of the listener; 0.1 keeps a notebook's message channel quiet.
    """

    def __init__(
        self,
        listener: Callable[[Tick], None] | None = None,
        cancel: threading.Event | None = None,
        interval: float = 0.1,
    ) -> None:
        self._listener = listener
        self._cancel = cancel
        self._interval = interval
        self._began = time.perf_counter()
        self._told = float("-inf")
        self._done = 0
        self._total: int | None = None
        self._unit = "images"
        self._message = ""

    def start(self, total: int | None, unit: str = "images", message: str = "") -> None:
        """Begin to count from zero, and tell the listener."""
        self.check()
        self._began = time.perf_counter()
        self._done, self._total, self._unit, self._message = 0, total, unit, message
        self._tell()

    def advance(self, n: int = 1, message: str | None = None) -> None:
        """Count `n` more units of work.

        Raises
        ------
        Cancelled
            If the computation was cancelled.
        """
        self._done += n
        if message is not None:
            self._message = message
        if time.perf_counter() - self._told >= self._interval:
            self._tell()
        self.check()

    def check(self) -> None:
        """Raise `Cancelled` if the computation was cancelled."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled(f"cancelled after {self._done} {self._unit}")

    def finish(self) -> None:
        """Tell the listener the last state, whatever the interval."""
        self._tell()

    @property
    def tick(self) -> Tick:
        """The present reading."""
        return Tick(self._done, self._total, self._unit, time.perf_counter() - self._began, self._message)

    def _tell(self) -> None:
        self._told = time.perf_counter()
        if self._listener is not None:
            self._listener(self.tick)


class _Bar(Progress):
    """A tqdm bar that appears at the start and closes at the end."""

    def __init__(self, description: str) -> None:
        super().__init__(listener=self._show)
        self._description = description
        self._tqdm: tqdm[Any] | None = None

    def start(self, total: int | None, unit: str = "images", message: str = "") -> None:
        self._close()
        self._tqdm = tqdm(total=total, unit=f" {unit}", desc=self._description or message or None, leave=True)
        super().start(total, unit, message)

    def finish(self) -> None:
        super().finish()
        self._close()

    def _show(self, tick: Tick) -> None:
        if self._tqdm is not None:
            self._tqdm.update(tick.done - self._tqdm.n)
            if tick.message:
                self._tqdm.set_postfix_str(tick.message, refresh=False)

    def _close(self) -> None:
        if self._tqdm is not None:
            self._tqdm.close()
            self._tqdm = None


def bar(description: str = "") -> Progress:
    """Give a progress that shows as a bar, in a terminal or a notebook.

    Parameters
    ----------
    description : str
        Text before the bar.
    """
    return _Bar(description)
