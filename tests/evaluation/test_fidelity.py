"""Fidelity on networks whose causal model is exact, against loops written out and scikit-learn."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, Cancelled, DataError, OrderError, UnknownNameError
from causal_widget.evaluation import METHODS, Truth, by_local, coar_of, fidelity, ridge_of, truth_under
from causal_widget.evaluation.coar import LAMBDAS
from causal_widget.evaluation.kinds import kind_of, units_of
from causal_widget.evaluation.scores import agreement, flips
from causal_widget.graph import trace
from causal_widget.interventions import Intervention, intervene
from causal_widget.jobs import Progress
from causal_widget.responses import collect
from causal_widget.scm import fit
from causal_widget.scm.local import local_coefficients
from tests.interventions.networks import Residual, fingerprint, images, seeded

KINDS = ("single", "layer 30%", "network 20%")


class Straight(nn.Module):
    """No nonlinearity, so that mean responses obey linear equations; no more units than there are inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.fc = nn.Conv2d(7, 7, 1), nn.Conv2d(7, 6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(self.first(x)).mean((2, 3)))


def labelled(n: int, classes: int, seed: int = 1, channels: int = 3) -> tuple[Tensor, Tensor]:
    return images(n, channels, seed=seed), torch.arange(n) % classes


@pytest.fixture(scope="module")
def residual() -> tuple[nn.Module, Truth]:
    model = seeded(Residual)
    pair = labelled(20, 5)
    truth = truth_under(model, trace(model, pair[0]), pair, kinds=KINDS, images=16, n_masks=6, seed=2)
    return model, truth


def test_truth_is_the_network_under_each_intervention(residual: tuple[nn.Module, Truth]) -> None:
    model, truth = residual
    for kind in KINDS:
        assert truth.masks[kind].shape == (6, 46)
        for k, mask in enumerate(truth.masks[kind]):
            with intervene(model, truth.graph, Intervention(units_of(truth.graph, mask))):
                after = model(truth.images).double().numpy()
            np.testing.assert_allclose(truth.after[kind][:, k], after, atol=1e-5)
            for i, label in enumerate(truth.labels):
                own = truth.logits[i]
                assert truth.true_change(kind)[i, k] == pytest.approx(after[i, label] - own[label], abs=1e-5)
                margin = after[i, label] - max(np.delete(after[i], label))
                before = own[label] - max(np.delete(own, label))
                assert truth.margin_change(kind)[i, k] == pytest.approx(margin - before, abs=1e-5)


def test_kinds_silence_what_they_say(residual: tuple[nn.Module, Truth]) -> None:
    _, truth = residual
    graph = truth.graph
    for mask in kind_of("single").draw(graph, 40, 0):
        assert mask.sum() == 1
    for mask in kind_of("layer 30%").draw(graph, 40, 0):
        ((layer, units),) = units_of(graph, mask).items()
        assert len(units) == max(1, round(0.3 * graph.layer(layer).units))
    assert (kind_of("network 20%").draw(graph, 9, 0).sum(axis=1) == round(0.2 * 46)).all()
    layers = {next(iter(units_of(graph, m))) for m in kind_of("single").draw(graph, 80, 0)}
    assert layers == {layer.name for layer in graph.layers if not layer.is_output}
    np.testing.assert_array_equal(kind_of("single").draw(graph, 5, 3), kind_of("single").draw(graph, 5, 3))


def test_an_exact_causal_model_scores_one() -> None:
    """Means of a network without nonlinearities: equations and local coefficients foresee everything."""
    model, pair = seeded(Straight), labelled(120, 3, channels=7)
    scm = fit(collect(model, [pair], transform="mean"), "linear")
    found = fidelity(
        scm, model, labelled(12, 3, seed=9, channels=7), kinds=("single", "layer 30%"), images=12, n_masks=8,
        methods=("equations", "gradient", "no change", "leave-one-out"),
    )  # fmt: skip
    for method in ("equations", "gradient", "leave-one-out"):
        for kind in ("single", "layer 30%"):
            score = found.score(method, kind)
            assert score.pearson == pytest.approx(1, abs=1e-6)
            assert score.pearson_by_image == pytest.approx(1, abs=1e-6)
            assert score.r2 == pytest.approx(1, abs=1e-6)
            assert score.margin_r2 == pytest.approx(1, abs=1e-6)
            assert score.accuracy_error == 0
            assert score.flips == 0 or (score.foreseen, score.precision) == (1, 1)
    score = found.score("no change", "single")
    assert np.isnan(score.pearson)
    assert score.r2 <= 0
    assert score.foreseen == 0 or score.flips == 0
    assert found.score("gradient", "single").forwards == 7
    assert found.score("leave-one-out", "single").forwards == 13


def test_agreement_is_what_scipy_and_sklearn_say() -> None:
    generator = np.random.default_rng(0)
    true = generator.normal(size=(6, 9)).round(1)
    foreseen = (true + generator.normal(size=(6, 9))).round(1)
    found = agreement(foreseen, true)
    assert found["pearson"] == pytest.approx(stats.pearsonr(foreseen.ravel(), true.ravel()).statistic)
    assert found["spearman"] == pytest.approx(stats.spearmanr(foreseen.ravel(), true.ravel()).statistic)
    rows = [stats.pearsonr(a, b).statistic for a, b in zip(foreseen, true, strict=True)]
    assert found["pearson_by_image"] == pytest.approx(np.mean(rows))
    rows = [stats.spearmanr(a, b).statistic for a, b in zip(foreseen, true, strict=True)]
    assert found["spearman_by_image"] == pytest.approx(np.mean(rows))
    assert found["r2"] == pytest.approx(r2_score(true.ravel(), foreseen.ravel()))


def test_images_without_variation_do_not_spoil_the_mean() -> None:
    true = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    assert agreement(2 * true, true)["pearson_by_image"] == pytest.approx(1)
    assert np.isnan(agreement(np.zeros((2, 3)), true)["pearson_by_image"])


def test_flips_are_counted() -> None:
    before = np.array([[True], [False]])
    true = np.array([[True, False, False], [False, True, False]])
    foreseen = np.array([[False, False, True], [False, True, True]])
    # True flips: (0,1), (0,2), (1,1). Foreseen: (0,0), (0,1), (1,1), (1,2). Both: (0,1), (1,1).
    assert flips(before, foreseen, true) == (3, 2 / 3, 2 / 4)
    assert flips(before, foreseen, np.repeat(before, 3, axis=1))[0] == 0


def test_ridge_is_sklearns_at_the_penalty_that_cross_validation_takes() -> None:
    generator = np.random.default_rng(1)
    for n, p in ((80, 12), (25, 40)):
        x = (generator.random((n, p)) < 0.2).astype(float)
        y = x @ generator.normal(size=(p, 3)) + 0.5 * generator.normal(size=(n, 3)) + 2
        b, a, penalty = ridge_of(x, y)
        fold = np.arange(n) % 5
        errors = []
        for one in LAMBDAS:
            total = 0.0
            for k in range(5):
                model = Ridge(alpha=one).fit(x[fold != k], y[fold != k])
                total += ((model.predict(x[fold == k]) - y[fold == k]) ** 2).sum()
            errors.append(total)
        assert penalty == LAMBDAS[int(np.argmin(errors))]
        expected = Ridge(alpha=penalty).fit(x, y)
        np.testing.assert_allclose(b, expected.coef_.T, atol=1e-8)
        np.testing.assert_allclose(a, expected.intercept_, atol=1e-8)


def test_coar_recovers_a_linear_network_and_its_control_helps_a_nonlinear_one(
    residual: tuple[nn.Module, Truth],
) -> None:
    straight = seeded(Straight)
    pair = labelled(5, 3, channels=7)
    truth = truth_under(straight, trace(straight, pair[0]), pair, kinds=("layer 30%",), n_masks=8)
    found = coar_of(truth, images=5, n_masks=150, fraction=0.05)
    changes = found.predict_masks(truth.masks["layer 30%"])
    np.testing.assert_allclose(changes[..., 0], truth.true_change("layer 30%"), atol=0.05)

    model, truth = residual
    masks, true = truth.masks["network 20%"], truth.true_change("network 20%")
    pair = (truth.images, torch.from_numpy(truth.labels))
    local = local_coefficients(
        model, truth.graph, pair, outcomes=["true", "margin"], fractions=(0.2,), passes=8
    )
    plain = coar_of(truth, images=16, n_masks=60, fraction=0.2).predict_masks(masks)[..., 0]
    rest = coar_of(truth, images=16, n_masks=60, fraction=0.2, control=local)
    both = rest.predict_masks(masks)[..., 0] + local.predict_masks(masks)[..., 0]
    assert ((both - true) ** 2).mean() < ((plain - true) ** 2).mean()


def test_weight_norm_foresees_the_same_for_every_image(residual: tuple[nn.Module, Truth]) -> None:
    model, truth = residual
    found = fidelity(None, model, [], truth=truth, methods="weight norm")
    norms = np.concatenate(
        [
            model.get_submodule(layer.module).weight.detach().flatten(1).norm(dim=1).numpy()
            for layer in truth.graph.layers[:-1]
        ]
    )
    total = np.repeat((truth.masks["network 20%"] @ norms)[None], 16, axis=0)
    expected = stats.pearsonr(total.ravel(), truth.true_change("network 20%").ravel()).statistic
    assert abs(found.score("weight norm", "network 20%").pearson) == pytest.approx(abs(expected), abs=1e-5)


def test_local_coefficients_of_the_margin_itself_or_of_all_classes(
    residual: tuple[nn.Module, Truth],
) -> None:
    """The true logit is the same either way; a margin foreseen from all logits knows every rival."""
    _, truth = residual
    every = by_local(truth, fractions=(0.2,), passes=4)
    pair = by_local(truth, outcomes=["margin", "true"], fractions=(0.2,), passes=4, images=9)
    assert (every.forwards, pair.forwards) == (5 * 11, 5 * 5)
    for kind in KINDS:
        np.testing.assert_allclose(pair.true[kind], every.true[kind][:9], atol=1e-5)
        assert pair.margin[kind].shape == (9, 6)
    local = local_coefficients(
        truth.model, truth.graph, truth.loader, outcomes="all", fractions=(0.2,), passes=4
    )
    after = truth.logits[:, None] + local.predict_masks(truth.masks["network 20%"])
    for i, label in enumerate(truth.labels):
        others = np.delete(after[i], label, axis=1).max(axis=1)
        expected = after[i, :, label] - others - truth.margin[i]
        np.testing.assert_allclose(every.margin["network 20%"][i], expected, atol=1e-6)


def test_every_method_answers_or_says_why_not() -> None:
    model, pair = seeded(Residual).train(), labelled(60, 5)
    scm = fit(collect(model, [pair], transform="mean"))
    before, ticks = fingerprint(model), []
    found = fidelity(
        scm, model, labelled(10, 5, seed=4), kinds=KINDS, n_masks=3, coar_masks=20, budget=46 * 9,
        fractions=(0, 0.2), passes=2, progress=Progress(ticks.append, interval=0),
    )  # fmt: skip
    assert fingerprint(model) == before
    assert found.methods == tuple(METHODS)
    assert found.skipped == {}
    assert found.score("leave-one-out", "single").images == 9
    assert found.score("COAR", "single").images == 10
    assert found.score("local", "single").forwards == 3 * 11
    assert found.score("COAR on local", "single").forwards == 20 + 33
    assert found.score("equations", "single").forwards == 0
    assert "fitted once on" in found.notes["equations"]
    assert ticks
    small = fidelity(None, model, pair, images=4, n_masks=2, kinds=("single",), budget=10)
    assert set(small.skipped) == {"equations", "local", "gradient", "leave-one-out", "COAR", "COAR on local"}
    assert "give a budget of 184 or more" in small.skipped["leave-one-out"]
    with pytest.raises(UnknownNameError, match="give a budget"):
        small.score("leave-one-out", "single")


def test_every_method_answers_on_a_single_image_within_its_budget() -> None:
    model, pair = seeded(Residual), labelled(1, 5)
    found = fidelity(
        fit(collect(model, labelled(40, 5))), model, pair, n_masks=6, kinds=("layer 30%",), coar_masks=20,
        budget=1000, fractions=(0, 0.2), passes=2,
    )  # fmt: skip
    assert found.skipped == {}
    assert {score.images for score in found.scores} == {1}
    assert found.score("leave-one-out", "layer 30%").pearson > 0.5


def test_a_model_in_data_parallel_is_judged_as_without(residual: tuple[nn.Module, Truth]) -> None:
    model, truth = residual
    pair = (truth.images, torch.from_numpy(truth.labels))
    options = {"n_masks": 3, "kinds": ("layer 30%",), "methods": ("weight norm", "gradient")}
    found, expected = (fidelity(None, one, pair, **options) for one in (nn.DataParallel(model), model))
    pd.testing.assert_frame_equal(found.table(), expected.table())


def test_a_method_is_not_joined_twice(residual: tuple[nn.Module, Truth]) -> None:
    model, truth = residual
    found = fidelity(None, model, [], truth=truth, methods="gradient")
    more = by_local(truth, fractions=(0.0,), passes=1, method="gradient")
    with pytest.raises(ArgumentError, match='"gradient" already'):
        found.joined(more)
    assert found.joined(replace(more, method="again")).methods == ("gradient", "again")


def test_it_says_itself(residual: tuple[nn.Module, Truth]) -> None:
    model, truth = residual
    found = fidelity(None, model, [], truth=truth, methods=("gradient", "no change"))
    assert repr(found).startswith("Fidelity on 16 images")
    wide = found.compare("r2")
    assert list(wide.columns) == [*KINDS, "forwards", "images"]
    assert wide.loc["gradient", "single"] == found.score("gradient", "single").r2
    assert len(found.table()) == 6
    assert "<table" in found._repr_html_()
    figure = found.plot()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "gradient  (11)",
        "no change  (0)",
    ]
    with pytest.raises(UnknownNameError, match='Did you mean "pearson"'):
        found.compare("pearsn")


@pytest.mark.parametrize(
    "changed, error, words",
    [
        ({"methods": ("locale",)}, UnknownNameError, 'Did you mean "local"'),
        ({"methods": ()}, ArgumentError, "one or more"),
        ({"kinds": ("layer",)}, UnknownNameError, "layer 10%"),
        ({"kinds": ("network 0%",)}, UnknownNameError, "up to 100"),
        ({"kinds": ()}, ArgumentError, "one or more"),
        ({"n_masks": 0}, ArgumentError, "n_masks"),
        ({"images": 0}, ArgumentError, "images"),
        ({"budget": -1}, ArgumentError, "budget"),
        ({"coar_masks": 0}, ArgumentError, "random sets, 10 or more, got 0"),
        ({"seed": 1.5}, ArgumentError, "seed"),
    ],
    ids=str,
)
def test_bad_input_is_named(changed: dict[str, object], error: type[Exception], words: str) -> None:
    model = seeded(Residual)
    with pytest.raises(error, match=words):
        fidelity(None, model, labelled(4, 5), **{"methods": ("no change",), **changed})


def test_labels_and_a_network_are_needed() -> None:
    model = seeded(Residual)
    with pytest.raises(DataError, match="no labels"):
        fidelity(None, model, images(4), methods=("no change",))
    scm = replace(fit(collect(model, [labelled(40, 5)])), source=None)
    with pytest.raises(OrderError, match="attach"):
        fidelity(scm, model, labelled(4, 5), methods=("equations",), kinds=("single",), n_masks=1)


def test_a_causal_model_is_judged_by_its_own_network_alone() -> None:
    """Another of the same graph would be compared with responses that are not its own."""
    model, pair = seeded(Residual), labelled(8, 5)
    scm = fit(collect(model, labelled(40, 5)))
    trained = copy.deepcopy(model)
    options = {"methods": ("equations",), "kinds": ("single",), "n_masks": 2}
    assert fidelity(scm, trained, pair, **options).scores  # a copy that answers the same
    with torch.no_grad():
        list(trained.parameters())[-2].mul_(1.5)
    with pytest.raises(ArgumentError, match="not the one that it is judged by"):
        fidelity(scm, trained, pair, **options)
    assert fidelity(scm.attach(trained), trained, pair, **options).scores


def test_it_can_be_cancelled() -> None:
    model, cancel = seeded(Residual), threading.Event()
    cancel.set()
    before = fingerprint(model)
    with pytest.raises(Cancelled):
        fidelity(None, model, labelled(4, 5), progress=Progress(cancel=cancel))
    assert fingerprint(model) == before
