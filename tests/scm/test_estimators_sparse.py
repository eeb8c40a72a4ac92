"""LARS and LASSO from moments against scikit-learn's on the raw table."""

import threading

import numpy as np
import pytest
from sklearn.linear_model import Lars, LassoLars, lars_path

from causal_widget.errors import ArgumentError, Cancelled, OrderError, UnknownNameError
from causal_widget.jobs import Progress
from causal_widget.scm import fit
from causal_widget.scm.estimators.sparse import ALPHAS, path
from tests.scm import handmade, oracle

SCIKIT = {"lars": "lar", "lasso": "lasso"}


@pytest.fixture(scope="module")
def graph():
    return oracle.residual_graph()


@pytest.fixture(scope="module")
def train(graph):
    return handmade.sampled(graph, handmade.coefficients_of(graph), 120, seed=1, noise=6.0)


@pytest.fixture(scope="module")
def collection(graph, train):
    return handmade.collection(graph, train)


def centred(x):
    return x - x.mean(axis=0)


@pytest.mark.parametrize("method", ["lars", "lasso"])
def test_paths_are_scikit_learns_on_the_raw_table(graph, train, collection, method):
    for layer in ("branch", "left", "depthwise", "grouped", "head"):
        x, mask = oracle.parents_table(graph, train.actual, layer), oracle.mask_of(graph, layer)
        for unit, parents in enumerate(mask):
            y = train.actual[layer][:, unit]
            alphas, _, expected = lars_path(centred(x[:, parents]), centred(y), method=SCIKIT[method])
            found = path(collection, layer, unit, method)
            np.testing.assert_allclose(found.alphas, alphas, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(found.coefficients, expected, rtol=1e-6, atol=1e-6)
            assert found.parents.tolist() == np.flatnonzero(parents).tolist()


def test_between_steps_a_path_is_linear(graph, train, collection):
    x, y = centred(train.actual["stem"]), train.actual["branch"][:, 0]
    found = path(collection, "branch", 0, "lasso")
    for alpha in (found.alphas[0] * 1.5, *(found.alphas[:-1] + found.alphas[1:]) / 2):
        model = LassoLars(alpha=alpha).fit(x, y)
        np.testing.assert_allclose(found.at(alpha), model.coef_, rtol=1e-6, atol=1e-8)
    assert found.table()["parents"].iloc[-1] == 8


@pytest.mark.parametrize("method", ["lars", "lasso"])
def test_a_given_alpha_is_a_correlation(graph, train, collection, method):
    alpha = 0.05
    scm = fit(collection, method, alpha=alpha)
    x, y = train.actual["stem"], train.actual["branch"]
    for unit in range(y.shape[1]):
        # scikit-learn's alpha on standardised parents and child
        score, spread = centred(x) / x.std(axis=0), y[:, unit].std()
        alphas, _, steps = lars_path(
            score, centred(y[:, unit]) / spread, method=SCIKIT[method], alpha_min=alpha
        )
        assert alphas[-1] == pytest.approx(alpha)
        expected = steps[:, -1] * spread / x.std(axis=0)
        np.testing.assert_allclose(scm["branch"].coefficients[unit], expected, rtol=1e-6, atol=1e-9)
    assert (scm["branch"].penalty == alpha).all()


def test_the_end_of_the_path_is_least_squares(collection):
    linear, lasso = fit(collection, "linear"), fit(collection, "lasso", alpha=0)
    for layer in linear.equations:
        np.testing.assert_allclose(
            lasso[layer].coefficients, linear[layer].coefficients, rtol=1e-6, atol=1e-9
        )


def test_folds_choose_as_a_loop_does(graph, train, collection):
    scm = fit(collection, "lasso")
    x, y = train.actual["stem"], train.actual["branch"]
    for unit in range(3):
        errors = np.zeros(len(ALPHAS))
        for fold in range(4):
            apart = np.arange(len(x)) % 4 == fold
            mean, size = x[~apart].mean(axis=0), x[~apart].std(axis=0)
            middle, spread = y[~apart, unit].mean(), y[~apart, unit].std()
            for k, alpha in enumerate(ALPHAS):
                model = LassoLars(alpha=alpha).fit(
                    (x[~apart] - mean) / size, (y[~apart, unit] - middle) / spread
                )
                foreseen = model.predict((x[apart] - mean) / size) * spread + middle
                errors[k] += ((y[apart, unit] - foreseen) ** 2).sum()
        assert scm["branch"].penalty[unit] == ALPHAS[errors.argmin()]


def test_a_number_of_parents(graph, train, collection):
    scm = fit(collection, "lars", n_nonzero=3)
    x, y = train.actual["stem"], train.actual["branch"]
    for unit in range(y.shape[1]):
        found = scm["branch"].coefficients[unit]
        model = Lars(n_nonzero_coefs=3).fit(centred(x) / x.std(axis=0), y[:, unit])
        np.testing.assert_allclose(found, model.coef_ / x.std(axis=0), rtol=1e-6, atol=1e-9)
        assert np.count_nonzero(found) == 3
    assert np.count_nonzero(scm["left"].coefficients, axis=1).max() <= 3


def test_lars_to_the_end_on_collinear_parents_blows_up_and_says_so(graph):
    """The paper's LARS has an MSE of 2028 on VGG-19."""
    truth = handmade.coefficients_of(graph)
    train, heldout = (handmade.sampled(graph, truth, n, seed=n, noise=3.0) for n in (20, 200))
    scm = fit(handmade.collection(graph, train, heldout), "lars", alpha=0)
    equations = scm["left"]
    worst = (1 - equations.heldout_r2).max()
    assert worst > 2
    assert any("blow up" in note and f"{worst:.3g} times" in note for note in equations.notes)
    calm = fit(handmade.collection(graph, train, heldout), "ridge")["left"]
    assert (1 - calm.heldout_r2).max() < worst
    assert any("20 training images" in note or "blow" in note for note in equations.notes)


def test_dead_units_and_parents(graph, train):
    damaged = handmade.Sample(train.actual | {}, train.natural)
    for name, unit in (("stem", 2), ("branch", 1)):
        damaged.actual[name] = train.actual[name].copy()
        damaged.actual[name][:, unit] = 1.0
    scm = fit(handmade.collection(graph, damaged), "lasso")
    assert (scm["branch"].coefficients[:, 2] == 0).all()
    assert (scm["branch"].coefficients[1] == 0).all()
    assert scm["branch"].intercept[1] == pytest.approx(1.0)


def test_bad_arguments(graph, train, collection):
    with pytest.raises(UnknownNameError, match='"lasso"'):
        path(collection, "branch", 0, "laso")
    with pytest.raises(UnknownNameError, match='"branch"'):
        path(collection, "brunch", 0)
    with pytest.raises(UnknownNameError, match="row 99"):
        path(collection, "branch", 99)
    for bad in (-0.1, 1.1, "much", True):
        with pytest.raises(ArgumentError, match="alpha is"):
            fit(collection, "lasso", alpha=bad)
    for bad in (0, 2.5):
        with pytest.raises(ArgumentError, match="n_nonzero is"):
            fit(collection, "lars", n_nonzero=bad)
    with pytest.raises(OrderError, match="folds=4"):
        fit(handmade.collection(graph, train, folds=1), "lasso")


def test_a_path_can_be_cancelled(collection):
    cancel = threading.Event()
    progress = Progress(lambda tick: cancel.set(), cancel)
    with pytest.raises(Cancelled):
        fit(collection, "lasso", progress=progress)
