"""Cross-validated ridge against a plain loop over folds, and fits on one arm or both."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from causal_widget.errors import ArgumentError, OrderError, UnknownNameError
from causal_widget.scm import fit
from causal_widget.scm.normal import merged, normal_of
from tests.scm import handmade, oracle

LAMBDAS = np.logspace(-4, 1, 8)


@pytest.fixture(scope="module")
def graph():
    return oracle.residual_graph()


@pytest.fixture(scope="module")
def truth(graph):
    return handmade.coefficients_of(graph)


@pytest.fixture(scope="module")
def samples(graph, truth):
    """Training and held-out images, few and noisy, without and with interventions."""
    settings = {"noise": 8.0}
    return {
        "train": handmade.sampled(graph, truth, 60, seed=1, **settings),
        "heldout": handmade.sampled(graph, truth, 80, seed=2, **settings),
        "forced": handmade.sampled(graph, truth, 60, seed=3, intervene=True, **settings),
        "forced_heldout": handmade.sampled(graph, truth, 80, seed=4, intervene=True, **settings),
    }


def rows(graph, sample, layer):
    """Parents as they were, children as their own equations gave them."""
    return oracle.parents_table(graph, sample.actual, layer), sample.natural[layer]


def looped_ridge(x, y, penalty):
    """Slope in the parents' own units and intercept, by scikit-learn."""
    scale = x.std(axis=0)
    model = Ridge(alpha=penalty * len(y)).fit(x / scale, y)
    return model.coef_ / scale, model.intercept_


def looped_errors(parts, unit, parents):
    """Mean squared error over all images for each penalty, each image foreseen by the other folds."""
    total, n = np.zeros(len(LAMBDAS)), 0
    folds = [
        (np.concatenate([x[i::4] for x, _ in parts]), np.concatenate([y[i::4] for _, y in parts]))
        for i in range(4)
    ]
    for i, (x, y) in enumerate(folds):
        rest_x = np.concatenate([one[0] for j, one in enumerate(folds) if j != i])[:, parents]
        rest_y = np.concatenate([one[1] for j, one in enumerate(folds) if j != i])[:, unit]
        for k, penalty in enumerate(LAMBDAS):
            slope, intercept = looped_ridge(rest_x, rest_y, penalty)
            total[k] += ((y[:, unit] - x[:, parents] @ slope - intercept) ** 2).sum()
        n += len(y)
    return total / n


@pytest.mark.parametrize("data", ["observational", "both", "interventional"])
def test_the_penalty_is_a_loops_over_folds(graph, samples, data):
    scm = fit(handmade.collection(graph, **samples), data=data, lambdas=LAMBDAS)
    kept = {"observational": ["train"], "interventional": ["forced"], "both": ["train", "forced"]}[data]
    chosen = set()
    for layer, equations in scm.equations.items():
        parts = [rows(graph, samples[name], layer) for name in kept]
        x, y = (np.concatenate(side) for side in zip(*parts, strict=True))
        for unit, parents in enumerate(oracle.mask_of(graph, layer)[:4]):
            errors = looped_errors(parts, unit, parents)
            assert equations.penalty[unit] == LAMBDAS[errors.argmin()]
            slope, intercept = looped_ridge(x[:, parents], y[:, unit], equations.penalty[unit])
            np.testing.assert_allclose(equations.coefficients[unit, parents], slope, rtol=1e-7, atol=1e-10)
            assert equations.intercept[unit] == pytest.approx(intercept, rel=1e-7)
            chosen.add(equations.penalty[unit])
    assert len(chosen) > 3  # the choice is not trivial
    assert (scm.data, scm.n_images) == (data, 60 * len(kept))
    said = {"both": "120 images with and without interventions,", "observational": "60 images,"}
    assert said.get(data, "60 images under interventions,") in repr(scm)


def test_one_penalty_a_layer_is_the_least_sum_of_relative_errors(graph, samples):
    scm = fit(handmade.collection(graph, **samples), data="observational", lambdas=LAMBDAS, by="layer")
    for layer, equations in scm.equations.items():
        parts, total = [rows(graph, samples["train"], layer)], 0
        for unit, parents in enumerate(oracle.mask_of(graph, layer)):
            total = total + looped_errors(parts, unit, parents) / parts[0][1][:, unit].var()
        assert set(equations.penalty) == {LAMBDAS[total.argmin()]}


@pytest.mark.parametrize("estimator", ["linear", "ridge"])
def test_errors_on_both_kinds_of_held_out_images(graph, samples, estimator):
    scm = fit(handmade.collection(graph, **samples), estimator)
    for layer, equations in scm.equations.items():
        for sample, r2, mse in (
            ("heldout", equations.heldout_r2, equations.heldout_mse),
            ("forced_heldout", equations.interventional_r2, equations.interventional_mse),
        ):
            x, y = rows(graph, samples[sample], layer)
            left = ((y - x @ equations.coefficients.T - equations.intercept) ** 2).mean(axis=0)
            np.testing.assert_allclose(mse, left, rtol=1e-9)
            np.testing.assert_allclose(r2, 1 - left / y.var(axis=0), rtol=1e-9)
        np.testing.assert_allclose(equations.relative_mse, 1 - equations.r2)
        parts = [rows(graph, samples[name], layer) for name in ("train", "forced")]
        x, y = (np.concatenate(side) for side in zip(*parts, strict=True))
        left = ((y - x @ equations.coefficients.T - equations.intercept) ** 2).mean(axis=0)
        np.testing.assert_allclose(equations.mse, left, rtol=1e-9)


def test_interventions_fit_as_the_raw_rows_do(graph, samples):
    scm = fit(handmade.collection(graph, **samples), "linear", data="interventional")
    for layer, equations in scm.equations.items():
        x, y = rows(graph, samples["forced"], layer)
        for unit, parents in enumerate(oracle.mask_of(graph, layer)):
            model = LinearRegression().fit(x[:, parents], y[:, unit])
            np.testing.assert_allclose(equations.coefficients[unit, parents], model.coef_, rtol=1e-6)


def test_both_arms_recover_the_truth(graph, truth):
    train = handmade.sampled(graph, truth, 20_000, seed=1)
    forced = handmade.sampled(graph, truth, 20_000, seed=2, intervene=True)
    collection = handmade.collection(graph, train, forced=forced)
    for data in ("observational", "interventional", "both"):
        for layer, equations in fit(collection, data=data).equations.items():
            np.testing.assert_allclose(equations.coefficients, truth[layer], atol=0.05)


def test_leaving_out_a_skipped_parent_biases_the_others(graph, truth):
    """`left` reads `stem` directly and through other layers: without it, its effect is blamed on them."""
    train = handmade.sampled(graph, truth, 20_000, seed=1)
    scm = fit(handmade.collection(graph, train), "linear")
    equations = scm["head"]
    kept, left_out = equations.columns(equations.parents[0]), equations.parents[1:]
    assert left_out
    x = train.actual[equations.parents[0]]
    short = LinearRegression().fit(x, train.actual["head"]).coef_
    expected = truth["head"][:, kept]
    assert np.abs(equations.coefficients[:, kept] - expected).max() < 0.02
    assert np.abs(short - expected).max() > 0.5


def test_taking_a_fold_out_undoes_a_merge(graph, samples):
    layout, readings = None, None
    parts = handmade.collection(graph, **samples).observational.folds
    layout = parts[0].layout
    for target, readings in layout.readings.items():
        for index, reading in enumerate(readings):
            whole, fold = merged(parts, [reading], index), normal_of(parts[1], [reading], index)
            rest = merged([parts[0], *parts[2:]], [reading], index)
            found = whole.without(fold)
            assert found.count == rest.count, target
            for name in ("parent_mean", "child_mean", "among", "across", "squares"):
                np.testing.assert_allclose(getattr(found, name), getattr(rest, name), rtol=1e-9, atol=1e-9)


def test_a_parent_alive_in_one_fold_alone_does_not_blow_up(graph, samples):
    train = handmade.Sample(*({n: x.copy() for n, x in t.items()} for t in (samples["train"].actual,) * 2))
    train.actual["stem"][:, 0] = 0.0
    train.actual["stem"][1, 0] = 3.0  # an image of fold 1
    scm = fit(handmade.collection(graph, train, samples["heldout"]))
    for equations in scm.equations.values():
        assert np.isfinite(equations.coefficients).all()
        assert np.abs(equations.standardised).max() < 10


def test_a_single_fold_takes_the_fixed_ridge_and_says_so(graph, samples):
    collection = handmade.collection(graph, samples["train"], folds=1)
    scm, fixed = fit(collection), fit(collection, ridge=1e-2)
    np.testing.assert_array_equal(scm["left"].coefficients, fixed["left"].coefficients)
    assert any("One fold" in note for note in scm["left"].notes)
    assert not any("One fold" in note for note in fixed["left"].notes)


def test_bad_choices(graph, samples):
    plain = handmade.collection(graph, samples["train"])
    with pytest.raises(UnknownNameError, match='"observational"'):
        fit(plain, data="observation")
    with pytest.raises(OrderError, match=r"intervene=0\.1"):
        fit(plain, data="both")
    for bad in ([], [0.0, 1.0], [np.nan]):
        with pytest.raises(ArgumentError, match="lambdas is"):
            fit(plain, lambdas=bad)
    with pytest.raises(ArgumentError, match="by is 'row'"):
        fit(plain, by="row")
    with pytest.raises(ArgumentError, match="ridge is 'auto'"):
        fit(plain, ridge="auto")
