"""A thread that takes tasks, quick ones first, and holds nothing between two of them."""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from causal_widget.widget.protocol import Request

QUICK, MODEL, EFFECT, JOB, PREDICT, IDLE = "quick", "model", "effect", "job", "predict", "idle"
LATEST = (EFFECT, PREDICT)


@dataclass(eq=False)
class Task:
    """A request on its way through the worker.

    Attributes
    ----------
    request : Request
        What the page asked.
    choices : Any
        The person's choices when it was asked.
    lane : str
        ``"quick"`` (runs no model), ``"model"``, ``"effect"`` (only the latest counts), ``"job"``, and
        ``"predict"`` (runs no model, only the latest counts, on a thread that waits for none of the others).
        ``"idle"`` is what the thread does when nothing else came for a while.
    job_id : int or None
        Number of the job that the task is.
    cancelled, superseded : threading.Event
        Set by a person's cancel (both), or by a newer request in a lane where that counts (the second only).
    """

    request: Request
    choices: Any
    lane: str
    job_id: int | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    superseded: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop the task at its next batch."""
        self.cancelled.set()
        self.superseded.set()


class Inbox:
    """What waits for the thread, under one lock.

    Its holder may take the lock again: the garbage collector can call `stop` in the middle of anything.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._lanes: dict[str, deque[Task]] = {lane: deque() for lane in (PREDICT, QUICK, MODEL, EFFECT, JOB)}
        self._running: list[Task] = []  # the last one runs between two steps of the one before
        self._idle_at: float | None = None
        self._stopped = False

    def put(self, task: Task) -> list[Task]:
        """Add a task; give back the waiting one that it replaces, if there is one."""
        with self._changed:
            replaced: list[Task] = []
            if task.lane in LATEST:
                replaced = list(self._lanes[task.lane])
                self._lanes[task.lane].clear()
                for running in self._running:
                    if running.lane == task.lane:
                        running.superseded.set()
            self._lanes[task.lane].append(task)
            self._changed.notify_all()
            return replaced

    def take(self) -> Task | None:
        """Wait for the next task; None once stopped."""
        with self._changed:
            while True:
                if self._stopped:
                    return None
                for waiting in self._lanes.values():
                    if waiting:
                        self._running.append(waiting.popleft())
                        return self._running[-1]
                left = None if self._idle_at is None else self._idle_at - time.monotonic()
                if left is not None and left <= 0:
                    self._idle_at = None
                    self._running.append(Task(Request(0, IDLE), None, IDLE))
                    return self._running[-1]
                self._changed.wait(left)

    def idle_in(self, seconds: float) -> None:
        """Give one idle task when nothing else has been taken for so long from now on."""
        with self._changed:
            self._idle_at = time.monotonic() + seconds

    def take_quick(self) -> Task | None:
        """Give a waiting quick task, None where there is none."""
        with self._changed:
            return self._lanes[QUICK].popleft() if self._lanes[QUICK] else None

    def take_between(self) -> Task | None:
        """Give a waiting task that a job makes room for, None where there is none; it runs until `done`."""
        with self._changed:
            for lane in (QUICK, MODEL, EFFECT):
                if self._lanes[lane] and not self._stopped:
                    self._running.append(self._lanes[lane].popleft())
                    return self._running[-1]
            return None

    def done(self) -> None:
        """Say that the running task ended."""
        with self._changed:
            self._running.pop()
            self._changed.notify_all()

    def drop_waiting(self) -> list[Task]:
        """Cancel the running task and take out the waiting effects and jobs.

        An effect that runs between two steps of a job is let go on: the job is what is cancelled.
        """
        with self._changed:
            if self._running and self._running[0].lane in (EFFECT, JOB):
                self._running[0].cancel()
            dropped = [*self._lanes[EFFECT], *self._lanes[JOB]]
            self._lanes[EFFECT].clear()
            self._lanes[JOB].clear()
            return dropped

    @property
    def running(self) -> list[Task]:
        """The tasks the thread is at: one, and another between two of its steps."""
        with self._changed:
            return list(self._running)

    def wait_idle(self, timeout: float | None) -> bool:
        """Wait until nothing runs and nothing waits; False if that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._running and not any(self._lanes.values()), timeout
            )

    def stop(self) -> None:
        """End the thread after the running task, which is cancelled."""
        with self._changed:
            self._stopped = True
            for lane in self._lanes.values():
                lane.clear()
            for running in self._running:
                running.cancel()
            self._changed.notify_all()


class Worker:
    """Runs an owner's tasks one after another on a thread of its own.

    The thread knows the owner only while a task runs: an owner that nobody else knows any more is collected,
    and its thread ends.

    Parameters
    ----------
    run : bound method
        Called with each task, on the thread.
    name : str
        The thread's.
    """

    def __init__(self, run: Callable[[Task], None], name: str = "causal-widget") -> None:
        self.inbox = Inbox()
        inbox = self.inbox
        self._run = weakref.WeakMethod(run, lambda _: inbox.stop())
        # the copied context carries the cell that messages from the thread belong to
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(_loop, self.inbox, self._run), name=name, daemon=True
        )
        self._thread.start()

    def put(self, task: Task) -> list[Task]:
        """Add a task; give back the waiting one that it replaces, if there is one."""
        return self.inbox.put(task)

    def stop(self, timeout: float | None = None) -> None:
        """Cancel what runs and end the thread; wait for it up to `timeout` seconds."""
        self.inbox.stop()
        if timeout and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()


def _loop(inbox: Inbox, reference: weakref.WeakMethod[Callable[[Task], None]]) -> None:
    while (task := inbox.take()) is not None:
        run = reference()
        try:
            if run is None:
                return
            run(task)
        except BaseException as error:  # noqa: BLE001 (an exit that a loader asks for ends its task, not the widget)
            told = (type(error), error, error.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(told))
            del told
        finally:
            inbox.done()
            del task, run
