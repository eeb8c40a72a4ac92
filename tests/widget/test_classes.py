"""classPlan, explain, explained, classUnit, repair: a class's graph as the page gets it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from causal_widget.evaluation import repair_curve
from causal_widget.explanations import ClassGraphs, attribute, explain_class
from causal_widget.widget import backend as backends
from causal_widget.widget.class_tables import COMPARED, KINDS
from causal_widget.widget.recording import record

from .conftest import Page


@pytest.fixture
def page(make, explainer, demo) -> Page:
    """A page over the images that the demo was trained on: enough of each class."""
    return Page(make(explainer, images=demo.train_loader))


@pytest.fixture
def of_three(demo):
    images, labels = (torch.cat(parts) for parts in zip(*demo.train_loader, strict=True))
    return images[labels == 3]


def test_the_plan_says_what_it_would_cost_and_what_is_left(page):
    plan = page.ask("classPlan", target=3, mode="sound").result
    assert (plan["units"], plan["available"], plan["images"], plan["needed"]) == (88, 126, 94, 60)
    assert (plan["own"], plan["others"]) == (32, 1297 - 126)
    assert 0 < plan["seconds"] < 30
    fewer = page.ask("classPlan", target=3, mode="paper", images=40).result
    assert (fewer["images"], fewer["own"], fewer["needed"]) == (40, 86, 30)


@pytest.mark.parametrize("mode", ["sound", "paper"])
def test_the_graph_is_the_one_that_python_finds(page, demo, of_three, mode):
    job = page.run("explain", target=3, images=94, mode=mode)
    assert (job["state"], job["kind"]) == ("done", "explain")
    answer = page.ask("explained", target=3)
    about, arrays = answer.result["graph"], answer.arrays
    expected = explain_class(demo.model, of_three[:94], 3, mode=mode)
    assert (about["name"], about["mode"], about["images"], about["done"]) == ("three", mode, 94, True)
    assert about["verdicts"] == list(KINDS)
    table = expected.table()
    names = [about["layers"][int(k)] for k in arrays["layer"]]
    assert list(zip(names, arrays["unit"].astype(int), strict=True)) == list(
        zip(table["layer"], table["unit"], strict=True)
    )
    assert [KINDS[k] for k in arrays["verdict"]] == table["verdict"].tolist()
    for ours, theirs in (
        ("effect", "effect"),
        ("low", "low"),
        ("high", "high"),
        ("corrected", "corrected p"),
    ):
        assert arrays[ours] == pytest.approx(table[theirs].to_numpy(np.float32), nan_ok=True, abs=1e-6)
    wirings = page.ask("graph").result["wirings"]
    paths = {
        ((wirings[int(w)]["source"], int(col)), (wirings[int(w)]["target"], int(row)))
        for w, row, col in zip(arrays["wiring"], arrays["row"], arrays["col"], strict=True)
    }
    assert paths == set(expected.edges())
    kinds = dict(zip(zip(names, arrays["unit"], strict=True), arrays["verdict"], strict=True))
    sources = [wirings[int(w)]["source"] for w in arrays["wiring"]]
    assert arrays["kind"].tolist() == [kinds[one] for one in zip(sources, arrays["col"], strict=True)]
    assert arrays["strength"].min() >= 1


def test_layers_come_one_by_one_from_the_class_backwards(page, monkeypatch):
    monkeypatch.setattr(backends, "GIVES_WAY_INTERVAL", 0.0)
    before = page.ask("poll").result["found"]
    seen = []
    tell = backends.Backend.tell_found

    def told(backend):
        one = backend.classes.current
        seen.append((list(one.layers), backend.classes.version))
        tell(backend)

    monkeypatch.setattr(backends.Backend, "tell_found", told)
    page.run("explain", target=3, mode="paper")
    assert [layers for layers, _ in seen] == [["fc1"], ["fc1", "conv2"], ["fc1", "conv2", "conv1"]]
    assert [version for _, version in seen] == [before + 2, before + 3, before + 4]
    states = [event["state"]["found"] for event in page.events("changed") if "found" in event["state"]]
    assert states[:3] == [before + 2, before + 3, before + 4]


def test_a_part_of_a_graph_is_given_while_it_is_found(page, monkeypatch):
    answers = []
    tell = backends.Backend.tell_found

    def told(backend):
        tell(backend)
        number = page.send("explained")
        for task in iter(backend.worker.inbox.take_quick, None):
            backend._answer(task)
        answers.append(page.answer(number))

    monkeypatch.setattr(backends.Backend, "tell_found", told)
    page.run("explain", target=3, mode="paper")
    first, second, _ = answers
    assert first.result["graph"]["layers"] == ["fc1"]
    assert not first.result["graph"]["done"]
    assert len(first.arrays["unit"]) == 64
    assert len(first.arrays["row"]) > 0
    assert second.result["graph"]["layers"] == ["fc1", "conv2"]


def test_two_classes_are_compared(page, widget, demo):
    for target in (3, 5):
        page.run("explain", target=target, mode="paper")
    answer = page.ask("explained", target=3, other=5)
    about, arrays = answer.result["graph"], answer.arrays
    assert about["verdicts"] == list(COMPARED)
    found = ClassGraphs(
        {
            k: explain_class(demo.model, demo.train_loader, k, mode="paper", max_images=n)
            for k, n in ((3, about["images"]), (5, page.ask("explained", target=5).result["graph"]["images"]))
        }
    ).compared(3, 5)
    for k, name in enumerate(COMPARED[:3]):
        ours = {
            (about["layers"][int(layer)], int(unit))
            for layer, unit, kind in zip(arrays["layer"], arrays["unit"], arrays["verdict"], strict=True)
            if kind == k
        }
        assert ours == {(layer, unit) for layer, units in found[name].items() for unit in units}
    assert set(arrays["kind"].tolist()) <= {0, 1, 2}


def test_a_units_strongest_images_and_maps(page, demo, of_three):
    page.run("explain", target=3, images=94, mode="paper")
    answer = page.ask("classUnit", target=3, layer="conv2", unit=5, image=2)
    assert answer.arrays["images"].shape == (7, 8, 8, 3)
    assert answer.arrays["maps"].shape == (7, 8, 8)
    responses = answer.result["responses"]
    assert responses == sorted(responses, reverse=True)
    activations = []
    hook = demo.model.get_submodule("conv2").register_forward_hook(lambda m, i, o: activations.append(o))
    with torch.no_grad():
        demo.model.eval()(of_three[:94])
    hook.remove()
    mean = torch.relu(activations[0])[:, 5].mean((1, 2))
    assert responses == pytest.approx(mean.sort(descending=True).values[:6].tolist(), rel=1e-4)
    best = of_three[mean.argsort(descending=True)[:6]]
    graph = explain_class(demo.model, of_three[:94], 3, mode="paper")
    expected = attribute(demo.model, best, "conv2", [5], parents={"conv1": graph.critical("conv1")}).maps[
        :, 0
    ]
    reach = max(abs(answer.result["low"]), abs(answer.result["high"]))
    assert answer.arrays["maps"][1:] * reach == pytest.approx(expected, abs=1e-4)
    assert answer.result["parents"] == "critical"
    assert page.ask("classUnit", target=3, layer="conv1", unit=0).result["parents"] == "all"
    assert page.ask("classUnit", target=3, layer="conv9", unit=0).error["kind"] == "UnknownNameError"


def test_a_repair_is_judged_on_images_that_were_not_used(page, demo):
    page.run("explain", target=3, mode="paper")
    assert page.ask("explained").result["graph"]["repair"] is None
    job = page.run("repair", target=3)
    assert (job["state"], job["kind"]) == ("done", "repair")
    about = page.ask("explained", target=3).result["graph"]
    rows = about["repair"]
    images, labels = (torch.cat(parts) for parts in zip(*demo.train_loader, strict=True))
    used = (labels == 3).nonzero().flatten()[: about["images"]]
    left = torch.ones(len(labels), dtype=torch.bool)
    left[used] = False
    graph = explain_class(demo.model, images[used], 3, mode="paper")
    table = repair_curve(demo.model, graph, (images[left], labels[left])).table(3)
    for kind, n in (("own", about["own"]), ("others", about["others"])):
        expected = table[table["images"] == kind]
        assert [row["share"] for row in rows[kind]] == [k / 10 for k in range(11)]
        assert {row["n"] for row in rows[kind]} == {n}
        assert [row["after"] for row in rows[kind]] == pytest.approx(expected["after"].tolist())
        assert [row["low"] for row in rows[kind]] == pytest.approx(expected["low"].tolist())


def test_too_few_images_leave_all_undecided_and_say_how_many_would_do(make, explainer, demo):
    page = Page(make(explainer, images=demo.test_loader))
    plan = page.ask("classPlan", target=3, mode="sound").result
    assert plan["images"] == plan["available"] < plan["needed"] == 60
    assert page.run("explain", target=3, mode="sound")["state"] == "done"
    answer = page.ask("explained", target=3)
    assert {KINDS[k] for k in answer.arrays["verdict"]} == {"undecided", "not asked"}
    assert "could be decided" in answer.result["graph"]["notes"][0]
    assert page.run("repair", target=3)["error"] == "ArgumentError"


def test_cancelled_it_leaves_nothing_half_found(page, monkeypatch):
    page.run("explain", target=5, mode="paper")
    tell = backends.Backend.tell_found

    def told(backend):
        tell(backend)
        backend.cancel()

    monkeypatch.setattr(backends.Backend, "tell_found", told)
    assert page.run("explain", target=3, mode="paper")["state"] == "cancelled"
    answer = page.ask("explained").result
    assert [one["target"] for one in answer["known"]] == [5]
    assert answer["graph"]["target"] == 5


def test_what_cannot_be_explained(page, make, explainer, demo):
    assert page.ask("explain", target=10).error["kind"] == "UnknownNameError"
    assert page.ask("explain", target=3, mode="loud").error["kind"] == "UnknownNameError"
    assert page.ask("repair", target=3).error["kind"] == "UnknownNameError"
    assert page.ask("classPlan", target=3, images=0).error["kind"] == "ArgumentError"
    unlabelled = Page(make(explainer, images=[images for images, _ in demo.test_loader]))
    assert unlabelled.run("explain", target=3)["error"] == "DataError"
    assert Page(make(explainer)).ask("explain", target=3).error["kind"] == "DataError"


def test_other_weights_forget_the_graphs(page, demo):
    page.run("explain", target=3, mode="paper")
    with torch.no_grad():
        demo.model.fc2.bias.add_(0.0)
    assert page.ask("explained").result == {"known": [], "graph": None}


def test_python_has_the_graphs(make, explainer, demo):
    widget = make(explainer, images=demo.train_loader)
    page = Page(widget)
    assert widget.class_graphs == {}
    page.run("explain", target=3, mode="paper")
    assert widget.class_graphs[3].target == 3


def test_the_saved_notebook_and_the_offline_page_keep_them(make, explainer, demo):
    widget = make(explainer, images=demo.train_loader)
    page = Page(widget)
    for target in (3, 5):
        page.run("explain", target=target, mode="paper")
    saved = widget._still_data()["text/html"]
    assert "ClassGraph of class 3 (&quot;three&quot;), mode &quot;paper&quot;" in saved
    assert "critical: fc1 [" in saved
    replies = record(widget.backend, widget.choices, {}).replies
    for key in (
        '["explained",null,null]',
        '["explained",3,null]',
        '["explained",5,3]',
        '["classUnit",3,"conv2",0]',
    ):
        assert key in replies
    assert replies['["explained",7,null]'][0]["graph"] is None
