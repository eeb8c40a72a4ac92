"""Tables over all equations: worst, by layer, by estimator, and one kind of images judged on the other."""

import numpy as np
import pytest

from causal_widget.errors import OrderError, UnknownNameError
from causal_widget.plots import Picture
from causal_widget.responses import Mean, collect
from causal_widget.scm import fit
from causal_widget.scm.cross_prediction import cross_prediction
from causal_widget.scm.error_table import error_table
from causal_widget.scm.estimators.sparse import path
from tests.responses.networks import batches_of, residual
from tests.scm import handmade, oracle


@pytest.fixture(scope="module")
def graph():
    return oracle.residual_graph()


@pytest.fixture(scope="module")
def samples(graph):
    truth = handmade.coefficients_of(graph)
    return {
        "train": handmade.sampled(graph, truth, 60, seed=1, noise=4.0),
        "heldout": handmade.sampled(graph, truth, 80, seed=2, noise=4.0),
        "forced": handmade.sampled(graph, truth, 60, seed=3, noise=4.0, intervene=True),
        "forced_heldout": handmade.sampled(graph, truth, 80, seed=4, noise=4.0, intervene=True),
    }


@pytest.fixture(scope="module")
def collection(graph, samples):
    return handmade.collection(graph, **samples)


def test_the_table_has_a_row_an_equation(graph, collection):
    equations = fit(collection).equations
    table = equations.table()
    wanted = ["layer", "unit", "parents", "r2", "heldout_r2", "mse", "relative_mse", "condition", "rank"]
    assert set(wanted) < set(table)
    assert "component" not in table
    assert len(table) == equations.n_rows == sum(one.n_units for one in equations.values())
    row = table[(table.layer == "left") & (table.unit == 3)].iloc[0]
    assert row.heldout_r2 == equations["left"].heldout_r2[3]
    assert row.interventional_mse == equations["left"].interventional_mse[3]
    assert "<table" in equations._repr_html_()
    assert "left" in repr(equations)


def test_the_worst_come_first(collection):
    equations = fit(collection).equations
    worst, whole = equations.worst(5), equations.table()["heldout_r2"]
    assert worst["heldout_r2"].tolist() == sorted(whole)[:5]
    layers = equations.by_layer()
    assert layers["layer"].tolist() == list(equations)
    assert layers["max_mse"].tolist() == [one.mse.max() for one in equations.values()]


def test_layers_without_equations(collection):
    equations = fit(collection).equations
    assert "stem" not in equations
    assert equations.get("stem") is None
    with pytest.raises(UnknownNameError, match='"branch"'):
        equations["brunch"]


def test_cross_prediction_is_each_fit_judged_on_each_kind(collection):
    found = cross_prediction(collection, "linear")
    table = found.table()
    assert len(table) == 6
    for data in ("observational", "interventional", "both"):
        whole = fit(collection, "linear", data=data).equations.table()
        for kind, prefix in (("observational", "heldout"), ("interventional", "interventional")):
            row = table[(table.fitted_on == data) & (table.judged_on == kind)].iloc[0]
            assert row.median_r2 == pytest.approx(whole[f"{prefix}_r2"].median())
            assert row.mean_mse == pytest.approx(whole[f"{prefix}_mse"].mean())
            assert row.max_mse == pytest.approx(whole[f"{prefix}_mse"].max())
    layers = found.by_layer()
    assert len(layers) == 6 * 5
    assert "fitted_on" in repr(found)
    assert "<table" in found._repr_html_()


def test_cross_prediction_needs_both_arms(graph, samples):
    with pytest.raises(OrderError, match=r"intervene=0\.1"):
        cross_prediction(handmade.collection(graph, samples["train"], samples["heldout"]))
    with pytest.raises(OrderError, match="held out"):
        cross_prediction(handmade.collection(graph, samples["train"], forced=samples["forced"]))


def test_a_curved_world_is_foreseen_only_by_its_own_kind():
    """Responses are cut off at 0 and set to 0: what is fitted on the one kind errs on the other."""
    collection = collect(residual(), batches_of(600, 100), intervene=0.5, folds=2)
    table = cross_prediction(collection).table().set_index(["fitted_on", "judged_on"])["mean_relative_mse"]
    assert table["observational", "interventional"] > table["interventional", "interventional"]
    assert table["interventional", "observational"] > table["observational", "observational"]


def test_errors_by_estimator(collection):
    linear = fit(collection, "linear")
    found = error_table(collection, [linear, "ridge", "lasso"])
    assert (
        "fitted on observational and both kinds of images"
        in error_table(collection, [linear, fit(collection, data="observational")]).title
    )
    table = found.table().set_index("estimator")
    assert table.index.tolist() == ["linear", "ridge", "lasso"]
    mse = np.concatenate([one.noise for one in linear.equations.values()])
    heldout = np.concatenate([one.heldout_mse for one in linear.equations.values()])
    assert table.loc["linear", "average_mse"] == pytest.approx(mse.mean())
    assert table.loc["linear", "largest_mse"] == pytest.approx(mse.max())
    assert table.loc["linear", "heldout_largest_mse"] == pytest.approx(heldout.max())
    assert table.loc["linear", "average_mse"] <= table["average_mse"].min() * (1 + 1e-9)
    assert "average_accuracy" not in table  # nothing classifies
    assert "Residual" in repr(found)
    assert "<table" in found._repr_html_()


def test_accuracies_by_estimator():
    collection = collect(residual(), batches_of(200, 50), transform="binary", raw=True, folds=2)
    table = error_table(collection, ["logistic"]).table()
    model = fit(collection, "logistic")
    wanted = np.concatenate([one.accuracy for one in model.equations.values() if not one.linear])
    assert table["average_accuracy"].item() == pytest.approx(wanted.mean())
    assert table["least_accuracy"].item() == pytest.approx(wanted.min())


def test_responses_that_are_vectors():
    """A row a component; reach stays a number a unit; with one component all is as before."""
    collection = collect(residual(), batches_of(300, 50), transform="grid", folds=2)
    scm = fit(collection, "linear")
    equations = scm["branch"]
    assert (equations.components, equations.parent_components) == (4, (4,))
    assert equations.n_rows == 4 * equations.n_units
    stem = collection.graph.layer("stem").units
    assert equations.coefficients.shape == (equations.n_rows, 4 * stem)
    assert equations.parent_units.tolist() == np.repeat(np.arange(stem), 4).tolist()
    table = equations.table()
    assert table["component"].tolist()[:5] == [0, 1, 2, 3, 0]
    assert table["unit"].tolist()[:5] == [0, 0, 0, 0, 1]
    reach = equations.reach()["stem"]
    whole = np.abs(equations.coefficients).sum(axis=0).reshape(stem, 4).sum(axis=1)
    np.testing.assert_allclose(reach, whole)
    whole = scm.equations.table()
    assert whole["component"].max() == 3
    assert (whole[whole.layer == "head"]["component"] == 0).all()
    assert scm["head"].components == 1


def test_grids_average_to_the_mean():
    """The mean is the average of the quarters, so equations by quarters explain at least as much."""
    quarters, means = (
        fit(collect(residual(), batches_of(400, 50), transform=transform, folds=1), "linear")
        for transform in ("grid", Mean())
    )
    assert (quarters["head"].r2 >= means["head"].r2 - 1e-6).all()


def test_a_path_is_drawn(collection):
    assert isinstance(path(collection, "left", 0, "lasso", standardise=True).plot(), Picture)
