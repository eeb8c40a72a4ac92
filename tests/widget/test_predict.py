"""predict: the equations answer a do() without the network, on the images that effects are measured on."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from causal_widget.effects import effect_of
from causal_widget.interventions import Intervention
from causal_widget.responses import paired, read_responses
from causal_widget.scm.local import local_coefficients
from causal_widget.widget.handlers.predict import FRACTIONS, PASSES

from .conftest import Page

UNITS = {"conv1": [1, 4], "conv2": [7]}


@pytest.mark.parametrize("scale", [0.0, 0.25, 1.0])
def test_prediction_is_the_models(collected, widget, explainer, demo, scale):
    found = collected.ask("predict", ablated=UNITS, scale=scale).result["predicted"]
    responses = read_responses(demo.model, demo.test_loader)
    before = responses.evaluation()
    after = explainer.scm.do(UNITS, scale=scale).predict(responses)
    assert found["n"] == demo.n_test
    assert (found["units"], found["scale"]) == (UNITS, scale)
    assert found["before"] == pytest.approx({"accuracy": before.accuracy, "loss": before.loss})
    assert found["after"] == pytest.approx({"accuracy": after.accuracy, "loss": after.loss}, rel=1e-6)
    changed = paired(before.losses, after.losses)
    assert (found["change"]["loss"], found["change"]["lossSe"]) == pytest.approx(
        (changed.change, changed.se), abs=1e-9
    )
    assert found["flipped"] == int((before.predictions != after.predictions).sum())
    logits = (after.logits - before.logits).mean(axis=0)
    np.testing.assert_allclose([one["logit"] for one in found["classes"]], logits, atol=1e-6)
    assert [one["name"] for one in found["classes"]] == list(demo.class_names)
    if scale < 1:
        assert found["change"]["loss"] != 0
    else:
        assert found["flipped"] == found["change"]["loss"] == 0


def test_prediction_and_effect_are_about_the_same_images(make, explainer, demo):
    page = Page(make(explainer, demo.test_loader, n_effect=120))
    page.run("collect")
    predicted, measured = (page.ask(op, ablated={"conv2": [3]}).result for op in ("predict", "effect"))
    assert predicted["predicted"]["n"] == measured["n"] == 120
    assert predicted["predicted"]["before"] == pytest.approx(measured["before"], rel=1e-6)


def test_in_a_linear_network_the_prediction_is_the_effect(make):
    """Without nonlinearities, and with a response that is what the next layer reads, nothing is missed."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 4), nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2)).double()
    images = [(torch.randn(64, 1, 4, 4, dtype=torch.double), torch.randint(0, 2, (64,))) for _ in range(4)]
    widget = make(model, images)
    widget.explainer.collect_data(images, lambda maps: maps.mean((2, 3)))
    widget.explainer.learn_structural_equations("linear")
    page = Page(widget)
    for scale in (0.0, 0.4):
        predicted, measured = (
            page.ask(op, ablated={"0": [1], "2": [2]}, scale=scale).result for op in ("predict", "effect")
        )
        assert predicted["predicted"]["after"] == pytest.approx(measured["after"], rel=1e-5)
        assert measured["change"]["loss"] != 0


def test_choices_count_where_the_request_says_nothing(collected, widget):
    widget.ablated, widget.scale = {"conv2": [2]}, 0.5
    found = collected.ask("predict").result["predicted"]
    assert (found["units"], found["scale"]) == ({"conv2": [2]}, 0.5)
    assert found == collected.ask("predict", ablated={"conv2": [2]}, scale=0.5).result["predicted"]


def test_before_collecting_it_says_what_to_do(page):
    answer = page.ask("predict", ablated={"conv1": [0]}).result
    assert answer["predicted"] is None
    assert "collect" in answer["reason"]


def test_equations_of_another_site_say_so(collected):
    answer = collected.ask("predict", ablated={"conv1": [0]}, site="conv").result
    assert answer["predicted"] is None
    assert "activation" in answer["reason"]
    assert "conv" in answer["reason"]


@pytest.mark.parametrize(
    ("args", "kind", "expected"),
    [
        ({"ablated": {"conv3": [0]}}, "UnknownNameError", "Did you mean"),
        ({"ablated": {"fc2": [0]}}, "ArgumentError", "classes"),
        ({"ablated": {"conv1": [0]}, "scale": 1.5}, "ArgumentError", "between 0 (silent) and 1"),
        ({"ablated": {"conv1": [0]}, "scale": -0.5}, "ArgumentError", "got -0.5"),
        ({"ablated": {"conv1": [0]}, "scale": "half"}, "ProtocolError", "finite number"),
    ],
)
@pytest.mark.parametrize("op", ["predict", "effect"])
def test_intervention_that_cannot_be(collected, op, args, kind, expected):
    error = collected.ask(op, **args).error
    assert error["kind"] == kind
    assert expected in error["message"]


def test_effect_scales_the_network(page, widget, explainer, demo):
    sent = page.ask("effect", ablated=UNITS, scale=0.5).result
    do = Intervention(UNITS, scale=0.5)
    effect = effect_of(demo.model, explainer.graph, do, demo.test_loader)
    assert sent["scale"] == 0.5
    assert sent["after"] == pytest.approx({"accuracy": effect.accuracy.after, "loss": effect.loss.after})
    assert sent["after"]["loss"] != pytest.approx(page.ask("effect", ablated=UNITS).result["after"]["loss"])


@pytest.fixture
def learned(make, gated, few):
    """A page of a network that can be held, with equations and the responses read."""
    widget = make(gated, few)
    page = Page(widget)
    page.run("collect")
    page.ask("predict", ablated={"conv": [0]})
    return page


def test_a_prediction_waits_for_no_effect(learned, gated):
    gated.gate.open.clear()
    effect = learned.send("effect", ablated={"conv": [1]})
    for unit in range(4):
        assert learned.ask("predict", ablated={"conv": [unit]}, scale=0.3).result["predicted"]["n"] == 64
    assert not any(message.get("id") == effect for message, _ in learned.messages())
    gated.gate.open.set()
    assert learned.answer(effect).result["units"] == {"conv": [1]}


def test_a_prediction_runs_no_network(learned, gated):
    while gated.gate.reached.acquire(blocking=False):
        pass
    learned.ask("predict", ablated={"conv": [2]}, scale=0.7)
    assert not gated.gate.reached.acquire(blocking=False)


def test_responses_are_read_once_and_again_when_the_weights_change(learned, gated, few):
    before = learned.ask("predict", ablated={"conv": [0]}).result["predicted"]["before"]
    with torch.no_grad():
        gated.fc.weight.mul_(3)
    again = learned.ask("predict", ablated={"conv": [0]}).result["predicted"]["before"]
    assert again["loss"] != pytest.approx(before["loss"])
    assert again["loss"] == pytest.approx(
        learned.ask("effect", ablated={"conv": [0]}).result["before"]["loss"]
    )


def test_latest_prediction_wins(learned, monkeypatch):
    """While one is being worked out, of those that wait only the last is answered."""
    begun, go_on = threading.Event(), threading.Event()
    from causal_widget.widget import backend

    handler = backend.HANDLERS["predict"]

    def slow(*args):
        begun.set()
        assert go_on.wait(30)
        return handler(*args)

    monkeypatch.setitem(backend.HANDLERS, "predict", slow)
    first = learned.send("predict", ablated={"conv": [0]}, scale=0.1)
    assert begun.wait(30)
    second = learned.send("predict", ablated={"conv": [0]}, scale=0.2)
    third = learned.send("predict", ablated={"conv": [0]}, scale=0.3)
    assert learned.answer(second).error["kind"] == "Superseded"
    go_on.set()
    assert learned.answer(first).result["predicted"]["scale"] == 0.1
    assert learned.answer(third).result["predicted"]["scale"] == 0.3


def test_equations_learned_in_python_answer_too(page, widget, explainer, demo):
    explainer.collect_data(demo.train_loader)
    explainer.learn_structural_equations()
    found = page.ask("predict", ablated={"conv2": [1]}).result["predicted"]
    assert found["n"] == demo.n_test
    assert found["change"]["loss"] != 0


def test_local_equations_are_measured_by_a_job_and_then_answer(collected, widget, explainer, demo):
    asked = {"ablated": {"conv2": [5, 7]}, "scale": 0.4, "by": "local"}
    before = collected.ask("predict", **asked).result
    assert before["predicted"] is None
    assert "not measured" in before["reason"]
    assert before["cost"]["images"] == demo.n_test
    assert before["cost"]["passes"] > demo.n_test
    assert collected.run("local", seed=3)["state"] == "done"
    found = collected.ask("predict", **asked).result["predicted"]
    local = local_coefficients(
        demo.model, explainer.graph, demo.test_loader, outcomes="all",
        fractions=FRACTIONS, passes=PASSES, seed=3,
    )  # fmt: skip
    expected = local.predict({"conv2": [5, 7]}, scale=0.4).mean(axis=0)
    np.testing.assert_allclose([one["logit"] for one in found["classes"]], expected, rtol=1e-4, atol=1e-5)
    assert found["before"] == pytest.approx(collected.ask("effect").result["before"], rel=1e-5)


def test_local_equations_foresee_more_than_the_fitted_ones(collected):
    collected.run("local")
    errors = {"equations": 0.0, "local": 0.0}
    for unit in range(8):
        asked = {"ablated": {"conv2": [unit]}}
        truth = collected.ask("effect", **asked).result["change"]["loss"]
        for by in errors:
            found = collected.ask("predict", by=by, **asked).result["predicted"]["change"]["loss"]
            errors[by] += abs(found - truth)
    assert errors["local"] < 0.5 * errors["equations"]


def test_local_equations_need_fitted_ones_first_and_no_other_answer(page, collected):
    fresh = page.ask("predict", ablated={"conv1": [0]}, by="locally").error
    assert fresh["kind"] == "UnknownNameError"
    assert 'Did you mean "local"?' in fresh["message"]


def test_local_before_collecting(page):
    assert page.ask("local").error["kind"] == "OrderError"
