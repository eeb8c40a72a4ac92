"""hello, graph, importance, edges, unit: what the picture is made of, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from causal_widget.errors import DataError
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.widget.store import EFFECT, SHOWN_RULES

from .conftest import Page


def test_hello_before_and_after_collecting(page, demo):
    before = page.ask("hello").result
    assert before["model"] == "LeNet"
    assert before["classes"] == list(demo.class_names)
    assert (before["nFilters"], before["nLayers"], before["nStrip"]) == (24, 4, 12)
    assert (before["collected"], before["nImages"], before["accuracy"], before["job"]) == (
        False,
        0,
        None,
        None,
    )
    assert before["hasLabels"]
    assert before["canCollect"]
    assert before["devices"][0]["name"] == "cpu"
    assert page.run("collect")["state"] == "done"
    after = page.ask("hello").result
    assert after["collected"]
    assert after["nImages"] == demo.n_test
    assert after["accuracy"] >= 0.97
    assert after["revision"] > before["revision"]
    assert after["job"]["state"] == "done"


def test_graph_is_the_explainers(page, explainer):
    result = page.ask("graph").result
    assert [layer["name"] for layer in result["layers"]] == list(explainer.graph.names)
    assert [layer["units"] for layer in result["layers"]] == [8, 16, 64, 10]
    assert [layer["isOutput"] for layer in result["layers"]] == [False, False, False, True]
    for sent, wiring in zip(result["wirings"], explainer.graph.wirings, strict=True):
        assert (sent["source"], sent["target"], sent["kind"]) == (wiring.source, wiring.target, wiring.kind)
        assert (sent["rows"], sent["cols"]) == wiring.mask().shape


@pytest.mark.parametrize("rule", [rule for rule in SHOWN_RULES if rule != EFFECT])
def test_importance_is_the_explainers_and_nan_elsewhere(collected, explainer, rule):
    values = collected.ask("importance", rule=rule).arrays["importance"]
    at = 0
    for layer in explainer.graph.layers:
        expected = explainer.importance(rule).get(layer.name, np.full(layer.units, np.nan))
        np.testing.assert_allclose(values[at : at + layer.units], expected, rtol=1e-6)
        at += layer.units
    assert at == len(values)


def test_importance_that_needs_data_is_nan_before(page):
    assert np.isnan(page.ask("importance", rule="coefficient").arrays["importance"]).all()
    assert np.isfinite(page.ask("importance", rule="l1").arrays["importance"][:24]).all()


def test_unknown_rule_names_the_nearest(page):
    error = page.ask("importance", rule="coeficient").error
    assert error["kind"] == "UnknownNameError"
    assert 'Did you mean "coefficient"?' in error["message"]


def test_edges_are_standardised_coefficients_against_the_graphs_largest(collected, explainer):
    answer = collected.ask("edges", wirings=[0, 1, 2])
    assert answer.result["source"] == "coefficient"
    scm, wirings = explainer.scm, explainer.graph.wirings
    largest = 0.0
    for wiring in wirings:
        for value in scm.standardised(wiring.source, wiring.target).ravel():
            largest = max(largest, abs(float(value)))
    for i, wiring in enumerate(wirings):
        sent = answer.arrays[f"edges {i}"]
        plain = scm.standardised(wiring.source, wiring.target)
        assert sent.shape == plain.shape
        for target in range(plain.shape[0]):
            for source in range(plain.shape[1]):
                assert sent[target, source] == round(255 * abs(plain[target, source]) / largest)
    assert max(int(sent.max()) for sent in answer.arrays.values()) == 255


def test_edges_before_collecting_are_weight_norms(page, demo):
    answer = page.ask("edges", wirings=[0, 1])
    assert answer.result["source"] == "weight"
    conv, fc = demo.model.get_submodule("conv2").weight, demo.model.get_submodule("fc1").weight
    maps = fc.shape[1] // 16
    conv, fc = conv.detach(), fc.detach()
    norms = {
        "edges 0": [[float(conv[t, s].norm()) for s in range(8)] for t in range(16)],
        "edges 1": [[float(fc[t, s * maps : (s + 1) * maps].norm()) for s in range(16)] for t in range(64)],
    }
    last = demo.model.get_submodule("fc2").weight.detach().abs().max()
    largest = max(float(last), *(np.max(norm) for norm in norms.values()))
    for name, norm in norms.items():
        assert np.abs(answer.arrays[name] - 255 * np.array(norm) / largest).max() <= 0.51


class Grouped(nn.Module):
    """A grouped and a depthwise convolution, a shortcut, and channels side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.c = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.fc = nn.Linear(10, 2)

    def forward(self, x):
        x = torch.relu(self.a(x))
        x = torch.cat([torch.relu(self.b(x)), x], dim=1)
        return self.fc(torch.relu(self.c(x)).mean((2, 3)))


def test_weight_norms_of_groups_and_concatenation(make):
    torch.manual_seed(3)
    model = Grouped()
    images = [(torch.randn(8, 3, 8, 8), torch.zeros(8, dtype=torch.long))]
    widget = make(model, images)
    page = Page(widget)
    wirings = {(w["source"], w["target"]): i for i, w in enumerate(page.ask("graph").result["wirings"])}
    arrays = page.ask("edges", wirings=list(wirings.values())).arrays
    expected = {
        ("a", "b"): [
            [float(model.b.weight.detach()[t, s % 2].norm()) if t // 3 == s // 2 else 0.0 for s in range(4)]
            for t in range(6)
        ],
        ("b", "c"): [
            [float(model.c.weight.detach()[t, 0].norm()) if t == s else 0.0 for s in range(6)]
            for t in range(10)
        ],
        ("a", "c"): [
            [float(model.c.weight.detach()[t, 0].norm()) if t == s + 6 else 0.0 for s in range(4)]
            for t in range(10)
        ],
        ("c", "fc"): model.fc.weight.detach().abs().tolist(),
    }
    assert set(wirings) == set(expected)
    largest = max(np.max(norms) for norms in expected.values())
    for pair, norms in expected.items():
        sent = arrays[f"edges {wirings[pair]}"]
        assert np.abs(sent - 255 * np.array(norms) / largest).max() <= 0.51
        assert (sent[np.array(norms) == 0] == 0).all()


def test_no_such_wiring(page):
    assert "wirings 0 to 2" in page.ask("edges", wirings=[0, 3]).error["message"]


def test_unit_before_collecting(page, demo):
    answer = page.ask("unit", layer="conv2", unit=5)
    result = answer.result
    assert (result["response"], result["r2"], result["heldoutR2"]) == (None, None, None)
    assert list(result["importance"]) == ["l1"]
    np.testing.assert_array_equal(
        answer.arrays["weights"], demo.model.get_submodule("conv2").weight[5].detach()
    )
    assert result["parents"][0]["standardised"] is None
    assert result["parents"][0]["weight"] == pytest.approx(
        float(demo.model.get_submodule("conv2").weight[5].detach().flatten(1).norm(dim=1).max())
    )


def test_unit_after_collecting(collected, explainer):
    result = collected.ask("unit", layer="conv2", unit=5).result
    scm, moments = explainer.scm, explainer.collection.train
    assert result["response"]["mean"] == pytest.approx(moments.mean("conv2")[5])
    assert result["response"]["sd"] == pytest.approx(moments.variance("conv2")[5] ** 0.5)
    assert result["r2"] == pytest.approx(scm["conv2"].r2[5])
    assert result["heldoutR2"] == pytest.approx(scm["conv2"].heldout_r2[5])
    parents = sorted(enumerate(scm.standardised("conv1", "conv2")[5]), key=lambda e: -abs(e[1]))
    assert [(p["layer"], p["unit"]) for p in result["parents"]] == [("conv1", k) for k, _ in parents]
    children = sorted(enumerate(scm.standardised("conv2", "fc1")[:, 5]), key=lambda e: -abs(e[1]))[:10]
    assert [(c["layer"], c["unit"]) for c in result["children"]] == [("fc1", k) for k, _ in children]
    best = result["children"][0]
    assert best["standardised"] == pytest.approx(children[0][1])
    assert best["coefficient"] == pytest.approx(scm.coefficients("conv2", "fc1")[best["unit"], 5])
    for rule, said in result["importance"].items():
        values = explainer.importance(rule)["conv2"]
        assert said["value"] == pytest.approx(values[5])
        assert said["rank"] == 1 + int((values > values[5]).sum())
        assert said["of"] == 16


def test_classes_are_units_without_importance(collected):
    result = collected.ask("unit", layer="fc2", unit=9).result
    assert result["importance"] == {}
    assert result["children"] == []
    assert result["parents"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"layer": "conv3", "unit": 0}, "Did you mean"),
        ({"layer": "conv1", "unit": 8}, "units 0 to 7"),
    ],
)
def test_unit_that_does_not_exist(page, args, expected):
    error = page.ask("unit", **args).error
    assert error["kind"] == "UnknownNameError"
    assert expected in error["message"]


def test_many_input_channels_are_cut_and_said(make):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 80, 3), nn.ReLU(), nn.Conv2d(80, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    page = Page(make(model, [torch.randn(4, 1, 8, 8)]))
    answer = page.ask("unit", layer="2", unit=1)
    assert answer.arrays["weights"].shape == (64, 3, 3)
    assert answer.result["weights"]["shape"] == [80, 3, 3]  # the page says that these are the first 64 of 80


def test_what_the_explainer_learns_elsewhere_reaches_the_page(page, explainer, demo):
    before = page.ask("poll").result["revision"]
    explainer.collect_data(demo.test_loader, max_batches=2)
    explainer.learn_structural_equations()
    assert page.ask("poll").result["revision"] > before
    assert page.events("changed")[-1]["state"]["collected"]


def test_model_without_images(make, demo):
    page = Page(make(demo.model))
    state = page.ask("hello").result
    assert (state["canCollect"], state["nStrip"], state["hasLabels"]) == (False, 0, False)
    assert page.ask("graph").result["layers"]
    for op, args in (
        ("collect", {}),
        ("effect", {}),
        ("images", {}),
        ("prune", {"percents": [10], "rules": ["l1"]}),
        ("heatmap", {"image": 0, "layer": "conv1"}),
    ):
        error = page.ask(op, **args).error
        assert error["kind"] == "DataError"
        assert "images=loader" in error["message"]


def test_explainer_that_has_collected_is_shown_as_it_is(make, demo):
    explainer = CausalCNNExplainer(demo.model, device="cpu")
    explainer.collect_data(demo.test_loader)
    explainer.learn_structural_equations()
    page = Page(make(explainer))
    state = page.ask("hello").result
    assert state["collected"]
    assert state["nImages"] == demo.n_test
    assert state["canCollect"]
    assert page.ask("effect", ablated={"conv1": [0]}).result["n"] == demo.n_test


def test_images_that_can_be_read_only_once_are_refused(make, explainer, demo):
    with pytest.raises(DataError, match="only once"):
        make(explainer, iter(demo.test_loader))
