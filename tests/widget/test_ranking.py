"""rankPlan, rank, ranking: every filter silenced alone, and what a person waits for meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from causal_widget.effects import effect_of
from causal_widget.interventions import Intervention
from causal_widget.widget import backend as backends

from .conftest import Page

VERDICTS = ["critical", "neutral", "detrimental", "undecided"]


def test_the_plan_says_what_it_would_cost(page, demo):
    plan = page.ask("rankPlan").result
    assert (plan["units"], plan["layers"], plan["images"]) == (24, 2, demo.n_test)
    assert 0 < plan["seconds"] < 60
    assert plan["less"] > 0
    assert plan["reason"] is None
    one = page.ask("rankPlan", layers=["conv2"]).result
    assert (one["units"], one["layers"]) == (16, 1)


def test_it_may_stop_where_it_is_sure_enough(page):
    plan = page.ask("rankPlan", precision=0.05).result
    assert plan["seconds"] <= plan["mostSeconds"]
    assert page.run("rank", precision=0.05)["state"] == "done"
    answer = page.ask("ranking")
    assert answer.result["ranking"]["how"] == "adaptive"
    assert answer.arrays["images"].min() < answer.result["ranking"]["images"]
    assert ((answer.arrays["high"] - answer.arrays["low"]) / 2).max() <= 0.05


def test_nothing_is_ranked_at_first(page):
    assert page.ask("ranking").result == {"ranking": None}
    assert np.isnan(page.ask("importance", rule="effect").arrays["importance"]).all()


def test_every_filter_has_the_effect_that_measuring_it_gives(page, widget, demo):
    job = page.run("rank")
    assert (job["state"], job["kind"]) == ("done", "rank")
    assert "24 filters on 500 images" in job["message"]
    answer = page.ask("ranking")
    about, arrays = answer.result["ranking"], answer.arrays
    assert about["outcome"] == "loss"
    assert about["layers"] == ["conv1", "conv2"]
    assert [one["name"] for one in about["outcomes"]] == ["loss", "correct", "margin", "kl"]
    assert about["verdicts"] == VERDICTS
    assert about["minEffect"] == about["defaultMinEffect"] > 0
    assert arrays["unit"].tolist() == [*range(8), *range(16)]
    assert arrays["layer"].tolist() == [0] * 8 + [1] * 16
    graph = widget.explainer.graph
    for row in (0, 3, 8, 15, 23):
        do = Intervention({about["layers"][int(arrays["layer"][row])]: [int(arrays["unit"][row])]})
        found = effect_of(demo.model, graph, do, demo.test_loader).loss
        assert arrays["effect"][row] == pytest.approx(found.change, abs=1e-5)
        assert arrays["images"][row] == demo.n_test
        assert arrays["low"][row] <= arrays["effect"][row] <= arrays["high"][row]
    kinds = [VERDICTS[k] for k in arrays["verdict"]]
    worst = int(arrays["effect"].argmax())
    assert kinds[worst] == "critical"
    assert arrays["corrected"][worst] < 0.05
    settled = [np.isnan(needed) for needed in arrays["needed"]]
    assert settled == [kind != "undecided" for kind in kinds]


def test_another_outcome_and_least_effect_need_no_new_run(page):
    page.run("rank", layers=["conv2"])
    by_loss = page.ask("ranking")
    by_accuracy = page.ask("ranking", outcome="correct")
    assert by_accuracy.result["ranking"]["outcome"] == "correct"
    assert (by_accuracy.arrays["effect"] <= by_accuracy.arrays["high"]).all()
    assert by_accuracy.arrays["effect"].min() < 0 < by_loss.arrays["effect"].max()
    strict = page.ask("ranking", minEffect=1000.0)
    assert strict.result["ranking"]["minEffect"] == 1000.0
    assert {VERDICTS[k] for k in strict.arrays["verdict"]} == {"neutral"}
    assert page.ask("ranking", minEffect=-1.0).error["kind"] == "ArgumentError"
    assert page.ask("ranking", outcome="lost").error["kind"] == "UnknownNameError"


def test_without_labels_it_is_ranked_by_divergence(make, demo):
    images = [batch for batch, _ in demo.test_loader]
    page = Page(make(demo.model, images))
    page.run("rank", layers=["conv1"])
    answer = page.ask("ranking")
    assert answer.result["ranking"]["outcome"] == "kl"
    assert (answer.arrays["effect"] >= 0).all()


def test_the_rule_by_effects_is_there_once_it_is_ranked(page, widget):
    page.run("rank", layers=["conv2"])
    effect = np.abs(page.ask("ranking").arrays["effect"])
    importance = page.ask("importance", rule="effect").arrays["importance"]
    assert np.isnan(importance[:8]).all()
    assert importance[8:24] == pytest.approx(effect / effect.sum(), abs=1e-5)
    assert page.ask("unit", layer="conv2", unit=3).result["importance"]["effect"]["of"] == 16
    widget.rule = "effect"
    assert widget.rule == "effect"


def test_what_python_measures_is_the_ranking_too(page, widget, demo):
    page.ask("hello")
    effects = widget.explainer.effects(["conv2"], loader=demo.test_loader, outcomes=("margin", "loss"))
    widget.refresh()
    changed = page.wait_for(lambda: page.events("changed"))[-1]["state"]
    before = page.ask("hello").result
    assert changed["measured"] == before["measured"] == 2
    assert changed["revision"] == 1, "the graph and all else stay as they are"
    about = page.ask("ranking").result["ranking"]
    assert (about["outcome"], about["layers"], about["site"]) == ("margin", ["conv2"], "activation")
    importance = page.ask("importance", rule="effect").arrays["importance"][8:24]
    size = np.abs(effects.mean("conv2", "loss"))
    assert importance == pytest.approx(size / size.sum(), abs=1e-5)


def test_all_filters_ranked_is_the_explainers_rule_and_prunes(page, widget):
    page.run("rank")
    shown = page.ask("importance", rule="effect").arrays["importance"]
    rule = widget.explainer.importance("effect")
    assert shown[:24] == pytest.approx(np.concatenate([rule["conv1"], rule["conv2"]]), abs=1e-6)
    assert page.run("prune", percents=[0.0, 50.0], rules=["effect"])["state"] == "done"


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        ({"layers": ["conv3"]}, "UnknownNameError"),
        ({"layers": ["fc2"]}, "ArgumentError"),
        ({"layers": []}, "ArgumentError"),
        ({"precision": 0.0}, "ArgumentError"),
        ({"layers": "conv1"}, "ProtocolError"),
    ],
)
def test_what_cannot_be_ranked(page, args, kind):
    assert page.ask("rank", **args).error["kind"] == kind
    assert page.ask("rankPlan", **args).error["kind"] == kind


def test_without_images(make, demo):
    page = Page(make(demo.model))
    assert page.ask("rank").error["kind"] == "DataError"
    assert page.ask("rankPlan").error["kind"] == "DataError"
    assert page.ask("ranking").result == {"ranking": None}


class Wide(nn.Module):
    """Decides by numbers, so that every filter costs whole passes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 200, 3)
        self.fc = nn.Linear(200 * 36, 3)

    def forward(self, x):
        assert bool((x.abs() >= 0).all())
        return self.fc(torch.relu(self.conv(x)).flatten(1))


@pytest.fixture
def wide(make, few) -> Page:
    torch.manual_seed(0)
    return Page(make(Wide(), few))


def test_a_toggle_does_not_wait_for_the_ranking(wide, monkeypatch):
    monkeypatch.setattr(backends, "GIVES_WAY_INTERVAL", 0.0)
    wide.ask("effect", ablated={"conv": [0]})
    job = wide.ask("rank").result["job"]
    wide.wait_for(lambda: any(j["state"] == "running" for j in wide.jobs(job)))
    for unit in range(1, 5):
        assert wide.ask("effect", ablated={"conv": [unit]}).result["n"] == 64
    assert wide.ask("heatmap", image=0, layer="conv").content["ok"]
    assert not any(j["state"] == "done" for j in wide.jobs(job)), "too fast to tell"
    assert wide.end_of(job)["state"] == "done"
    between = wide.ask("ranking").arrays["effect"]
    wide.run("rank")
    assert (wide.ask("ranking").arrays["effect"] == between).all()


def test_cancelled_it_leaves_the_last_ranking(wide):
    assert wide.run("rank", layers=["conv"])["state"] == "done"
    before = wide.ask("ranking").arrays["effect"]
    job = wide.ask("rank").result["job"]
    wide.wait_for(lambda: any(j["state"] == "running" and j["done"] for j in wide.jobs(job)))
    assert wide.ask("cancel").result["cancelled"]
    assert wide.end_of(job)["state"] == "cancelled"
    assert (wide.ask("ranking").arrays["effect"] == before).all()
    assert wide.run("rank")["state"] == "done"


def test_a_failure_is_said(make, few):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, 3)

        def forward(self, x):
            found = torch.relu(self.conv(x))
            if bool((found[:, 2] == 0).flatten(1).all(1).any()):
                raise RuntimeError("not without the third filter")
            return self.fc(found.flatten(1))

    torch.manual_seed(0)
    page = Page(make(Broken(), few))
    job = page.run("rank")
    assert job["state"] == "failed"
    assert "not without the third filter" in job["message"]
    assert page.ask("effect", ablated={"conv": [0]}).result["n"] == 64
