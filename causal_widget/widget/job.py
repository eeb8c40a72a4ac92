"""What a page is told about a long computation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from causal_widget.errors import CausalWidgetError
from causal_widget.jobs import Tick

ACTIVE = ("queued", "running")


class StoppedError(CausalWidgetError):
    """A job that did not come to its end, with what became of its work.

    Parameters
    ----------
    error : Exception
        What stopped it.
    outcome : str
        What is kept.
    """

    def __init__(self, error: Exception, outcome: str) -> None:
        super().__init__(f"{str(error) or type(error).__name__}. {outcome}")
        self.error = error


@dataclass(frozen=True)
class Job:
    """One reading of a job.

    Attributes
    ----------
    id : int
        Its number, rising over a widget's life.
    kind : {"collect", "prune", "check", "local", "rank", "explain", "repair", "effect"}
        What is computed.
    state : {"queued", "running", "done", "cancelled", "failed"}
        Where it stands.
    done, total : int, int or None
        Work finished and work in all, counted in `unit`.
    rate, remaining : float or None
        Units a second and seconds left, as far as known.
    message : str
        What is being done, or how it ended.
    error : str or None
        Class of the error that ended it.
    """

    id: int
    kind: str
    state: str = "queued"
    done: int = 0
    total: int | None = None
    unit: str = "images"
    rate: float | None = None
    remaining: float | None = None
    message: str = ""
    error: str | None = None

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE

    def told(self, tick: Tick) -> Job:
        """Give the same job at a newer reading of its progress."""
        return replace(
            self,
            state="running",
            done=tick.done,
            total=tick.total,
            unit=tick.unit,
            rate=tick.rate or None,
            remaining=tick.remaining,
            message=tick.message,
        )

    def ended(self, state: str, message: str, error: BaseException | None = None) -> Job:
        """Give the same job at its end."""
        kind = None if error is None else type(error).__name__
        return replace(self, state=state, message=message, error=kind, remaining=None)

    def data(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)
