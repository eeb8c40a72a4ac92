"""effect, images, heatmap: what the network does, as the explainer says it."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from causal_widget.effects import evaluate
from causal_widget.explanations import difference
from causal_widget.explanations import heatmap as heatmap_of
from causal_widget.interventions import Intervention

from .conftest import Page

UNITS = {"conv1": [1, 4], "conv2": [7]}


@pytest.mark.parametrize("site", ["conv", "activation"])
def test_effect_is_effect_of(page, widget, explainer, demo, site):
    widget.ablated, widget.site = UNITS, site
    sent = page.ask("effect").result
    effect = explainer.effect_of(UNITS, demo.test_loader, site=site)
    assert sent["n"] == effect.n == demo.n_test
    assert (sent["units"], sent["site"]) == (UNITS, site)
    assert sent["before"] == pytest.approx({"accuracy": effect.accuracy.before, "loss": effect.loss.before})
    assert sent["after"] == pytest.approx({"accuracy": effect.accuracy.after, "loss": effect.loss.after})
    assert sent["change"]["accuracy"] == pytest.approx(effect.accuracy.change)
    assert sent["change"]["accuracySe"] == pytest.approx(effect.accuracy.se)
    assert sent["change"]["loss"] == pytest.approx(effect.loss.change)
    assert sent["change"]["lossSe"] == pytest.approx(effect.loss.se)
    assert sent["change"]["accuracy"] != 0
    assert sent["flipped"] == effect.flipped
    for said, one, name in zip(sent["classes"], effect.classes, demo.class_names, strict=True):
        assert said["name"] == name
        assert (said["before"], said["after"]) == pytest.approx((one.accuracy.before, one.accuracy.after))
        assert (said["logit"], said["logitSe"]) == pytest.approx((one.logit.change, one.logit.se))


def test_strip_says_each_images_prediction_before_and_after(page, demo):
    sent = page.ask("effect", ablated=UNITS).result["strip"]
    images = next(iter(demo.test_loader))[0][:12]
    with torch.no_grad():
        before = demo.model(images).softmax(1)
        model = demo.model
        hooks = [
            model.get_submodule(name).register_forward_hook(
                lambda _, __, out, units=units: out.index_fill(1, torch.tensor(units), 0.0)
            )
            for name, units in UNITS.items()
        ]
        after = model(images).softmax(1)
        for hook in hooks:
            hook.remove()
    for k, said in enumerate(sent):
        assert said["before"]["cls"] == int(before[k].argmax())
        assert said["before"]["p"] == pytest.approx(float(before[k].max()), abs=1e-5)
        assert said["after"]["cls"] == int(after[k].argmax())
        assert said["after"]["p"] == pytest.approx(float(after[k].max()), abs=1e-5)


def test_site_is_part_of_the_answer(make, few):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    nn.init.constant_(model[1].bias, 0.7)
    widget = make(model, few)
    page = Page(widget)
    losses = {}
    for site in ("conv", "norm", "activation"):
        widget.site = site
        losses[site] = page.ask("effect", ablated={"0": [1]}).result["after"]["loss"]
        assert losses[site] == pytest.approx(
            widget.explainer.effect_of({"0": [1]}, few, site=site).loss.after
        )
    # a convolution that is silent leaves the normalisation's shift alive
    assert losses["conv"] != pytest.approx(losses["activation"])
    assert losses["norm"] == pytest.approx(losses["activation"])


def test_a_toggle_is_answered_at_once(page):
    page.ask("effect")
    seconds = []
    for unit in range(6):
        began = time.perf_counter()
        page.ask("effect", ablated={"conv1": [unit]})
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.3


def test_no_intervention_has_no_effect(page):
    sent = page.ask("effect").result
    assert sent["units"] == {}
    assert sent["change"]["accuracy"] == 0
    assert sent["flipped"] == 0


def test_request_may_carry_the_intervention(page, widget):
    widget.ablated = {"conv1": [0]}
    assert page.ask("effect", ablated={"conv2": [3]}, site="conv").result["units"] == {"conv2": [3]}
    assert page.ask("effect").result["units"] == {"conv1": [0]}


@pytest.mark.parametrize(
    ("args", "kind", "expected"),
    [
        ({"ablated": {"conv3": [0]}}, "UnknownNameError", "Did you mean"),
        ({"ablated": {"conv1": [99]}}, "UnknownNameError", "units 0 to 7"),
        ({"ablated": {"fc2": [0]}}, "ArgumentError", "classes"),
        (
            {"ablated": {"conv1": [0]}, "site": "activations"},
            "UnknownNameError",
            'Did you mean "activation"?',
        ),
    ],
)
def test_intervention_that_cannot_be(page, args, kind, expected):
    error = page.ask("effect", **args).error
    assert error["kind"] == kind
    assert expected in error["message"]


def test_latest_effect_wins(make, gated, few):
    page = Page(make(gated, few))
    assert page.ask("effect", ablated={"conv": [0]}).result["n"] == 64
    while gated.gate.reached.acquire(blocking=False):
        pass
    gated.gate.open.clear()
    first = page.send("effect", ablated={"conv": [1]})
    assert gated.gate.reached.acquire(timeout=10)
    second = page.send("effect", ablated={"conv": [2]})
    third = page.send("effect", ablated={"conv": [3]})
    assert page.answer(second).error["kind"] == "Superseded"
    gated.gate.open.set()
    assert page.answer(first).error["kind"] == "Superseded"
    assert page.answer(third).result["units"] == {"conv": [3]}


def test_superseded_first_effect_does_not_lose_the_baseline(make, gated, few):
    page = Page(make(gated, few))
    while gated.gate.reached.acquire(blocking=False):
        pass
    gated.gate.open.clear()
    first = page.send("effect", ablated={"conv": [1]})
    assert gated.gate.reached.acquire(timeout=10)
    second = page.send("effect", ablated={"conv": [2]})
    gated.gate.open.set()
    assert page.answer(first).error["kind"] == "Superseded"
    assert page.answer(second).result["n"] == 64
    passes = 1
    while gated.gate.reached.acquire(blocking=False):
        passes += 1
    # eight batches without, eight under do(), the strip twice, one of the request that was replaced
    assert passes <= 8 + 1 + 8 + 2


def test_cancelled_effect_says_so(make, gated, few):
    page = Page(make(gated, few))
    page.ask("effect", ablated={"conv": [0]})
    while gated.gate.reached.acquire(blocking=False):
        pass
    gated.gate.open.clear()
    number = page.send("effect", ablated={"conv": [1]})
    assert gated.gate.reached.acquire(timeout=10)
    assert page.ask("cancel").result == {"cancelled": True}
    gated.gate.open.set()
    assert page.answer(number).error["kind"] == "Cancelled"


def test_same_question_is_remembered_until_the_weights_change(make, gated, few):
    page = Page(make(gated, few))
    first = page.ask("effect", ablated={"conv": [0]}).result
    while gated.gate.reached.acquire(blocking=False):
        pass
    assert page.ask("effect", ablated={"conv": [0]}).result == first
    assert not gated.gate.reached.acquire(blocking=False)
    with torch.no_grad():
        gated.fc.weight.mul_(3)
    again = page.ask("effect", ablated={"conv": [0]}).result
    assert again["before"]["loss"] == pytest.approx(evaluate(gated, few).loss)
    assert again["before"]["loss"] != pytest.approx(first["before"]["loss"])


def test_slow_effect_shows_as_a_job(make, gated, few, monkeypatch):
    monkeypatch.setattr("causal_widget.widget.backend.SLOW_EFFECT", 0.0)
    page = Page(make(gated, few))
    page.ask("effect", ablated={"conv": [0]})
    jobs = [event["job"] for event in page.events("job")]
    assert {job["kind"] for job in jobs} == {"effect"}
    assert jobs[-1]["state"] == "done"
    assert page.ask("poll").result["job"] is None


def test_quick_effect_is_no_news(page):
    page.ask("effect", ablated={"conv1": [0]})
    page.ask("effect", ablated={"conv1": [1]})
    assert page.events("job") == []


def test_effect_without_labels(make, gated, few):
    page = Page(make(gated, [images for images, _ in few]))
    sent = page.ask("effect", ablated={"conv": [0, 1, 2]}).result
    assert sent["before"] == {"accuracy": None, "loss": None}
    assert sent["change"]["accuracy"] is None
    assert sent["classes"][0]["before"] is None
    assert isinstance(sent["classes"][0]["logit"], float)
    assert page.ask("hello").result["hasLabels"] is False
    assert page.ask("images").result["labels"] == [None] * 12


def test_effect_on_the_batches_chosen(page, widget):
    widget.batches = 2
    assert page.ask("effect", ablated={"conv1": [0]}).result["n"] == 128
    widget.batches = 0
    assert page.ask("effect", ablated={"conv1": [0]}).result["n"] == 500


def test_effect_on_at_most_so_many_images(make, explainer, demo):
    assert Page(make(explainer, demo.test_loader, n_effect=100)).ask("effect").result["n"] == 100


def test_shuffled_loader_gives_the_same_images_each_time(make, explainer, demo):
    images = torch.cat([batch[0] for batch in demo.test_loader])
    labels = torch.cat([batch[1] for batch in demo.test_loader])
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    state = torch.get_rng_state()
    pages = [Page(make(explainer, loader)) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    strips = [page.ask("images").arrays["images"] for page in pages]
    np.testing.assert_array_equal(*strips)
    effects = [page.ask("effect", ablated=UNITS).result for page in pages]
    assert effects[0]["strip"] == effects[1]["strip"]
    expected = explainer.effect_of(UNITS, demo.test_loader)
    assert effects[0]["change"]["loss"] == pytest.approx(expected.loss.change)


def test_images_are_the_first_of_the_loader_as_they_were(page, demo):
    answer = page.ask("images")
    images, labels = next(iter(demo.test_loader))
    pixels = (images[:12] * demo.std[0] + demo.mean[0]).clamp(0, 1) * 255
    sent = answer.arrays["images"]
    assert sent.shape == (12, 8, 8, 3)
    assert np.abs(sent - pixels.permute(0, 2, 3, 1).numpy()).max() <= 0.51
    assert answer.result["labels"] == labels[:12].tolist()
    with torch.no_grad():
        assert answer.result["predictions"] == demo.model(images[:12]).argmax(1).tolist()


def test_large_images_are_shrunk_with_their_maps(make):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    page = Page(make(model, [torch.randn(2, 3, 400, 600)]))
    assert page.ask("images").arrays["images"].shape == (2, 170, 256, 3)
    maps = page.ask("heatmap", image=1, layer="0", unit=2, unitLayer="0")
    assert maps.arrays["activation"].shape == (170, 256)


def test_heatmap_is_the_explanations(collected, widget, explainer, demo):
    widget.ablated, widget.rule = UNITS, "standardised"
    answer = collected.ask("heatmap", image=3, layer="conv2", unit=2, unitLayer="conv1")
    image = next(iter(demo.test_loader))[0][3:4]
    weights = explainer.importance("standardised")["conv2"]
    network = (demo.model, explainer.graph, image)
    expected = {
        "importance": heatmap_of(*network, "conv2", weights=weights)[0],
        "activation": heatmap_of(*network, "conv1", unit=2)[0],
        "difference": difference(*network, "conv2", Intervention(UNITS), weights=weights)[0],
    }
    for said in answer.result["maps"]:
        plain, sent = expected[said["name"]], answer.arrays[said["name"]]
        assert said["present"]
        assert (said["low"], said["high"]) == pytest.approx((plain.min(), plain.max()))
        assert said["signed"] == (said["name"] == "difference")
        if said["signed"]:
            np.testing.assert_allclose(sent, plain / np.abs(plain).max(), atol=1e-5)
        else:
            np.testing.assert_allclose(sent, (plain - plain.min()) / np.ptp(plain), atol=1e-5)


def test_heatmap_says_which_maps_are_not_there(page):
    maps = {m["name"]: m["present"] for m in page.ask("heatmap", image=0, layer="conv1").result["maps"]}
    assert maps == {"importance": False, "activation": False, "difference": False}
    maps = {m["name"]: m["present"] for m in page.ask("heatmap", image=0, layer="fc1", unit=3).result["maps"]}
    assert maps == {"importance": False, "activation": False, "difference": False}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"image": 12, "layer": "conv1"}, "0 to 11"),
        ({"image": 0, "layer": "conv9"}, "Did you mean"),
        ({"image": 0, "layer": "conv1", "unit": 77}, "units 0 to 7"),
        ({"image": 0, "layer": "conv1", "unit": 1, "unitLayer": "nowhere"}, '"nowhere" does not exist'),
    ],
)
def test_heatmap_of_nothing(page, args, expected):
    error = page.ask("heatmap", **args).error
    assert error["kind"] == "UnknownNameError"
    assert expected in error["message"]
