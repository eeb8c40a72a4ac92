"""What a widget holds on to, and that it lets go."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from comm import get_comm_manager
from ipywidgets.widgets import widget as ipywidgets_widget

from causal_widget.errors import OrderError
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.widget import CausalWidget

from .conftest import Gated, Page


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("causal-widget")]


def ended(thread: threading.Thread) -> bool:
    thread.join(10)
    return not thread.is_alive()


def used(few) -> tuple[CausalWidget, list[weakref.ref]]:
    model = Gated()
    explainer = CausalCNNExplainer(model, device="cpu")
    widget = CausalWidget(explainer, few)
    page = Page(widget)
    assert page.run("collect")["state"] == "done"
    assert page.ask("effect", ablated={"conv": [0]}).result["n"] == 64
    page.ask("heatmap", image=0, layer="conv", unit=1)
    page.run("prune", percents=[50], rules=["l1"], repeats=1)
    page.ask("unit", layer="conv9", unit=1)
    assert page.ask("predict", ablated={"conv": [0]}, scale=0.5).result["predicted"]["n"] == 64
    assert page.ask("predict", ablated={"conv": [1]}, scale=0.5).result["predicted"]["n"] == 64
    assert page.run("check", draws=1)["state"] == "done"
    return widget, [weakref.ref(model), weakref.ref(explainer), weakref.ref(widget)]


def test_close_frees_model_explainer_and_widget(few):
    widget, references = used(few)
    widget.close()
    del widget
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]


def test_threads_end_with_close(few):
    before = set(threads())
    widget, _ = used(few)
    mine = set(threads()) - before
    assert len(mine) == 2
    widget.close()
    assert all(map(ended, mine))


def test_dropped_without_close_the_thread_holds_nothing(few):
    before = set(threads())
    widget, references = used(few)
    mine = set(threads()) - before
    assert len(mine) == 2
    # what a notebook's widget manager holds, and lets go of when its kernel forgets the widget
    ipywidgets_widget._instances.pop(widget.model_id)
    get_comm_manager().unregister_comm(widget.comm)
    widget.comm._closed = True
    del widget
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]
    assert all(map(ended, mine))


def test_close_in_the_middle_of_a_job(gated, few):
    before = set(threads())
    widget = CausalWidget(gated, few)
    page = Page(widget)
    while gated.gate.reached.acquire(blocking=False):
        pass
    gated.gate.open.clear()
    page.ask("collect")
    assert gated.gate.reached.acquire(timeout=10)
    mine = set(threads()) - before
    assert len(mine) == 2
    threading.Timer(0.1, gated.gate.open.set).start()
    began = time.perf_counter()
    widget.close()
    assert time.perf_counter() - began < 5
    assert all(map(ended, mine))


def test_closed_widget_says_so(widget):
    widget.close()
    widget.close()
    for use in (lambda: widget.explainer, widget.refresh, widget.wait, lambda: widget.to_html("x.html")):
        with pytest.raises(OrderError, match="closed"):
            use()
    assert repr(widget) == "CausalWidget(closed)"
    widget.receive({"v": 1, "id": 1, "op": "hello"})


def test_failed_construction_leaves_no_thread(explainer):
    before = set(threads())
    with pytest.raises(Exception, match="conv9"):
        CausalWidget(explainer, selected={"conv9": [0]})
    assert all(ended(thread) for thread in set(threads()) - before)


def test_two_widgets_on_one_model_at_the_same_time(make, explainer, demo):
    pages = [Page(make(explainer, demo.test_loader), f"page {k}") for k in range(2)]
    numbers = [page.send("effect", ablated={"conv1": [k]}) for k, page in enumerate(pages)]
    effects = [page.answer(number).result for page, number in zip(pages, numbers, strict=True)]
    for k, effect in enumerate(effects):
        expected = explainer.effect_of({"conv1": [k]}, demo.test_loader)
        assert effect["change"]["loss"] == pytest.approx(expected.loss.change)
    jobs = [page.ask("collect").result["job"] for page in pages]
    assert [page.end_of(job)["state"] for page, job in zip(pages, jobs, strict=True)] == ["done", "done"]
    assert [page.ask("hello").result["nImages"] for page in pages] == [500, 500]


def test_two_pages_of_one_widget_know_their_own_replies(widget):
    one, other = Page(widget, "one"), Page(widget, "other")
    numbers = one.send("unit", layer="conv1", unit=1), other.send("unit", layer="conv1", unit=2)
    assert numbers == (1, 1)
    assert one.answer(1).result["unit"] == 1
    assert other.answer(1).result["unit"] == 2


def test_comm_handler_returns_before_the_work_is_done(make, gated, few):
    widget = make(gated, few)
    page = Page(widget)
    gated.gate.open.clear()
    began = time.perf_counter()
    page.send("effect", ablated={"conv": [0]})
    page.send("images")
    page.ask("collect")
    assert page.ask("hello").result["collected"] is False
    assert time.perf_counter() - began < 2
    gated.gate.open.set()
    assert widget.wait(30)
