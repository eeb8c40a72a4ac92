"""Nonlinear equations from the raw table against scikit-learn's, one unit at a time."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from causal_widget.errors import ArgumentError, OrderError, UnknownNameError
from causal_widget.responses import collect
from causal_widget.scm import fit
from tests.responses.networks import batches_of, residual
from tests.scm import handmade, oracle


@pytest.fixture(scope="module")
def graph():
    return oracle.residual_graph()


@pytest.fixture(scope="module")
def samples(graph):
    truth = handmade.coefficients_of(graph)
    return [handmade.sampled(graph, truth, n, seed=n, noise=2.0) for n in (150, 90)]


@pytest.fixture(scope="module")
def collection(graph, samples):
    return handmade.collection(graph, *samples, raw=True)


def as_bits(sample):
    """1 where a response is below its unit's mean; the logits stay as they are."""
    bits = {
        name: rows if name == "head" else (rows < rows.mean(axis=0)).astype(float)
        for name, rows in sample.actual.items()
    }
    return handmade.Sample(bits, bits)


@pytest.fixture(scope="module")
def binary(samples):
    return [as_bits(sample) for sample in samples]


@pytest.fixture(scope="module")
def bits(graph, binary):
    return handmade.collection(graph, *binary, raw=True, transform="binary")


def check_against(graph, samples, equations, expected):
    """Compare predictions, R2 and errors with those of `expected(x, y, later)`, unit by unit."""
    train, heldout = (sample.actual for sample in samples)
    layer = equations.layer
    x, later = (oracle.parents_table(graph, table, layer) for table in (train, heldout))
    predicted = equations.predict(heldout)
    for unit, parents in enumerate(oracle.mask_of(graph, layer)):
        y = heldout[layer][:, unit]
        wanted = expected(x[:, parents], train[layer][:, unit], later[:, parents])
        np.testing.assert_allclose(predicted[:, unit], wanted, rtol=1e-5, atol=1e-6)
        assert equations.heldout_r2[unit] == pytest.approx(r2_score(y, wanted), rel=1e-4, abs=1e-6)
        assert equations.heldout_mse[unit] == pytest.approx(((y - wanted) ** 2).mean(), rel=1e-4)


def test_a_scikit_learn_object_is_cloned_for_each_unit(graph, samples, collection):
    tree = DecisionTreeRegressor(max_depth=2)
    scm = fit(collection, HistGradientBoostingRegressor(max_iter=3, random_state=4))
    assert scm.estimator == "HistGradientBoostingRegressor"
    for layer in ("branch", "depthwise"):
        check_against(
            graph,
            samples,
            scm[layer],
            lambda x, y, later: (
                HistGradientBoostingRegressor(max_iter=3, random_state=4).fit(x, y).predict(later)
            ),
        )
    assert not hasattr(fit(collection, tree), "tree_")
    assert not hasattr(tree, "tree_")  # the person's own object is left unfitted


def test_an_estimator_of_several_targets_is_fitted_once(graph, samples, collection):
    counted = []

    class Neighbours(KNeighborsRegressor):
        def fit(self, x, y):
            counted.append(y.shape)
            return super().fit(x, y)

    scm = fit(collection, Neighbours(n_neighbors=3))
    assert len([shape for shape in counted if len(shape) > 1]) >= 3  # branch, left, head
    check_against(
        graph,
        samples,
        scm["left"],
        lambda x, y, later: KNeighborsRegressor(n_neighbors=3).fit(x, y).predict(later),
    )


def test_ridge_as_an_object_is_ridge_from_moments(graph, samples, collection):
    scm = fit(collection, Ridge(alpha=1e-6))
    linear = fit(collection, "linear")
    for layer in scm.equations:
        np.testing.assert_allclose(scm[layer].r2, linear[layer].r2, atol=1e-5)
        np.testing.assert_allclose(scm[layer].heldout_r2, linear[layer].heldout_r2, atol=1e-4)
        np.testing.assert_array_equal(scm[layer].n_parents, linear[layer].n_parents)
        assert (scm[layer].linear, linear[layer].linear) == (False, True)
        assert scm[layer].parents == linear[layer].parents


def test_logistic_is_scikit_learns(graph, binary, bits):
    scm = fit(bits, "logistic")

    def expected(x, y, later):
        scaler = StandardScaler().fit(x)
        model = LogisticRegression(max_iter=1000).fit(scaler.transform(x), y)
        return model.predict_proba(scaler.transform(later))[:, 1]

    for layer in ("branch", "depthwise", "left"):
        check_against(graph, binary, scm[layer], expected)
        found = scm[layer].predict(binary[1].actual)
        right = ((found > 0.5) == (binary[1].actual[layer] > 0.5)).mean(axis=0)
        np.testing.assert_allclose(scm[layer].heldout_accuracy, right)
        assert {"accuracy", "heldout_accuracy"} <= set(scm[layer].table())
    assert scm["head"].linear  # logits are no bits
    np.testing.assert_array_equal(scm["head"].coefficients, fit(bits, "ridge")["head"].coefficients)


def test_svm_is_scikit_learns_with_platts_probabilities(graph, binary, bits):
    scm = fit(bits, "svm", seed=3)

    def expected(x, y, later):
        scaler = StandardScaler().fit(x)
        machine = LinearSVC(dual="auto", random_state=3, max_iter=5000)
        model = CalibratedClassifierCV(machine, method="sigmoid", cv=3, ensemble=False)
        return model.fit(scaler.transform(x), y).predict_proba(scaler.transform(later))[:, 1]

    check_against(graph, binary, scm["branch"], expected)


def test_forests_of_bits_are_scikit_learns(graph, binary, bits):
    scm = fit(bits, "random_forest", seed=5)
    forest = RandomForestClassifier(
        n_estimators=100, max_features=1 / 3, min_samples_leaf=2, random_state=5
    ).fit(binary[0].actual["stem"], binary[0].actual["branch"])
    expected = np.stack([p[:, 1] for p in forest.predict_proba(binary[1].actual["stem"])], axis=1)
    np.testing.assert_allclose(scm["branch"].predict(binary[1].actual), expected, rtol=1e-9)
    assert not scm["head"].linear  # a forest regresses the logits


def curved(graph, n, seed):
    """Responses whose last equation is a square, which no linear equation can follow."""
    sample = handmade.sampled(graph, handmade.coefficients_of(graph), n, seed=seed)
    grouped = sample.actual["grouped"]
    score = (grouped - grouped.mean(axis=0)) / grouped.std(axis=0)
    head = np.stack([score[:, i] ** 2 for i in range(4)], axis=1)
    table = sample.actual | {"head": head}
    return handmade.Sample(table, table)


@pytest.mark.parametrize("estimator", ["mlp", "gradient_boosting", "random_forest"])
def test_a_curve_needs_a_nonlinear_equation(graph, estimator):
    samples = [curved(graph, n, n) for n in (1500, 400)]
    collection = handmade.collection(graph, *samples, raw=True)
    linear, found = fit(collection, "ridge")["head"], fit(collection, estimator)["head"]
    assert np.median(found.heldout_r2) > np.median(linear.heldout_r2) + 0.1


def test_mlp_keeps_the_linear_part(graph, samples, collection):
    """On linear data a network beside a linear equation costs little."""
    mlp, ridge = fit(collection, "mlp", seed=1), fit(collection, "ridge")
    for layer in ("branch", "left"):
        assert np.nanmedian(mlp[layer].heldout_r2) > np.nanmedian(ridge[layer].heldout_r2) - 0.1


@pytest.mark.parametrize("estimator", ["random_forest", "mlp", "svm"])
def test_a_seed_gives_the_same_equations_again(collection, samples, estimator):
    first, again, other = (fit(collection, estimator, seed=seed) for seed in (1, 1, 2))
    found = [scm["branch"].predict(samples[1].actual) for scm in (first, again, other)]
    np.testing.assert_array_equal(found[0], found[1])
    if estimator != "svm":  # a convex problem forgets its seed
        assert np.abs(found[0] - found[2]).max() > 0


@pytest.mark.parametrize("estimator", ["logistic", "svm", "mlp"])
def test_functions_of_plain_arrays_can_be_saved(bits, estimator):
    for equations in fit(bits, estimator).equations.values():
        if not equations.linear:
            assert equations.savable
            assert equations.why_not_savable == ""


def test_trees_say_why_they_cannot_be_saved(collection):
    equations = fit(collection, DecisionTreeRegressor(max_depth=1))["branch"]
    assert not equations.savable
    assert "DecisionTreeRegressor" in equations.why_not_savable
    assert "pickle" in equations.why_not_savable


def test_rare_and_dead_bits_are_their_mean(graph, binary):
    table = binary[0].actual | {"branch": binary[0].actual["branch"].copy()}
    table["branch"][:, 0] = 1.0
    table["branch"][:, 1] = 0.0
    table["branch"][:3, 1] = 1.0
    sample = handmade.Sample(table, table)
    for estimator in ("logistic", "svm", "random_forest"):
        scm = fit(handmade.collection(graph, sample, raw=True, transform="binary"), estimator)
        predicted = scm["branch"].predict(table)
        assert (predicted[:, 0] == 1).all()
        np.testing.assert_allclose(predicted[:, 1], 3 / 150)
        assert scm["branch"].dead.tolist() == [0]
        assert any("fewer than 5 images" in note for note in scm["branch"].notes)


def test_interventional_rows_are_fitted_too():
    collection = collect(residual(), batches_of(300, 50), intervene=0.2, raw=True, folds=2)
    for data in ("observational", "interventional", "both"):
        scm, linear = fit(collection, Ridge(alpha=1e-9), data=data), fit(collection, "linear", data=data)
        for layer in scm.equations:
            for name in ("r2", "heldout_r2", "interventional_r2"):
                found, wanted = getattr(scm[layer], name), getattr(linear[layer], name)
                np.testing.assert_allclose(found, wanted, atol=2e-3, err_msg=f"{data} {layer} {name}")


def test_a_table_of_both_kinds_of_equations(bits):
    table = fit(bits, "logistic").equations.table()
    assert table["condition"].notna().sum() == 4  # the logits' equations are linear
    assert table["heldout_accuracy"].notna().sum() == len(table) - 4


def test_bad_arguments(graph, samples, collection):
    with pytest.raises(UnknownNameError, match='"random_forest"'):
        fit(collection, "randomforest")
    with pytest.raises(OrderError, match="raw=True"):
        fit(handmade.collection(graph, *samples), "mlp")
    with pytest.raises(ArgumentError, match="not 0 or 1"):
        fit(collection, "logistic")
    with pytest.raises(ArgumentError, match="DummyClassifier"):
        fit(collection, DummyClassifier())
    for bad in (Ridge, 3, lambda x: x):
        with pytest.raises(ArgumentError, match="scikit-learn"):
            fit(collection, bad)
    with pytest.raises(ArgumentError, match="seed"):
        fit(collection, "mlp", seed=-1)
