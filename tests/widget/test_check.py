"""check and checked: the equations held against the network, with their cost said before."""

from __future__ import annotations

import pytest

from causal_widget.evaluation import fidelity
from causal_widget.widget.handlers import checking

from .conftest import Page


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(checking, "COAR_MASKS", 60)
    monkeypatch.setattr(checking, "BUDGET", 2_400)


def test_before_collecting_it_costs_nothing_and_says_what_to_do(page):
    known = page.ask("checked").result
    assert known["cost"] is known["depth"] is known["fidelity"] is None
    assert "collect" in known["reason"]
    error = page.ask("check").error
    assert error["kind"] == "OrderError"


def test_cost_is_said_first_and_grows_with_what_is_asked(collected):
    few, many = (collected.ask("checked", images=n, draws=10).result["cost"] for n in (10, 100))
    assert 0 < few["passes"] < many["passes"]
    assert 0 < few["seconds"] < many["seconds"]
    assert few["images"] == 10


def test_check_is_sanity_and_fidelity(collected, widget, demo):
    job = collected.run("check", images=20, draws=3, seed=4)
    assert (job["kind"], job["state"], job["error"]) == ("check", "done", None)
    known = collected.ask("checked").result
    scm = widget.explainer.scm
    sanity = scm.sanity(scm.responses(demo.test_loader))
    assert known["depth"]["layers"] == list(sanity.layers) == ["conv1", "conv2", "fc1"]
    assert known["depth"]["agreement"] == pytest.approx(list(sanity.agreement))
    assert known["depth"]["accuracy"] == pytest.approx(list(sanity.accuracy))
    assert known["depth"]["network"] == pytest.approx(sanity.network.accuracy)
    expected = fidelity(
        scm, demo.model, demo.test_loader, images=20, n_masks=3, seed=4,
        kinds=("single", "network 10%"), methods=("equations", "gradient"),
    )  # fmt: skip
    found = known["fidelity"]
    assert (found["images"], found["interventions"]) == (20, 9)
    assert [setting["name"] for setting in found["settings"]] == list(checking.KINDS.values())
    for at, kind in ((0, "single"), (2, "network 10%")):
        rows = {row["name"]: row for row in found["settings"][at]["rows"]}
        for method, name in (("equations", "SCM equations"), ("gradient", "gradient")):
            score = expected.score(method, kind)
            assert rows[name]["correlation"] == pytest.approx(score.pearson, rel=1e-5)
            assert rows[name]["r2"] == pytest.approx(score.r2, rel=1e-4)
            assert rows[name]["passes"] == score.forwards
        assert [row["ours"] for row in found["settings"][at]["rows"]][:3] == [True, True, False]


def test_new_equations_forget_the_check_of_old_ones(collected):
    collected.run("check", images=10, draws=1)
    assert collected.ask("checked").result["depth"] is not None
    collected.run("collect", batches=4)
    assert collected.ask("checked").result["depth"] is None


def test_without_labels_only_the_agreement_is_checked(make, gated, few):
    page = Page(make(gated, [images for images, _ in few]))
    page.run("collect")
    assert page.ask("checked").result["cost"]["labelled"] is False
    assert page.run("check")["state"] == "done"
    known = page.ask("checked").result
    assert known["fidelity"] is None
    assert known["depth"]["accuracy"] == [None]
    assert known["depth"]["agreement"][0] > 0.5


def test_a_check_can_be_cancelled(make, gated, few):
    page = Page(make(gated, few))
    page.run("collect")
    while gated.gate.reached.acquire(blocking=False):
        pass
    gated.gate.open.clear()
    number = page.ask("check").result["job"]
    assert gated.gate.reached.acquire(timeout=10)
    assert page.ask("cancel").result == {"cancelled": True}
    gated.gate.open.set()
    assert page.end_of(number)["state"] == "cancelled"
    assert page.ask("checked").result["depth"] is None


@pytest.mark.parametrize(
    ("args", "kind", "expected"),
    [
        ({"draws": 0}, "ArgumentError", "draws must be between 1 and 200, got 0"),
        ({"draws": 1000}, "ArgumentError", "got 1000"),
        ({"images": 0}, "ArgumentError", "images must be 1 or more"),
        ({"images": -1}, "ProtocolError", "0 or more"),
        ({"masks": 3}, "ProtocolError", "no argument 'masks'"),
    ],
)
def test_check_that_cannot_be(collected, args, kind, expected):
    error = collected.ask("check", **args).error
    assert error["kind"] == kind
    assert expected in error["message"]
