"""The kernel side of a widget: takes requests, runs them on its threads, answers and tells events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from causal_widget.devices import list_devices, resolve_device
from causal_widget.errors import Cancelled
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.jobs import Progress, Tick
from causal_widget.pruning import PruningCurve
from causal_widget.widget import protocol
from causal_widget.widget.classes import Classes
from causal_widget.widget.data import ImageData
from causal_widget.widget.handlers import (
    GIVE_WAY,
    HANDLERS,
    IMMEDIATE,
    LANES,
    can_predict,
    check_job,
    state_data,
)
from causal_widget.widget.handlers.checking import Checked
from causal_widget.widget.job import Job, StoppedError
from causal_widget.widget.protocol import Reply, Request, SupersededError
from causal_widget.widget.store import Store
from causal_widget.widget.worker import EFFECT, IDLE, JOB, MODEL, PREDICT, Task, Worker

Send = Callable[[dict[str, Any], list[memoryview]], None]
EVENT_INTERVAL = 0.1
GIVES_WAY_INTERVAL = 0.02
RENEW_AFTER = 0.6  # seconds: drawing the picture must not keep the next toggle waiting
SLOW_EFFECT = 0.3


@dataclass(frozen=True)
class Choices:
    """The person's choices that an answer depends on, as they were when it was asked for."""

    ablated: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    site: str = "activation"
    scale: float = 0.0
    rule: str = "coefficient"
    device: str = "cpu"
    batches: int = 0


class Backend:
    """Explainer, images, jobs and their two threads; knows nothing of traits and pages.

    The worker owns the model. The predictor only computes with what was read before, so that the equations
    answer at once, whatever the network is busy with.

    Parameters
    ----------
    explainer : CausalCNNExplainer
        The explainer whose network is shown.
    data : ImageData
        Images for the strip and for effects.
    send : callable
        Takes message content and buffers; called from several threads.
    renew : callable, optional
        Called, on the worker thread, when what is shown without a kernel is out of date.
    still : str
        The name under which a page finds that.
    """

    def __init__(
        self,
        explainer: CausalCNNExplainer,
        data: ImageData,
        send: Send,
        renew: Callable[[], None] = lambda: None,
        still: str = "",
    ) -> None:
        self.explainer = explainer
        self.data = data
        self.store = Store(explainer)
        self.devices = list_devices()
        self.curve: PruningCurve | None = None
        self.checked: Checked | None = None
        self.classes = Classes()
        self.still = still
        self._send = send
        self._renew = renew
        self._lock = threading.RLock()
        self._n_jobs = 0
        self._job: Job | None = None
        self._effect: Job | None = None
        self._told = 0.0
        self.worker = Worker(self.run)
        self.predictor = Worker(self.run, "causal-widget-equations")

    @property
    def revision(self) -> int:
        """Rises whenever graph, importances or edges change."""
        return self.store.revision

    @property
    def job(self) -> Job | None:
        """The job that runs, or else the last one."""
        with self._lock:
            return self._effect or self._job

    def receive(self, content: object, choices: Choices) -> None:
        """Take a message from a page: answer it if that is cheap, else enqueue it, and return."""
        try:
            request = protocol.parse(content)
            if request.op in IMMEDIATE:
                self._answer_now(request)
            else:
                self._enqueue(request, choices)
        except Exception as error:  # noqa: BLE001 (the page is told; a comm handler has nobody else to tell)
            self._send(protocol.write_error(protocol.id_of(content), protocol.echo_of(content), error), [])

    def _answer_now(self, request: Request) -> None:
        self.observe()
        if request.op == "cancel":
            self._reply(request, Reply({"cancelled": self.cancel()}))
        elif request.op == "poll":
            self._reply(request, Reply(self._poll()))
        else:
            self._reply(request, Reply(self.state()))

    def _enqueue(self, request: Request, choices: Choices) -> None:
        lane = LANES[request.op]
        if lane == PREDICT and not can_predict(self, choices):
            lane = MODEL  # the responses have to be read first, and only the worker may run the model
        task = Task(request, choices, lane)
        if lane == JOB:
            check_job(self, request)
        if lane in (JOB, EFFECT):
            with self._lock:
                self._n_jobs += 1
                task.job_id = self._n_jobs
        if lane == JOB:
            assert task.job_id is not None
            self._reply(request, Reply({"job": task.job_id}))
            self._tell(Job(task.job_id, request.op))
        for replaced in (self.predictor if lane == PREDICT else self.worker).put(task):
            self._fail(replaced, SupersededError("a newer request took its place"))

    def state(self) -> dict[str, Any]:
        """Give what a page needs to know first."""
        return {**state_data(self), **self._poll()}

    def _poll(self) -> dict[str, Any]:
        counters = {"revision": self.revision, "measured": self.store.measured, "found": self.classes.version}
        return {"job": self._job_data(), **counters}

    def observe(self) -> None:
        """Tell the pages if the explainer has learned something since the last look."""
        if self.store.observe():
            self._send(protocol.write_event("changed", state=self.state()), [])

    def tell_found(self) -> None:
        """Tell the pages that more of a class's graph is there."""
        self._send(protocol.write_event("changed", state=self._poll()), [])

    def cancel(self) -> bool:
        """Cancel what runs and what waits; say whether there was anything."""
        dropped = self.worker.inbox.drop_waiting()
        for task in dropped:
            self._end(task, Cancelled("cancelled before it began"))
        return bool(dropped) or any(one.lane in (EFFECT, JOB) for one in self.worker.inbox.running)

    def run(self, task: Task) -> None:
        """Do one task, on the thread that it is meant for."""
        if task.lane == IDLE:
            self._renew()
        elif task.lane == JOB:
            self._run_job(task)
        else:
            self._answer(task)
        if task.lane in (JOB, EFFECT):
            self.worker.inbox.idle_in(RENEW_AFTER)

    def _answer(self, task: Task) -> None:
        self.observe()
        try:
            self._reply(task.request, HANDLERS[task.request.op](self, task))
        except Cancelled as error:
            newer = task.superseded.is_set() and not task.cancelled.is_set()
            self._fail(task, SupersededError("a newer request took its place") if newer else error)
        except Exception as error:  # noqa: BLE001 (the page is told)
            self._fail(task, error)
        except BaseException as error:
            self._fail(task, error)
            raise
        finally:
            self._end_effect(task)

    def _run_job(self, task: Task) -> None:
        assert self._job is not None
        job = Job(task.job_id or 0, task.request.op, "running")
        self._tell(job)
        try:
            reply = HANDLERS[task.request.op](self, task)
        except BaseException as error:
            self._end(task, error)
            self.observe()
            if not isinstance(error, Exception):
                raise
        else:
            self.devices = list_devices()
            self.observe()
            self._tell(self._current(task).ended("done", str(reply.result.get("message", ""))))

    def twin(self, device: str) -> CausalCNNExplainer:
        """Give a shallow copy of the explainer on a device; what it learns is its own."""
        twin = copy(self.explainer)
        twin.device = resolve_device(device)
        return twin

    def progress(self, task: Task, cancel: threading.Event | None = None) -> Progress:
        """Give a progress that tells the pages about `task` and stops when it is cancelled."""
        began = time.perf_counter()
        listener = partial(self._tick, task, began)
        interval = GIVES_WAY_INTERVAL if task.request.op in GIVE_WAY else EVENT_INTERVAL
        return Progress(listener, task.cancelled if cancel is None else cancel, interval)

    def _tick(self, task: Task, began: float, tick: Tick) -> None:
        if task.lane == JOB or (task.lane == EFFECT and time.perf_counter() - began > SLOW_EFFECT):
            self._tell(self._current(task).told(tick))
        while (quick := self.worker.inbox.take_quick()) is not None:
            self._answer(quick)
        if task.request.op in GIVE_WAY:
            self._give_way()

    def _give_way(self) -> None:
        """Do what a person waits for between two steps of a long job."""
        while (other := self.worker.inbox.take_between()) is not None:
            try:
                self._answer(other)
            finally:
                self.worker.inbox.done()

    def _current(self, task: Task) -> Job:
        with self._lock:
            for job in (self._effect, self._job):
                if job is not None and job.id == task.job_id:
                    return job
        return Job(task.job_id or 0, task.request.op, "running")

    def _tell(self, job: Job) -> None:
        with self._lock:
            before = self._effect if job.kind == "effect" else self._job
            if job.kind == "effect":
                self._effect = job if job.active else None
            elif self._job is None or not self._job.active or job.id <= self._job.id:
                self._job = job
            now = time.perf_counter()
            same = before is not None and (before.id, before.state) == (job.id, job.state)
            if same and now - self._told < EVENT_INTERVAL:
                return
            self._told = now
        self._send(protocol.write_event("job", job=job.data()), [])

    def _end(self, task: Task, error: BaseException) -> None:
        if task.lane != JOB:
            self._fail(task, error)
            return
        cause = error.error if isinstance(error, StoppedError) else error
        message = str(error) or type(error).__name__
        if isinstance(cause, Cancelled):
            self._tell(self._current(task).ended("cancelled", message))
        else:
            self._tell(self._current(task).ended("failed", message, cause))

    def _end_effect(self, task: Task) -> None:
        with self._lock:
            shown = task.lane == EFFECT and self._effect is not None and self._effect.id == task.job_id
        if shown:
            state = "cancelled" if task.superseded.is_set() else "done"
            self._tell(self._current(task).ended(state, ""))

    def _job_data(self) -> dict[str, Any] | None:
        job = self.job
        return None if job is None else job.data()

    def _reply(self, request: Request, reply: Reply) -> None:
        content, buffers = protocol.write_reply(request, reply)
        self._send(content, buffers)

    def _fail(self, task: Task, error: BaseException) -> None:
        self._send(protocol.write_error(task.request.id, task.request.extra, error), [])

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being computed; False if that took longer than `timeout` seconds."""
        ends = None if timeout is None else time.perf_counter() + timeout
        for thread in (self.worker, self.predictor):
            if not thread.inbox.wait_idle(None if ends is None else max(0.0, ends - time.perf_counter())):
                return False
        return True

    def close(self, timeout: float | None = None) -> None:
        """End the threads; wait for the worker up to `timeout` seconds."""
        self.predictor.stop()
        self.worker.stop(timeout)


__all__ = ["Backend", "Choices"]
