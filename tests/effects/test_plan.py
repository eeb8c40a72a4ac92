"""The exact sweep through its plan, against a loop over whole forward passes written here."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from causal_widget.effects.plan import plan_effects
from causal_widget.errors import ArgumentError, Cancelled, DataError, UnknownNameError
from causal_widget.graph import trace
from causal_widget.interventions import Constant, Intervention, Mean, Noise, Resample, Scale, Zero, intervene
from causal_widget.jobs import Progress
from tests.effects.cut_networks import Inception
from tests.effects.test_cutting import Written
from tests.interventions.networks import Known, Plain, Residual, fingerprint, images, seeded


def data(model: nn.Module, n: int = 23, batch: int = 8) -> list[tuple[Tensor, Tensor]]:
    x = images(n).to(next(model.parameters()).dtype)
    labels = model(x).argmax(1).detach()
    labels[::3] = (labels[::3] + 1) % int(labels.max() + 1)
    return list(zip(x.split(batch), labels.split(batch), strict=True))


@pytest.mark.parametrize("made", [Plain, Residual, Inception, lambda: Written("view")])
def test_zeroing_every_unit_against_a_plain_loop(made: type[nn.Module]) -> None:
    model = seeded(made).double()
    loader = data(model)
    graph = trace(model, loader[0][0])
    effects = plan_effects(model, loader, outcomes=["loss", "correct", "logits"]).run()
    x, labels = (torch.cat(part) for part in zip(*loader, strict=True))
    before = model(x).detach()
    assert set(effects.units) == {layer.name for layer in graph.hidden_conv_layers}
    for layer, units in effects.units.items():
        assert units == tuple(range(graph.layer(layer).units))
        for unit in units:
            with intervene(model, graph, Intervention({layer: [unit]})):
                after = model(x)
            loss = F.cross_entropy(after, labels, reduction="none") - F.cross_entropy(
                before, labels, reduction="none"
            )
            right = (after.argmax(1) == labels).double() - (before.argmax(1) == labels).double()
            expected = torch.column_stack([loss, right, after - before]).numpy()
            found = effects.moments[layer]
            np.testing.assert_allclose(found.mean[unit], expected.mean(0), rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(found.sd[unit], expected.std(0, ddof=1), rtol=1e-8, atol=1e-12)
    assert effects.n == len(x)
    np.testing.assert_allclose(effects.before.mean[2:], before.mean(0).numpy())


def test_on_a_network_known_by_heart() -> None:
    values = torch.tensor([2.0, 1.0, -1.0, -3.0])
    x = values.view(4, 1, 1, 1).expand(4, 1, 3, 3).contiguous()
    effects = plan_effects(Known().eval(), [x], outcomes="logits").run()
    np.testing.assert_allclose(effects.moments["conv"].mean, [[-0.75, 0.0], [0.0, -1.0]])
    np.testing.assert_allclose(effects.mean("conv", "logit:1"), [0.0, -1.0])
    assert effects.ran == 4  # each unit is silent in two of the four images
    first = effects.ranking("abs_logit:1").table().iloc[0]
    assert (first["layer"], first["unit"], first["effect"]) == ("conv", 1, -1.0)
    assert first["sd"] == pytest.approx(np.std([0, 0, -1, -3], ddof=1))
    assert "2 units of 1 layers on 4 images" in repr(effects)


@pytest.mark.parametrize(
    "action", [Constant(0.5), Scale(2.0), Mean(), Noise(0.3, seed=4), Resample(seed=3)], ids=repr
)
@pytest.mark.parametrize("site", ["conv", "norm", "activation"])
def test_other_actions_do_not_depend_on_how_images_are_batched(action: object, site: str) -> None:
    model = seeded(Residual).double()
    x = images(12).double()
    common = {"intervention": action, "site": site, "outcomes": "logits", "units": {"block1.conv1": [2, 4]}}
    one = plan_effects(model, [x], **common).run()
    several = plan_effects(model, [x[:5], x[5:]], **common).run()
    np.testing.assert_allclose(one.all.mean, several.all.mean, rtol=1e-9, atol=1e-12)
    assert float(np.abs(one.all.mean).max()) > 0


def test_scale_and_mean_against_their_meaning() -> None:
    model, x = seeded(Plain).double(), images(9).double()
    maps = model.relu1(model.bn1(model.conv1(x))).detach()
    units = {"conv1": [3]}

    def rest(changed: Tensor) -> Tensor:
        y = model.relu2(model.bn2(model.conv2(F.max_pool2d(changed, 2))))
        return model.fc(y.mean((2, 3))).detach()

    for action, value in (
        (Scale(0.25), maps[:, 3] * 0.25),
        (Mean(), torch.full_like(maps[:, 3], maps[:, 3].mean())),
    ):
        changed = maps.clone()
        changed[:, 3] = value
        expected = (rest(changed) - rest(maps)).mean(0).numpy()
        found = plan_effects(model, [x[:4], x[4:]], units=units, intervention=action, outcomes="logits").run()
        np.testing.assert_allclose(found.moments["conv1"].mean[0], expected, rtol=1e-9, atol=1e-12)


def test_a_plan_says_what_it_costs_and_why_whole_passes() -> None:
    model = seeded(Residual)
    plan = plan_effects(model, data(model), layers=["block1.conv1", "block2.conv1"])
    said = repr(plan)
    assert "14 units of 2 layers, 23 images, outcomes loss, correct" in said
    assert "only what lies below" in said
    assert plan.loop_forwards == 23 * 15
    assert 0 < plan.seconds < 60
    assert plan.kept_bytes > 0
    written = seeded(lambda: Written("view"))
    whole = plan_effects(written, data(written))
    assert "whole forward passes for every layer, because" in repr(whole)
    assert "view" in repr(whole)
    assert "does not tell" in repr(plan_effects(model, iter([images(3)]), graph=trace(model, images(1))))


def test_a_small_budget_gives_the_same_numbers() -> None:
    model = seeded(Residual).double()
    loader = data(model)
    usual, tight = plan_effects(model, loader), plan_effects(model, loader, budget=60_000)
    assert len(tight.settings.groups) > len(usual.settings.groups)
    assert tight.settings.images < 8
    assert tight.kept_bytes <= 60_000
    np.testing.assert_allclose(tight.run().all.mean, usual.run().all.mean, rtol=1e-9, atol=1e-12)


def test_the_same_plan_gives_the_same_bits() -> None:
    model = seeded(Plain)
    plan = plan_effects(model, data(model))
    assert np.array_equal(plan.run().all.mean, plan.run().all.mean)


def test_progress_counts_pairs_and_cancels() -> None:
    model, told = seeded(Plain), []
    before, stop = fingerprint(model), threading.Event()
    loader = data(seeded(Plain))
    plan = plan_effects(model, loader, ["conv1"])
    plan.run(progress=Progress(told.append, interval=0))
    assert (told[0].total, told[-1].done) == (23 * 6, 23 * 6)

    def listen(tick: object) -> None:
        if tick.done:  # type: ignore[attr-defined]
            stop.set()

    with pytest.raises(Cancelled):
        plan.run(progress=Progress(listen, stop, interval=0))
    assert fingerprint(model) == before


def test_what_is_refused() -> None:
    model = seeded(Plain)
    loader, x = data(model), images(4)
    with pytest.raises(UnknownNameError, match='Did you mean "conv1"'):
        plan_effects(model, loader, ["conv11"])
    with pytest.raises(UnknownNameError, match="units 0 to 5"):
        plan_effects(model, loader, units={"conv1": [6]})
    with pytest.raises(UnknownNameError, match="site"):
        plan_effects(model, loader, site="relu")
    with pytest.raises(ArgumentError, match="classes"):
        plan_effects(model, loader, ["fc"])
    with pytest.raises(ArgumentError, match="not both"):
        plan_effects(model, loader, ["conv1"], {"conv1": [1]})
    with pytest.raises(ArgumentError, match="no units"):
        plan_effects(model, loader, units={"conv1": []})
    with pytest.raises(ArgumentError, match=r"action such as Zero\(\)"):
        plan_effects(model, loader, intervention=0.0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="label"):
        plan_effects(model, [x], outcomes="loss").run()
    with pytest.raises(UnknownNameError, match="was not measured"):
        plan_effects(model, loader, ["conv1"], intervention=Zero()).run().mean("conv1", "los")


def test_a_sweep_knows_its_questions_and_in_which_images_they_change_anything() -> None:
    values = torch.tensor([2.0, 1.0, -1.0, -3.0, 4.0])
    x = values.view(5, 1, 1, 1).expand(5, 1, 3, 3).contiguous()
    effects = plan_effects(Known().eval(), [x[:3], x[3:]], outcomes="logits").run(seed=1)
    assert [question.name for question in effects.asked] == ["conv[0]", "conv[1]"]
    found = effects.evidence["conv"]
    assert (effects.n, effects.ran, found.changed.sum(axis=0).tolist()) == (5, 5, [3, 2])
    np.testing.assert_allclose(effects.scale, np.abs(found_logits(x)).max(1).mean())


def found_logits(x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return Known().eval()(x).numpy()
