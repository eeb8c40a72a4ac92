"""Progress is told at a bounded rate, and a cancel is obeyed at the next step."""

from __future__ import annotations

import io
import threading
from contextlib import redirect_stderr

import pytest

from causal_widget.errors import Cancelled
from causal_widget.jobs import Progress, Tick, bar


def test_the_listener_hears_the_first_and_the_last_but_not_every_step():
    heard: list[Tick] = []
    progress = Progress(heard.append, interval=60.0)
    progress.start(1000, "images", "collect")
    for _ in range(1000):
        progress.advance()
    progress.finish()
    assert [t.done for t in heard] == [0, 1000]
    assert heard[-1].total == 1000
    assert heard[-1].unit == "images"
    assert heard[-1].message == "collect"


def test_rate_and_time_left():
    tick = Tick(done=50, total=200, unit="images", seconds=2.0)
    assert tick.rate == 25.0
    assert tick.remaining == 6.0
    assert Tick(0, 10, "images", 0.0).remaining is None
    assert Tick(5, None, "images", 1.0).remaining is None
    assert Tick(12, 10, "images", 1.0).remaining == 0.0


def test_a_cancel_is_obeyed_at_the_next_step():
    cancel = threading.Event()
    progress = Progress(cancel=cancel)
    progress.start(10)
    progress.advance(3)
    cancel.set()
    with pytest.raises(Cancelled, match="3 images"):
        progress.check()
    with pytest.raises(Cancelled, match="4 images"):
        progress.advance()
    with pytest.raises(Cancelled):
        progress.start(10)


@pytest.mark.parametrize("total", [3, None])
def test_a_bar_shows_and_closes(total):
    out = io.StringIO()
    with redirect_stderr(out):
        progress = bar("collecting")
        progress.start(total)
        progress.advance(3)
        progress.finish()
    assert "collecting" in out.getvalue()
    assert "3" in out.getvalue()
