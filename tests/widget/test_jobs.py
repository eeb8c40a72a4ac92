"""Collect and prune from the page: progress, cancel, failure, and what is left afterwards."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from causal_widget.explainer import CausalCNNExplainer

from .conftest import Page


def test_collect_does_what_the_explainer_does(page, demo, explainer):
    job = page.run("collect", batches=3)
    assert (job["kind"], job["state"], job["error"]) == ("collect", "done", None)
    alone = CausalCNNExplainer(demo.model, device="cpu")
    alone.collect_data(demo.test_loader, max_batches=3, intervene=0.1)
    alone.learn_structural_equations()
    assert explainer.collection.n_images == alone.collection.n_images == 192
    np.testing.assert_array_equal(
        explainer.scm.coefficients("conv1", "conv2"), alone.scm.coefficients("conv1", "conv2")
    )
    assert explainer.filter_outputs[0].shape == (192, 8)


def test_collect_reports_from_queued_to_done(page):
    number = page.ask("collect").result["job"]
    page.end_of(number)
    states = [job["state"] for job in page.jobs(number)]
    assert states[0] == "queued"
    assert states[-1] == "done"
    assert set(states[1:-1]) == {"running"}
    assert page.jobs(number)[-1]["message"] == "500 images collected"


def test_changed_comes_with_the_new_state(collected):
    state = collected.events("changed")[-1]["state"]
    assert state["collected"]
    assert state["revision"] == collected.ask("poll").result["revision"]


class Slow:
    """A loader without length that takes its time."""

    def __init__(self, batches, seconds):
        self.batches, self.seconds = batches, seconds

    def __iter__(self):
        for batch in self.batches:
            time.sleep(self.seconds)
            yield batch


def test_progress_comes_at_most_ten_times_a_second(make, gated, few):
    widget = make(gated, Slow(few * 8, 0.01))
    page = Page(widget)
    number = page.ask("collect").result["job"]
    page.end_of(number)
    times = [
        t for t, d, _ in page.comm.sent
        if d.get("content", {}).get("event") == "job" and d["content"]["job"]["state"] == "running"
    ]  # fmt: skip
    assert len(times) >= 4
    assert len(times) <= 3 + (times[-1] - times[0]) / 0.1
    first, *_, last = page.jobs(number)
    assert last["total"] is None or last["total"] >= 0
    running = [job for job in page.jobs(number) if job["state"] == "running" and job["unit"] == "images"]
    assert running[-1]["rate"] > 0
    assert running[-1]["done"] <= 512
    assert first["state"] == "queued"


def test_cancel_with_nothing_running(page):
    assert page.ask("cancel").result == {"cancelled": False}


def hold(page: Page, gated, op: str = "collect", **args) -> int:
    """Start a job and stop it in the middle of its first batch."""
    while gated.gate.reached.acquire(blocking=False):
        pass
    gated.gate.open.clear()
    number = page.ask(op, **args).result["job"]
    assert gated.gate.reached.acquire(timeout=10)
    return number


def test_cancelled_first_collect_with_few_images_leaves_nothing(make, gated, few):
    widget = make(gated, few)
    page = Page(widget)
    number = hold(page, gated)
    assert page.ask("poll").result["job"]["state"] == "running"
    assert page.ask("cancel").result == {"cancelled": True}
    gated.gate.open.set()
    job = page.end_of(number)
    assert (job["state"], job["error"]) == ("cancelled", None)
    assert "too few" in job["message"] or "Nothing was collected" in job["message"]
    assert not page.ask("hello").result["collected"]
    assert page.run("collect")["state"] == "done"


def test_cancelled_collect_leaves_the_earlier_one(make, gated, few):
    widget = make(gated, few)
    page = Page(widget)
    assert page.run("collect")["state"] == "done"
    collection, scm = widget.explainer.collection, widget.explainer.scm
    number = hold(page, gated, batches=2)
    page.ask("cancel")
    gated.gate.open.set()
    job = page.end_of(number)
    assert job["state"] == "cancelled"
    assert "64 images stays" in job["message"]
    assert widget.explainer.collection is collection
    assert widget.explainer.scm is scm
    assert page.ask("hello").result["nImages"] == 64


class Broken:
    """Raises after some batches."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        yield from self.batches
        raise OSError("the <disk> is gone")


def test_loader_that_raises_keeps_what_was_seen_and_says_so(make, gated, few):
    widget = make(gated, Broken(few * 3))
    page = Page(widget)
    job = page.run("collect")
    assert job["state"] == "failed"
    assert job["error"] == "DataError"
    assert "the <disk> is gone" in job["message"]
    assert "192 images collected until then are used" in job["message"]
    assert page.ask("hello").result["nImages"] == 192
    assert widget.explainer.scm is not None
    assert page.ask("poll").result["job"]["state"] == "failed"


def test_loader_that_raises_early_leaves_nothing(make, gated, few):
    widget = make(gated, Broken(few[:2]))
    job = Page(widget).run("collect")
    assert job["state"] == "failed"
    assert "16 images seen are too few" in job["message"]
    assert widget.explainer.scm is None


class Exiting:
    def __init__(self, batches):
        self.batches, self.armed = batches, False

    def __iter__(self):
        yield from self.batches
        if self.armed:
            raise SystemExit(3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_exit_in_the_loader_fails_the_job_and_the_widget_goes_on(make, gated, few):
    loader = Exiting(few)
    page = Page(make(gated, loader))
    loader.armed = True
    job = page.run("collect")
    assert job["state"] == "failed"
    loader.armed = False
    assert page.run("collect")["state"] == "done"


def test_questions_are_answered_while_a_job_runs(make, gated, few):
    page = Page(make(gated, Slow(few * 4, 0.05)))
    number = page.ask("collect").result["job"]
    assert page.ask("graph").result["layers"]
    assert page.ask("importance", rule="l1").arrays["importance"].shape == (7,)
    assert page.ask("unit", layer="conv", unit=1).result["response"] is None
    assert page.jobs(number)[-1]["state"] in ("queued", "running")
    assert page.end_of(number)["state"] == "done"


def test_two_jobs_run_one_after_the_other(make, gated, few):
    page = Page(make(gated, few))
    first = hold(page, gated)
    second = page.ask("prune", percents=[50], rules=["l1"], repeats=1).result["job"]
    assert page.jobs(second)[-1]["state"] == "queued"
    gated.gate.open.set()
    assert page.end_of(first)["state"] == "done"
    assert page.end_of(second)["state"] == "done"
    assert page.ask("poll").result["job"]["id"] == second


def test_cancel_takes_waiting_jobs_too(make, gated, few):
    page = Page(make(gated, few))
    first = hold(page, gated)
    second = page.ask("prune", percents=[50], rules=["l1"], repeats=1).result["job"]
    assert page.ask("cancel").result == {"cancelled": True}
    assert page.end_of(second)["state"] == "cancelled"
    gated.gate.open.set()
    assert page.end_of(first)["state"] == "cancelled"
    assert page.ask("pruning").result["curve"] is None


def test_pruning_curve_is_the_explainers(collected, explainer, demo):
    percents, rules = [0, 30, 60], ["coefficient", "l1", "random"]
    assert collected.run("prune", percents=percents, rules=rules, repeats=3, seed=5)["state"] == "done"
    sent = collected.ask("pruning").result["curve"]
    curve = explainer.pruning_curve(demo.test_loader, percents, rules=rules, repeats=3, seed=5)
    assert sent["percents"] == percents
    assert sent["n"] == demo.n_test
    assert sent["baseline"] == pytest.approx(curve.baseline)
    for rule in sent["rules"]:
        assert rule["mean"] == pytest.approx(curve.mean(rule["name"]).tolist())
        assert rule["low"] == pytest.approx(curve.low(rule["name"]).tolist())
        assert rule["high"] == pytest.approx(curve.high(rule["name"]).tolist())
        assert rule["repeats"] == curve.repeats(rule["name"])
    assert [rule["name"] for rule in sent["rules"]] == rules


def test_cancelled_pruning_leaves_the_earlier_curve(make, gated, few):
    page = Page(make(gated, few))
    assert page.run("prune", percents=[50], rules=["l1"], repeats=1)["state"] == "done"
    number = hold(page, gated, "prune", percents=[10, 20, 50], rules=["l1"], repeats=1)
    page.ask("cancel")
    gated.gate.open.set()
    assert page.end_of(number)["state"] == "cancelled"
    assert page.ask("pruning").result["curve"]["percents"] == [50]


def test_pruning_by_a_rule_that_needs_data_fails_with_what_to_do(page):
    job = page.run("prune", percents=[10], rules=["coefficient"], repeats=1)
    assert (job["state"], job["error"]) == ("failed", "OrderError")
    assert "collect" in job["message"]


def test_pruning_without_labels_fails_with_the_reason(make, gated, few):
    page = Page(make(gated, [images for images, _ in few]))
    job = page.run("prune", percents=[10], rules=["l1"], repeats=1)
    assert (job["state"], job["error"]) == ("failed", "DataError")
    assert "labels" in job["message"]


@pytest.mark.parametrize(
    ("op", "args", "kind", "expected"),
    [
        ("prune", {"percents": [101], "rules": ["l1"]}, "ArgumentError", "between 0 and 100, got 101"),
        ("prune", {"percents": [], "rules": ["l1"]}, "ArgumentError", "at least one"),
        ("prune", {"percents": [10], "rules": []}, "ArgumentError", "at least one"),
        ("prune", {"percents": [10], "rules": ["l2"]}, "UnknownNameError", 'Did you mean "l1"?'),
        ("prune", {"percents": [10], "rules": ["l1"], "repeats": 0}, "ArgumentError", "between 1 and"),
        ("collect", {"device": "cuda:99"}, "DeviceError", "cuda:99"),
        ("collect", {"device": "<b>"}, "DeviceError", "<b>"),
    ],
)
def test_a_job_that_cannot_be_done_is_refused_at_once(page, op, args, kind, expected):
    error = page.ask(op, **args).error
    assert error["kind"] == kind
    assert expected in error["message"]
    assert page.ask("hello").result["job"] is None


def test_model_is_left_as_it_was(make, gated, few):
    gated.train()
    before = {name: value.clone() for name, value in gated.state_dict().items()}
    random = torch.get_rng_state()
    page = Page(make(gated, few))
    page.run("collect")
    page.ask("effect", ablated={"conv": [0]})
    page.run("prune", percents=[50], rules=["l1", "random"], repeats=2)
    assert gated.training
    assert all(torch.equal(value, before[name]) for name, value in gated.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in gated.modules())
