"""One thread, lanes in order, the latest effect wins, nothing is held between two tasks."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref

import pytest

from causal_widget.widget.protocol import Request
from causal_widget.widget.worker import EFFECT, JOB, MODEL, QUICK, Task, Worker


class Owner:
    """Does tasks when it is let, and writes down which."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()
        self.seen: object = None
        self.worker = Worker(self.run)

    def run(self, task: Task) -> None:
        self.began.release()
        assert self.go.wait(10)
        self.seen = VARIABLE.get()
        if task.request.op == "exit":
            raise SystemExit
        self.done.append(task.request.id)

    def put(self, number: int, lane: str, op: str = "x") -> tuple[Task, list[Task]]:
        task = Task(Request(number, op), None, lane)
        return task, self.worker.put(task)

    def hold(self) -> Task:
        self.go.clear()
        task, _ = self.put(0, JOB)
        assert self.began.acquire(timeout=10)
        return task


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


@pytest.fixture
def owner():
    made = Owner()
    yield made
    made.go.set()
    made.worker.stop(10)
    assert not made.worker.alive


def test_jobs_run_in_the_order_they_came(owner):
    owner.hold()
    for number in (1, 2, 3):
        owner.put(number, JOB)
    owner.go.set()
    assert owner.worker.inbox.wait_idle(10)
    assert owner.done == [0, 1, 2, 3]


def test_quick_before_model_before_effect_before_jobs(owner):
    owner.hold()
    for number, lane in enumerate((JOB, EFFECT, MODEL, QUICK), start=1):
        owner.put(number, lane)
    owner.go.set()
    assert owner.worker.inbox.wait_idle(10)
    assert owner.done == [0, 4, 3, 2, 1]


def test_a_waiting_effect_is_replaced_and_given_back(owner):
    owner.hold()
    first, replaced = owner.put(1, EFFECT)
    assert replaced == []
    _, replaced = owner.put(2, EFFECT)
    assert replaced == [first]
    owner.go.set()
    assert owner.worker.inbox.wait_idle(10)
    assert owner.done == [0, 2]


def test_a_running_effect_is_told_that_it_is_superseded_but_not_cancelled(owner):
    owner.go.clear()
    first, _ = owner.put(1, EFFECT)
    assert owner.began.acquire(timeout=10)
    _, replaced = owner.put(2, EFFECT)
    assert replaced == []
    assert first.superseded.is_set()
    assert not first.cancelled.is_set()


def test_an_effect_does_not_disturb_a_running_job(owner):
    job = owner.hold()
    owner.put(1, EFFECT)
    assert not job.superseded.is_set()


def test_cancel_takes_out_effects_and_jobs_and_leaves_questions(owner):
    job = owner.hold()
    waiting = [owner.put(1, JOB)[0], owner.put(2, EFFECT)[0]]
    owner.put(3, QUICK)
    assert set(owner.worker.inbox.drop_waiting()) == set(waiting)
    assert job.cancelled.is_set()
    owner.go.set()
    assert owner.worker.inbox.wait_idle(10)
    assert owner.done == [0, 3]


def test_between_two_steps_of_a_job_what_a_person_waits_for_is_taken(owner):
    job, inbox = owner.hold(), owner.worker.inbox
    for number, lane in enumerate((JOB, EFFECT, MODEL, QUICK), start=1):
        owner.put(number, lane)
    found = []
    while (task := inbox.take_between()) is not None:
        assert inbox.running == [job, task]
        found.append(task.request.id)
        inbox.done()
    assert found == [4, 3, 2]
    assert inbox.running == [job]


def test_an_effect_between_is_superseded_and_outlives_the_cancel_of_its_job(owner):
    job, inbox = owner.hold(), owner.worker.inbox
    first, _ = owner.put(1, EFFECT)
    assert inbox.take_between() is first
    owner.put(2, EFFECT)
    assert first.superseded.is_set()
    inbox.drop_waiting()
    assert job.cancelled.is_set()
    assert not first.cancelled.is_set()
    inbox.done()


def test_the_idle_task_comes_once_and_only_when_nothing_else_does(owner):
    inbox = owner.worker.inbox
    owner.hold()
    inbox.idle_in(0.0)
    for number in (1, 2):
        owner.put(number, QUICK)
    owner.go.set()
    for _ in range(3):  # the two, and then the idle one
        assert owner.began.acquire(timeout=10)
    assert not owner.began.acquire(timeout=0.2)
    assert inbox.wait_idle(10)
    assert owner.done == [0, 1, 2, 0]
    inbox.idle_in(60.0)
    assert inbox.wait_idle(1)


def test_thread_sees_the_context_it_was_made_in():
    token = VARIABLE.set("the cell")
    try:
        owner = Owner()
    finally:
        VARIABLE.reset(token)
    owner.put(1, QUICK)
    assert owner.worker.inbox.wait_idle(10)
    assert owner.seen == "the cell"
    owner.worker.stop(10)


def test_waiting_thread_does_not_keep_its_owner_alive_and_ends_with_it():
    owner = Owner()
    owner.put(1, QUICK)
    assert owner.worker.inbox.wait_idle(10)
    thread, gone = owner.worker._thread, weakref.ref(owner)
    assert thread is not None
    assert thread.daemon
    del owner
    gc.collect()
    assert gone() is None
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exit_ends_its_task_and_not_the_thread(owner):
    owner.put(1, QUICK, "exit")
    owner.put(2, QUICK)
    assert owner.worker.inbox.wait_idle(10)
    assert owner.done == [2]
    assert owner.worker.alive


def test_stopped_worker_stays_stopped(owner):
    owner.worker.stop(10)
    owner.put(1, QUICK)
    owner.worker._thread.join(10)
    assert owner.done == []
    assert not owner.worker.alive


def test_wait_tells_when_it_took_too_long(owner):
    owner.hold()
    assert owner.worker.inbox.wait_idle(0.01) is False
