"""equations and equation: how well the equations hold, and one of them, as the explainer's model says it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from sklearn.tree import DecisionTreeRegressor
from torch import nn

from causal_widget.explainer import CausalCNNExplainer
from causal_widget.responses import collect
from causal_widget.scm import fit

from .conftest import Page


def test_layers_and_their_r2(collected, widget):
    answer = collected.ask("equations")
    scm, known = widget.explainer.scm, answer.result["known"]
    assert [layer["layer"] for layer in known["layers"]] == list(scm.equations) == ["conv2", "fc1", "fc2"]
    assert [layer["units"] for layer in known["layers"]] == [one.n_units for one in scm.equations.values()]
    for name, field in (("r2", "r2"), ("heldoutR2", "heldout_r2")):
        expected = np.concatenate([getattr(one, field) for one in scm.equations.values()])
        np.testing.assert_allclose(answer.arrays[name], expected, rtol=1e-6)
    assert (known["estimator"], known["transform"], known["site"]) == ("ridge", "frobenius", "activation")
    assert known["data"] == "both"
    assert known["images"] == scm.n_images


def test_before_anything_is_collected(page):
    assert page.ask("equations").result == {"known": None}
    answer = page.ask("equation", layer="conv2", unit=0).result
    assert answer["equation"] is None
    assert "collected" in answer["reason"]


def test_one_equation_is_that_of_the_model(collected, widget):
    equation = collected.ask("equation", layer="conv2", unit=5).result["equation"]
    scm = widget.explainer.scm
    plain, scaled = scm.coefficients("conv1", "conv2")[5], scm.standardised("conv1", "conv2")[5]
    assert equation["nParents"] == len(equation["parents"]) == 8
    for parent in equation["parents"]:
        assert parent["layer"] == "conv1"
        assert parent["coefficient"] == pytest.approx(plain[parent["unit"]])
        assert parent["standardised"] == pytest.approx(scaled[parent["unit"]])
    order = [abs(parent["standardised"]) for parent in equation["parents"]]
    assert order == sorted(order, reverse=True)
    one = scm.equations["conv2"]
    for key, values in (("r2", one.r2), ("condition", one.condition), ("penalty", one.penalty)):
        assert equation[key] == pytest.approx(values[5])
    assert equation["relativeMse"] == pytest.approx(1 - one.r2[5])


def test_many_parents_keep_the_strongest_of_either_kind(collected, widget):
    scm = widget.explainer.scm
    unit = int(np.flatnonzero(np.isfinite(scm.equations["fc1"].r2))[0])
    equation = collected.ask("equation", layer="fc1", unit=unit).result["equation"]
    assert equation["nParents"] == 16
    listed = {parent["unit"] for parent in equation["parents"]}
    for values in (scm.coefficients("conv2", "fc1")[unit], scm.standardised("conv2", "fc1")[unit]):
        assert set(np.argsort(-np.abs(values))[:5]) <= listed


def test_points_are_of_held_out_images_and_give_the_held_out_r2(collected, widget, demo):
    """By the raw responses, independently of the moments from which the model has its R2."""
    answer = collected.ask("equation", layer="conv2", unit=5)
    observed, predicted = answer.arrays["points"].T
    kept = widget.explainer.heldout_responses
    assert len(observed) == kept.n_images == widget.explainer.collection.heldout.count
    np.testing.assert_allclose(observed, kept["conv2"][:, 5], rtol=1e-6)
    assert r2_score(observed, predicted) == pytest.approx(answer.result["equation"]["heldoutR2"], abs=1e-4)
    np.testing.assert_allclose(observed, widget.explainer.filter_outputs[1][kept.index, 5])


def test_first_layer_has_no_equation_and_says_why(collected):
    answer = collected.ask("equation", layer="conv1", unit=0).result
    assert answer["equation"] is None
    assert "image" in answer["reason"]


def test_without_raw_responses_the_points_say_why(make, demo):
    explainer = CausalCNNExplainer(demo.model, device="cpu", keep_responses=False)
    page = Page(make(explainer, demo.test_loader))
    page.run("collect")
    answer = page.ask("equation", layer="conv2", unit=0)
    assert "keep_responses" in answer.result["equation"]["noPoints"]
    assert answer.arrays["points"].shape == (0, 2)


def test_dead_unit_is_said(make, demo):
    with_dead = demo.model
    nn.init.zeros_(with_dead.conv2.weight[3:4])
    nn.init.constant_(with_dead.conv2.bias[3:4], -1.0)
    page = Page(make(CausalCNNExplainer(with_dead, device="cpu"), demo.test_loader))
    page.run("collect")
    layers = page.ask("equations").result["known"]["layers"]
    assert layers[0]["dead"] == 1
    equation = page.ask("equation", layer="conv2", unit=3).result["equation"]
    assert equation["dead"] is True
    assert equation["notes"][0].startswith("dead")
    assert equation["r2"] is None


def test_vector_responses_count_a_unit_once(make, demo):
    explainer = CausalCNNExplainer(demo.model, device="cpu")
    explainer.collect_data(
        demo.test_loader, lambda maps: maps.abs().amax((2, 3)).unsqueeze(2).expand(-1, -1, 2)
    )
    explainer.learn_structural_equations()
    page = Page(make(explainer, demo.test_loader))
    known = page.ask("equations")
    assert [layer["units"] for layer in known.result["known"]["layers"]] == [16, 64, 10]
    answer = page.ask("equation", layer="conv2", unit=7)
    assert answer.result["equation"]["components"] == 2
    assert len(answer.arrays["points"]) > 50


def in_one_corner(maps):
    """Two components, of which the second is the same for every image."""
    return torch.stack([maps.mean((2, 3)), torch.ones_like(maps[:, :, 0, 0])], dim=2)


def test_a_component_that_never_changes_is_no_dead_unit(make, demo):
    explainer = CausalCNNExplainer(demo.model, device="cpu")
    explainer.collect_data(demo.test_loader, in_one_corner)
    scm = explainer.learn_structural_equations()
    page = Page(make(explainer, demo.test_loader))
    known = page.ask("equations")
    layer = known.result["known"]["layers"][0]
    assert layer["layer"] == "conv2"
    assert layer["dead"] == 0
    np.testing.assert_allclose(known.arrays["r2"][:16], scm["conv2"].r2[::2], rtol=1e-5)
    for op in ("unit", "equation"):
        found = page.ask(op, layer="conv2", unit=9).result
        found = found.get("equation", found)
        assert found["r2"] == pytest.approx(scm["conv2"].r2[18])
        assert not any(note.startswith("dead") for note in found["notes"])
    shown = page.ask("unit", layer="conv2", unit=9).result["response"]
    train = explainer.collection.train
    assert shown["mean"] == pytest.approx((train.mean("conv2")[18] + 1) / 2, abs=1e-6)
    assert shown["sd"] == pytest.approx(np.sqrt(train.variance("conv2")[18] / 2), abs=1e-6)


def test_equations_without_coefficients_leave_weights_on_the_edges(make, demo):
    explainer = CausalCNNExplainer(demo.model, device="cpu")
    collection = explainer.collect_data(demo.test_loader)
    page = Page(make(explainer, demo.test_loader))
    before = page.ask("unit", layer="conv2", unit=3).result
    raw = collect(demo.model, demo.test_loader, graph=collection.graph, raw=True)
    explainer.scm = fit(raw, DecisionTreeRegressor(max_depth=2))
    assert not explainer.scm["conv2"].linear
    after = page.ask("unit", layer="conv2", unit=3).result
    assert after["source"] == "weight"
    assert after["parents"] == before["parents"]
    assert set(after["importance"]) == {"l1", "variance", "response"}
    assert after["r2"] == pytest.approx(explainer.scm["conv2"].r2[3])
    assert page.ask("equation", layer="conv2", unit=3).result["equation"]["linear"] is False
    assert page.ask("predict", ablated={"conv2": [3]}).result["predicted"] is not None


@pytest.mark.parametrize(
    ("args", "kind", "expected"),
    [
        ({"layer": "conv9", "unit": 0}, "UnknownNameError", "Did you mean"),
        ({"layer": "conv2", "unit": 16}, "UnknownNameError", "units 0 to 15"),
        ({"layer": "conv2"}, "ProtocolError", "'unit'"),
        ({"layer": "conv2", "unit": -1}, "ProtocolError", "0 or more"),
    ],
)
def test_unit_that_is_not_there(collected, args, kind, expected):
    error = collected.ask("equation", **args).error
    assert error["kind"] == kind
    assert expected in error["message"]
