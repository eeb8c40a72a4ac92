"""Fewer exact images: unbiased for every number of them, with intervals that hold, in runs of a network."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from causal_widget.effects.effects import Effects
from causal_widget.effects.evidence import ControlledEvidence
from causal_widget.effects.plan import EffectPlan, plan_effects
from causal_widget.errors import ArgumentError, DataError, UnknownNameError, UnsupportedModelError
from causal_widget.interventions import Mean, PathEdit, Resample, Scale, UnitEdit
from tests.effects.test_cutting import Written
from tests.interventions.networks import Residual, fingerprint, images, seeded

Loader = list[tuple[Tensor, Tensor]]


@cache
def made(n: int = 500) -> tuple[nn.Module, Loader]:
    """A network, and images on which it is right as often as not."""
    model, x = seeded(Residual).double(), images(n).double() * 2
    with torch.no_grad():
        model.fc.weight *= 20
        model.fc.bias -= model(x).mean(0)
    labels = model(x).argmax(1).detach()
    labels[::3] = (labels[::3] + 1) % 3
    return model, list(zip(x.split(64), labels.split(64), strict=True))


UNITS: Mapping[str, tuple[int, ...]] = {"stem": (0, 1), "block1.conv2": (3, 5), "block2.conv1": (1, 2)}


@cache
def truth(n: int = 500) -> Effects:
    model, loader = made(n)
    return plan_effects(model, loader, units=UNITS, outcomes=["loss", "margin", "correct"]).run()


def known(effects: Effects, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half-width of all questions, (question, column)."""
    found = [effects.evidence[layer].estimate(**options) for layer in effects.questions.groups]  # type: ignore[arg-type]
    return np.concatenate([one.mean for one in found]), np.concatenate([one.half_width() for one in found])


def test_exact_on_some_images_is_unbiased_and_its_intervals_hold() -> None:
    model, loader = made()
    plan = plan_effects(model, loader, units=UNITS, outcomes=["loss", "margin", "correct"], exact=60)
    assert "exact on 60 images" in repr(plan)
    assert "first-order estimates on all images for loss, margin, correct" in repr(plan)
    expected, runs = truth().all.mean, [known(plan.run(seed)) for seed in range(24)]
    means, halves = (np.stack(part) for part in zip(*runs, strict=True))
    error = means - expected
    spread = means.std(0, ddof=1) / np.sqrt(len(runs))
    assert (np.abs(error.mean(0)) < 4 * spread)[:4].all()
    covered = (np.abs(error) <= halves)[:, :4, :2].mean()  # the others have next to no effect
    assert 0.89 < covered < 0.99
    plain = (truth().all.sd * np.sqrt(1 / 60 - 1 / 500))[:4, :2]
    assert np.median((plain / means.std(0, ddof=1)[:4, :2]) ** 2) > 4  # what the control variate saves


def test_all_images_exact_is_the_sweep() -> None:
    model, loader = made(90)
    effects = plan_effects(model, loader, units=UNITS, outcomes=["loss", "correct"], exact=90).run()
    mean, half = known(effects)
    np.testing.assert_allclose(mean, truth(90).all.mean[:, [0, 2]], rtol=1e-9, atol=1e-12)
    assert (half < 1e-12).all()
    assert (effects.how, effects.n_images) == ("controlled", 90)


def test_a_precision_is_reached_with_few_images() -> None:
    model, loader = made()
    wanted = float(truth().all.sd[:, 0].max()) / 12
    plan = plan_effects(model, loader, units=UNITS, outcomes=["loss", "margin"], precision=wanted)
    assert "exact effects on 96 images at least, on all at most" in repr(plan)
    effects = plan.run()
    assert effects.settings["open"] == 0
    mean, half = known(effects, anytime=True, questions=effects.settings["judged questions"])
    assert (half[:, 0] <= wanted).all()
    assert (np.abs(mean - truth().all.mean[:, :2])[:, 0] <= wanted).all()
    counts = [effects.evidence[layer].moments.n.max() for layer in UNITS]
    assert min(counts) <= 128 < 500  # pilot and first round
    assert effects.ran < truth().ran / 2
    assert effects.worked > 500


def test_intervals_hold_when_the_run_stops_itself() -> None:
    model, loader = made()
    units, expected = {"stem": (0, 1)}, truth().all.mean[:2, 0]
    plan = plan_effects(model, loader, units=units, outcomes="loss", precision=0.04, level=0.8)
    missed, images_used = 0, []
    for seed in range(12):
        effects = plan.run(seed)
        found = effects.evidence["stem"].estimate("given", level=0.8, questions=2, anytime=True)  # type: ignore[call-arg]
        assert (found.half_width() <= 0.04).all()
        missed += bool((np.abs(found.mean[:, 0] - expected) > found.half_width()[:, 0]).any())
        images_used.append(int(found.n.max()))
    assert missed <= 4  # 2.4 of 12 would be expected at most
    assert 128 <= min(images_used) < 500


def test_a_precision_of_every_outcome_named() -> None:
    model, loader = made()
    wanted = {"margin": 0.05, "correct": 0.03}
    effects = plan_effects(
        model, loader, units=UNITS, outcomes=["loss", "margin", "correct"], precision=wanted
    ).run()
    _, half = known(effects, anytime=True, questions=effects.settings["judged questions"])
    assert effects.settings["judged questions"] == 12
    assert (half[:, 1] <= 0.05).all()
    assert (half[:, 2] <= 0.03).all()


@pytest.mark.parametrize("by, order", [("abs_loss", "abs"), ("loss", "high"), ("-margin", "low")])
def test_the_top_is_the_true_one(by: str, order: str) -> None:
    model, loader = made()
    plan = plan_effects(model, loader, units=UNITS, outcomes=["loss", "margin"], top=3, by=by)
    assert f"the first 3 places by {by}" in repr(plan)
    effects = plan.run()
    mean, expected = known(effects)[0], truth().all.mean
    k = 0 if by.endswith("loss") else 1
    key = {"abs": np.abs, "high": np.asarray, "low": np.negative}[order]
    assert set(np.argsort(-key(mean[:, k]))[:3]) == set(np.argsort(-key(expected[:, k]))[:3])
    assert effects.settings["open"] == 0
    evidence = [effects.evidence[layer] for layer in UNITS]
    assert min(one.moments.n.min() for one in evidence) < 500  # some places were settled early


def test_equal_seeds_give_equal_bits_and_others_other_images() -> None:
    model, loader = made()
    plan = plan_effects(model, loader, units=UNITS, precision=0.05)
    one, two, three = plan.run(3), plan.run(3), plan.run(4)
    for layer in UNITS:
        arrays = [run.evidence[layer].arrays() for run in (one, two, three)]
        assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])
        assert np.array_equal(arrays[0]["0/cheap.mean"], arrays[2]["0/cheap.mean"])
        assert not np.array_equal(arrays[0]["0/pilot.exact.mean"], arrays[2]["0/pilot.exact.mean"])


def test_a_precision_beyond_these_images_says_what_can_be_reached() -> None:
    model, loader = made(120)
    common = {"units": UNITS, "outcomes": "loss", "precision": 0.01}
    with pytest.raises(ArgumentError, match="cannot be reached with the 120 images given") as error:
        plan_effects(model, loader, population=None, **common).run()
    assert "images would do" in str(error.value)
    assert 'population="given"' in str(error.value)
    asked = float(str(error.value).split("ask for ")[1].split(",")[0])
    done = plan_effects(model, loader, population=None, **{**common, "precision": 2 * asked}).run()
    assert done.settings["open"] == 0
    assert plan_effects(model, loader, **common).run().settings["open"] == 0  # of just these images it can


def test_how_many_images_would_do_is_about_right() -> None:
    model, loader = made(120)
    with pytest.raises(ArgumentError) as error:
        plan_effects(
            model, loader, units={"stem": [0]}, outcomes="loss", precision=0.02, population=None
        ).run()
    needed = int(str(error.value).split("About ")[1].split(" images")[0].replace(",", ""))
    sd = float(plan_effects(model, loader, units={"stem": [0]}, outcomes="loss").run().all.sd[0, 0])
    alone = (2.24 * sd / 0.02) ** 2  # half of the error is for the sample: 97.5 % two-sided
    assert 0.5 * alone < needed < 2 * alone


def test_an_outcome_without_a_gradient_stands_alone() -> None:
    model, loader = made()
    wide = nn.Sequential(model, nn.Linear(5, 20)).double().eval()
    torch.nn.init.normal_(wide[1].weight, generator=torch.Generator().manual_seed(0))
    loader = [(x, y) for x, y in loader]
    plan = plan_effects(wide, loader, units={"0.stem": [0, 1]}, outcomes=["loss", "kl"], exact=80)
    assert "no first-order estimate of kl" in repr(plan)
    evidence = plan.run().evidence["0.stem"]
    assert isinstance(evidence, ControlledEvidence)
    assert not evidence.cheap.mean[:, 1].any()
    assert not evidence.pilot.coefficient[:, 1].any()
    assert evidence.pilot.coefficient[:, 0].all()


@pytest.mark.parametrize(
    "options",
    [
        {
            "edits": [
                UnitEdit({"stem": [0, 2]}),
                PathEdit(("stem", 1), "block1.conv1"),
                UnitEdit({"stem": [1]}, Scale(2.0)),
            ]
        },
        {"units": {"stem": [0]}, "intervention": Mean()},
        {"units": {"stem": [0]}, "intervention": Resample(seed=1), "site": "conv"},
    ],
)
def test_other_questions_end_at_the_truth(options: dict[str, object]) -> None:
    model, loader = made(120)
    exact = plan_effects(model, loader, outcomes=["loss", "logits"], **options).run()
    found = plan_effects(model, loader, outcomes=["loss", "logits"], precision=1e-6, **options).run()
    mean, half = known(found, anytime=True)
    np.testing.assert_allclose(mean, exact.all.mean, rtol=1e-7, atol=1e-10)
    assert (half <= 1e-6).all()


def test_whole_passes_give_the_same() -> None:
    model = seeded(lambda: Written("view")).double()
    x = images(80).double()
    loader = [(x, model(x).argmax(1))]
    plan = plan_effects(model, loader, outcomes="loss", exact=80)
    assert "whole forward passes for every layer" in repr(plan)
    effects = plan.run()
    np.testing.assert_allclose(
        known(effects)[0], plan_effects(model, loader, outcomes="loss").run().all.mean, rtol=1e-9, atol=1e-12
    )


def test_images_that_do_not_fit_are_read_again() -> None:
    model, loader = made()
    plan = plan_effects(model, loader, units=UNITS, outcomes="loss", exact=70)
    tight = plan_effects(model, loader, units=UNITS, outcomes="loss", exact=70, budget=400_000)
    assert tight.settings.recorded < plan.settings.recorded
    assert tight.kept_bytes <= 400_000
    np.testing.assert_allclose(known(tight.run())[0], known(plan.run())[0], rtol=1e-7, atol=1e-10)


def test_the_model_stays_as_it_was() -> None:
    model, loader = made(120)
    plan = plan_effects(model, loader, units=UNITS, precision=0.05)
    model.train()
    before = fingerprint(model)
    plan.run()
    assert fingerprint(model) == before
    with pytest.raises(ArgumentError, match="in training mode"):
        plan_effects(model, loader, units=UNITS, precision=0.05)
    model.eval()


def test_few_answers_that_turn_are_not_known_at_the_first_look() -> None:
    """A unit that turns none of the first images is not known to turn none at all."""
    model, loader = made(2000)
    plan = plan_effects(model, loader, units=UNITS, outcomes="correct", precision=0.05)
    found = plan.run().estimate()
    left = ~found.whole
    assert (found.half_width() <= 0.05).all()
    # Where images are drawn by what is expected of them, a tenth of an image's turn is the least doubt.
    assert (found.half_width()[left] > 0.1 / found.n[left]).all()
    truth = plan_effects(model, loader, units=UNITS, outcomes="correct").run().estimate().mean
    assert (np.abs(found.mean - truth) <= found.half_width() + 1e-12).all()
    assert found.n[left].min() > 64


def test_what_is_refused() -> None:
    model, loader = made(120)

    def plan(**options: object) -> EffectPlan:
        return plan_effects(model, loader, units=UNITS, outcomes=["loss", "margin"], **options)  # type: ignore[arg-type]

    with pytest.raises(ArgumentError, match="one or the other"):
        plan(exact=50, precision=0.1)
    with pytest.raises(ArgumentError, match="precision of loss must be a number above 0"):
        plan(precision=-1.0)
    with pytest.raises(UnknownNameError, match='Did you mean "margin"'):
        plan(precision={"margn": 0.1})
    with pytest.raises(UnknownNameError, match='Did you mean "abs_loss"'):
        plan(top=2, by="abs_los")
    with pytest.raises(ArgumentError, match="give top too"):
        plan(by="loss")
    with pytest.raises(ArgumentError, match="top must be a whole number from 1"):
        plan(top=0)
    with pytest.raises(ArgumentError, match="exact=200 images are asked for, and the loader has 120"):
        plan(exact=200).run()
    with pytest.raises(ArgumentError, match="population=50 is less than the 120"):
        plan(precision=0.1, population=50).run()
    with pytest.raises(ArgumentError, match="level must be a number between 0 and 1"):
        plan(precision=0.1, level=1.5)
    with pytest.raises(ArgumentError, match="autocast must be"):
        plan(autocast=torch.float64)
    with pytest.raises(DataError, match="needs labels"):
        plan_effects(model, [loader[0][0]], outcomes="loss", exact=5)
    with pytest.raises(UnsupportedModelError, match="must be a tensor"):
        plan_effects(nn.Sequential(nn.Conv2d(3, 4, 3)).double().eval(), loader)
    with pytest.raises(ArgumentError, match="not both"):
        plan(edits=[UnitEdit({"stem": [0]})])


def test_a_loader_that_changes_is_told() -> None:
    model, loader = made(120)
    changed = list(loader)
    plan = plan_effects(model, changed, units=UNITS, exact=20)
    changed[0] = (changed[0][0] + 1, changed[0][1])
    with pytest.raises(DataError, match="first batch is another one"):
        plan.run()


@pytest.mark.parametrize("options", [{}, {"precision": 0.05}])
def test_bf16_is_near_and_said(options: dict[str, object]) -> None:
    _, loader = made(120)
    single, some = copy.deepcopy(made(120)[0]).float(), [(x.float(), y) for x, y in loader]
    plan = plan_effects(single, some, units=UNITS, outcomes="loss", autocast=torch.bfloat16, **options)  # type: ignore[arg-type]
    assert "bfloat16, for screening" in repr(plan)
    effects = plan.run()
    assert effects.settings["autocast"] == "bfloat16"
    found, expected = known(effects)[0][:, 0], truth(120).all.mean[:, 0]
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
