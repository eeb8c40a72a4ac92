"""Choices: readable and settable from Python and from the page, refused with the nearest name."""

from __future__ import annotations

import pytest
from traitlets import TraitError

from causal_widget.widget import CausalWidget


def test_defaults(widget):
    assert widget.layers == ["conv1", "conv2", "fc1", "fc2"]
    assert (widget.selected, widget.ablated) == ({}, {})
    assert (widget.site, widget.rule, widget.panel, widget.theme) == (
        "activation",
        "coefficient",
        "inspector",
        "auto",
    )
    assert (widget.heat_layer, widget.device, widget.batches, widget.image) == ("conv2", "cpu", 0, 0)


def test_choices_are_put_in_order(widget):
    widget.selected = {"conv2": [5, 1, 5], "conv1": [3], "fc1": []}
    assert widget.selected == {"conv1": [3], "conv2": [1, 5]}
    assert list(widget.selected) == ["conv1", "conv2"]
    widget.layers = ["fc2", "conv1"]
    assert widget.layers == ["conv1", "fc2"]


def test_choices_at_construction(make, explainer, demo):
    widget = make(explainer, demo.test_loader, ablated={"conv1": [2]}, rule="l1")
    assert (widget.ablated, widget.rule) == ({"conv1": [2]}, "l1")


REFUSED = [
    ("selected", {"conv3": [1]}, "Did you mean"),
    ("selected", {"conv1": [8]}, "units 0 to 7"),
    ("selected", {"conv1": 3}, "must be a list of integers"),
    ("selected", {"conv1": ["a"]}, "must be an integer"),
    ("selected", [1], "selected"),
    ("ablated", {"conv11": [1]}, 'Did you mean "conv1"?'),
    ("ablated", {"conv2": [-1]}, "units 0 to 15"),
    ("ablated", {"fc2": [0]}, "classes"),
    ("layers", ["conv1", "cnv2"], 'Did you mean "conv2"?'),
    ("site", "activations", 'Did you mean "activation"?'),
    ("rule", "coef", "expected one of 'coefficient'"),
    ("rule", "random", "does not exist"),
    ("panel", "heatmap", 'Did you mean "heatmaps"?'),
    ("theme", "drak", 'Did you mean "dark"?'),
    ("heat_layer", "conv", "Did you mean"),
    ("n_edges", -1, "0 or more"),
    ("batches", -1, "0 or more"),
    ("scale", 1.5, "0.0 to 1.0"),
    ("scale", -0.1, "0.0 to 1.0"),
    ("scale", float("nan"), "0.0 to 1.0"),
    ("image", 12, "0 to 11"),
    ("image", -1, "0 to 11"),
    ("device", "cuda:99", "cuda:99"),
    ("device", "gpu", "device"),
]


@pytest.mark.parametrize(("name", "value", "expected"), REFUSED)
def test_what_does_not_exist_is_refused(widget, name, value, expected):
    before = getattr(widget, name)
    with pytest.raises(TraitError) as caught:
        setattr(widget, name, value)
    assert expected in str(caught.value)
    assert getattr(widget, name) == before


@pytest.mark.parametrize(("name", "value", "expected"), REFUSED)
def test_a_page_that_sends_it_is_put_right(page, widget, name, value, expected):
    before = getattr(widget, name)
    page.set(**{name: value, "n_edges": 123} if name != "n_edges" else {name: value})
    assert getattr(widget, name) == before
    if name != "n_edges":
        assert widget.n_edges == 123
    event = page.events("refused")[-1]
    assert event["trait"] == name
    assert expected in event["message"]
    updates = [d["state"] for _, d, _ in page.comm.sent if d.get("method") == "update"]
    assert {name: before} in updates


def test_page_sets_what_python_reads_and_the_other_way_round(page, widget):
    page.set(ablated={"conv2": [4, 2]})
    assert widget.ablated == {"conv2": [2, 4]}
    widget.ablated = {"conv1": [0]}
    updates = [d["state"] for _, d, _ in page.comm.sent if d.get("method") == "update"]
    assert {"ablated": {"conv1": [0]}} in updates


def test_only_choices_and_the_page_itself_are_synced(widget):
    own = {name for name in widget.keys if not name.startswith("_")}
    mine = {
        "layers", "selected", "ablated", "site", "scale", "rule", "n_edges",
        "panel", "image", "heat_layer", "device", "batches", "theme",
    }  # fmt: skip
    assert own - {"layout", "tabbable", "tooltip"} == mine


def test_unknown_argument(explainer):
    with pytest.raises(TypeError, match="colour"):
        CausalWidget(explainer, colour="red")


@pytest.mark.parametrize("name", ["n_strip", "n_effect"])
def test_numbers_of_images_must_be_positive(explainer, demo, name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got 0"):
        CausalWidget(explainer, demo.test_loader, **{name: 0})


def test_class_names_of_an_explainer(explainer):
    with pytest.raises(ValueError, match="belong to the explainer"):
        CausalWidget(explainer, class_names=["a"])


def test_neither_explainer_nor_model():
    with pytest.raises(ValueError, match=r"torch\.nn\.Module, got int"):
        CausalWidget(3)


def test_wrong_number_of_class_names(demo):
    with pytest.raises(ValueError, match="2 class names for the 10 classes"):
        CausalWidget(demo.model, demo.test_loader, class_names=["a", "b"])
