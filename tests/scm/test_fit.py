"""Equations against scikit-learn on the raw table, one unit at a time, and against known coefficients."""

import importlib
import threading

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score

from causal_widget.errors import ArgumentError, Cancelled, OrderError, UnknownNameError
from causal_widget.jobs import Progress
from causal_widget.responses import Arm, Moments, collect, layout_of
from causal_widget.scm import fit
from tests.responses.networks import batches_of, residual
from tests.scm import oracle


@pytest.fixture(scope="module")
def graph():
    return oracle.residual_graph()


@pytest.fixture(scope="module")
def table(graph):
    return oracle.drawn(graph, 400)[0]


@pytest.fixture(scope="module")
def halves(table):
    return oracle.cut(table, slice(0, 300)), oracle.cut(table, slice(300, 400))


def test_known_coefficients_are_recovered(graph):
    table, truth = oracle.drawn(graph, 50_000)
    scm = fit(oracle.collected(graph, table, chunk=5000), "linear")
    for layer, expected in truth.items():
        np.testing.assert_allclose(scm[layer].coefficients, expected, atol=0.03)
        assert (scm[layer].coefficients[~oracle.mask_of(graph, layer)] == 0).all()


@pytest.mark.parametrize(("estimator", "ridge"), [("linear", 0.0), ("ridge", 0.01), ("ridge", 1.0)])
def test_every_equation_equals_scikit_learns(graph, halves, estimator, ridge):
    train, heldout = halves
    scm = fit(oracle.collected(graph, train, heldout), estimator, ridge=ridge)
    assert list(scm.equations) == [layer.name for layer in graph.layers if graph.parents(layer.name)]
    for layer, equations in scm.equations.items():
        x, mask = oracle.parents_table(graph, train, layer), oracle.mask_of(graph, layer)
        for unit, parents in enumerate(mask):
            y = train[layer][:, unit]
            # scikit-learn penalises all coefficients alike: give it parents in deviations
            scale = x[:, parents].std(0) if ridge else np.ones(parents.sum())
            model = Ridge(alpha=ridge * len(y)) if ridge else LinearRegression()
            model.fit(x[:, parents] / scale, y)
            np.testing.assert_allclose(equations.coefficients[unit, parents], model.coef_ / scale, rtol=1e-5)
            assert equations.intercept[unit] == pytest.approx(model.intercept_, rel=1e-5)
            assert equations.r2[unit] == pytest.approx(model.score(x[:, parents] / scale, y), abs=1e-9)
            later = oracle.parents_table(graph, heldout, layer)[:, parents] / scale
            expected = r2_score(heldout[layer][:, unit], model.predict(later))
            assert equations.heldout_r2[unit] == pytest.approx(expected, rel=1e-8)
            noise = ((y - model.predict(x[:, parents] / scale)) ** 2).mean()
            assert equations.noise[unit] == pytest.approx(noise, rel=1e-6)


def test_standardised_coefficients_are_those_of_standardised_responses(graph, table):
    scores = {name: (x - x.mean(0)) / x.std(0) for name, x in table.items()}
    raw, scored = (fit(oracle.collected(graph, one), "linear") for one in (table, scores))
    for layer in raw.equations:
        np.testing.assert_allclose(raw[layer].standardised, scored[layer].coefficients, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("estimator", ["linear", "ridge"])
def test_rescaling_a_unit_rescales_its_coefficients_only(graph, table, estimator):
    scaled = dict(table) | {"stem": table["stem"] * np.array([1e-6, 1e6, 1, 1, 1, 1, 1, 1])}
    before, after = (fit(oracle.collected(graph, one), estimator) for one in (table, scaled))
    expected = before.coefficients("stem", "branch") / np.array([1e-6, 1e6, 1, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(after.coefficients("stem", "branch"), expected, rtol=1e-7)
    np.testing.assert_allclose(
        after.standardised("stem", "branch"), before.standardised("stem", "branch"), rtol=1e-7
    )
    np.testing.assert_allclose(after["branch"].r2, before["branch"].r2, rtol=1e-9)


def test_adding_a_constant_changes_the_intercept_only(graph, table):
    moved = {name: x + 100 for name, x in table.items()}
    before, after = (fit(oracle.collected(graph, one)) for one in (table, moved))
    for layer in before.equations:
        np.testing.assert_allclose(
            after[layer].coefficients, before[layer].coefficients, rtol=1e-6, atol=1e-9
        )


def test_dead_parents_get_zero_and_dead_units_no_r2(graph, table):
    damaged = {name: x.copy() for name, x in table.items()}
    damaged["stem"][:, 2], damaged["branch"][:, 1], damaged["depthwise"][:, 5] = 0.0, 7.0, 0.25
    for estimator in ("linear", "ridge"):
        scm = fit(oracle.collected(graph, damaged, damaged), estimator)
        assert (scm.coefficients("stem", "branch")[:, 2] == 0).all()
        assert scm["branch"].dead.tolist() == [1]
        assert np.flatnonzero(np.isnan(scm["branch"].r2)).tolist() == [1]
        assert np.flatnonzero(np.isnan(scm["branch"].heldout_r2)).tolist() == [1]
        np.testing.assert_allclose(scm["branch"].coefficients[1], 0, atol=1e-12)
        assert scm["branch"].intercept[1] == pytest.approx(7)
        assert (scm["branch"].rank == 7).all()
        assert any("1 unit(s) have no variance" in note for note in scm["branch"].notes)
        assert any("1 parent(s) have no variance" in note for note in scm["branch"].notes)
        assert np.isfinite(scm["branch"].standardised).all()
        assert (scm.coefficients("depthwise", "grouped")[:, 5] == 0).all()


def test_a_unit_whose_only_parent_is_dead_is_its_mean(graph, table):
    damaged = dict(table) | {"stem": table["stem"].copy(), "branch": table["branch"].copy()}
    damaged["stem"][:, 0], damaged["branch"][:, 0] = 1.0, 2.0  # the two parents of depthwise unit 0
    for estimator in ("linear", "ridge"):
        equations = fit(oracle.collected(graph, damaged), estimator)["depthwise"]
        assert (equations.coefficients[0] == 0).all()
        assert equations.intercept[0] == pytest.approx(table["depthwise"][:, 0].mean())
        assert equations.r2[0] == pytest.approx(0)


def collinear(table):
    """One unit is a combination of two others; of a depthwise unit's two parents one is twice the other."""
    twisted = {name: x.copy() for name, x in table.items()}
    twisted["stem"][:, 3] = 4 * twisted["stem"][:, 0] - twisted["stem"][:, 1]
    twisted["branch"][:, 2] = 2 * twisted["stem"][:, 2] + 1
    return twisted


def test_collinear_parents_give_scikit_learns_minimum_norm(graph, table):
    twisted = collinear(table)
    scm = fit(oracle.collected(graph, twisted), "linear")
    for layer, equations in scm.equations.items():
        x, mask = oracle.parents_table(graph, twisted, layer), oracle.mask_of(graph, layer)
        for unit, parents in enumerate(mask):
            model = LinearRegression().fit(x[:, parents], twisted[layer][:, unit])
            np.testing.assert_allclose(
                equations.coefficients[unit, parents], model.coef_, rtol=1e-5, atol=1e-8
            )
    assert (scm["branch"].rank == 7).all()
    assert np.isinf(scm["branch"].condition).all()
    assert any("collinear" in note for note in scm["branch"].notes)
    assert scm["depthwise"].rank.tolist() == [2, 2, 1, 2, 2, 2, 2, 2]
    assert (scm["left"].rank == 14).all()
    assert any("1 group(s) of parents are collinear" in note for note in scm["depthwise"].notes)


def test_collinear_parents_under_ridge_share_the_coefficient(graph, table):
    twisted = dict(table) | {"stem": table["stem"].copy()}
    twisted["stem"][:, 3] = twisted["stem"][:, 0]
    scm = fit(oracle.collected(graph, twisted), "ridge", ridge=1e-3)
    found = scm.coefficients("stem", "branch")
    np.testing.assert_allclose(found[:, 3], found[:, 0], rtol=1e-6)
    assert (scm["branch"].rank == 7).all()


def test_fewer_images_than_parents(graph):
    table, _ = oracle.drawn(graph, 12)
    scm = fit(oracle.collected(graph, table), "linear")
    x = oracle.parents_table(graph, table, "left")
    model = LinearRegression().fit(x, table["left"])
    np.testing.assert_allclose(scm["left"].coefficients, model.coef_, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(scm["left"].r2, 1, atol=1e-9)
    assert any("12 training images for 16 parents" in note and "17" in note for note in scm["left"].notes)
    held_down = fit(oracle.collected(graph, table), "ridge", ridge=0.5)["left"].notes
    assert any("ridge (up to 0.5" in note and "17" in note for note in held_down)


def test_nearly_collinear_parents_are_told(graph, table):
    twin = dict(table) | {"stem": table["stem"].copy()}
    twin["stem"][:, 3] = twin["stem"][:, 0] * (1 + 1e-3 * np.sin(np.arange(400)))
    near, apart = (fit(oracle.collected(graph, one))["branch"].notes for one in (twin, table))
    assert any("nearly collinear (condition up to" in note for note in near)
    assert not any("nearly collinear" in note for note in apart)


def test_condition_is_that_of_the_correlations(graph, table):
    scm = fit(oracle.collected(graph, table), "linear")
    exact = np.linalg.cond(np.corrcoef(oracle.parents_table(graph, table, "branch").T), 1)
    assert exact / 3 < scm["branch"].condition[0] <= exact * (1 + 1e-9)  # LAPACK estimates from below
    pair = np.corrcoef(table["stem"][:, 0], table["branch"][:, 0])
    assert scm["depthwise"].condition[0] == pytest.approx(np.linalg.cond(pair), rel=1e-6)


def test_layers_with_the_same_parents_share_one_factorisation(graph, table, monkeypatch):
    """The residual block's left branch and any other reader of the same layers are solved together."""

    module = importlib.import_module("causal_widget.scm.solvers")
    calls, solve = [], module.solve

    def counted(gram, cross, *rest):
        calls.append(cross.shape[1])
        return solve(gram, cross, *rest)

    monkeypatch.setattr(module, "solve", counted)
    scm = fit(oracle.collected(graph, table), "linear")
    dense = [name for name in scm.equations if name not in ("depthwise", "grouped")]
    parents = {scm[name].parents for name in dense}
    assert len(calls) == len(parents)


def test_predict_is_the_equation_written_out(graph, table):
    scm = fit(oracle.collected(graph, table))
    for layer, equations in scm.equations.items():
        x = oracle.parents_table(graph, table, layer)
        expected = x @ equations.coefficients.T + equations.intercept
        np.testing.assert_allclose(scm.predict(layer, table), expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(ArgumentError, match="'stem'"):
        scm.predict("branch", {})
    with pytest.raises(ArgumentError, match=r"\(400, 2\)"):
        scm.predict("branch", {"stem": table["stem"][:, :2]})


def test_coefficients_between_two_layers(graph, table):
    scm = fit(oracle.collected(graph, table))
    whole = scm["head"].coefficients
    np.testing.assert_array_equal(scm.coefficients("left", "head"), whole[:, 12:])
    np.testing.assert_array_equal(scm.coefficients("grouped", "head"), whole[:, :12])
    np.testing.assert_array_equal(scm.standardised("grouped", "head"), scm["head"].standardised[:, :12])
    with pytest.raises(UnknownNameError, match="no parent of 'head'"):
        scm.coefficients("stem", "head")
    with pytest.raises(UnknownNameError, match="has no parents"):
        scm["stem"]
    with pytest.raises(UnknownNameError, match='"branch"'):
        scm["brunch"]


def test_reach_is_the_sum_over_children(graph, table):
    scm = fit(oracle.collected(graph, table))
    for equations in scm.equations.values():
        for standardised in (False, True):
            whole = equations.standardised if standardised else equations.coefficients
            for source, found in equations.reach(standardised).items():
                np.testing.assert_allclose(
                    found, np.abs(whole[:, equations.columns(source)]).sum(0), rtol=1e-12
                )


def test_tables_and_pictures_of_the_model(graph, halves):
    train, heldout = halves
    scm = fit(oracle.collected(graph, train, heldout))
    table = scm.table()
    assert len(table) == sum(layer.units for layer in graph.layers if graph.parents(layer.name))
    assert table["parents"].tolist() == [
        int(r.sum()) for name in scm.equations for r in oracle.mask_of(graph, name)
    ]
    assert "300 images" in repr(scm)
    assert scm.summary()["layer"].tolist() == list(scm.equations)
    assert "<table" in scm._repr_html_()


def test_names_are_escaped():
    graph = oracle.chain_graph()
    object.__setattr__(graph, "model_name", "<script>alert(1)</script>")
    scm = fit(oracle.collected(graph, oracle.drawn(graph, 50)[0]))
    assert "<script>" not in scm._repr_html_()


def test_nothing_held_out_is_said(graph, table):
    scm = fit(oracle.collected(graph, table))
    assert np.isnan(scm["branch"].heldout_r2).all()
    assert any("held out" in note for note in scm["branch"].notes)


def test_bad_arguments(graph, table):
    collection = oracle.collected(graph, table)
    with pytest.raises(UnknownNameError, match='"ridge"'):
        fit(collection, "rigde")
    for bad in (-1, float("nan")):
        with pytest.raises(ArgumentError, match="ridge is"):
            fit(collection, ridge=bad)
    empty = oracle.collected(graph, oracle.cut(table, slice(0, 1)))
    with pytest.raises(OrderError, match="1 training image"):
        fit(empty)
    object.__setattr__(empty, "observational", Arm((Moments(layout_of(graph)),)))
    with pytest.raises(OrderError, match="0 training image"):
        fit(empty)


def test_progress_and_cancel(graph, table):
    ticks, cancel = [], threading.Event()
    fit(oracle.collected(graph, table), progress=Progress(ticks.append, interval=0))
    assert (ticks[-1].done, ticks[-1].total, ticks[-1].unit) == (5, 5, "layers")
    cancel.set()
    with pytest.raises(Cancelled):
        fit(oracle.collected(graph, table), progress=Progress(None, cancel))


def test_a_real_collection_fits():
    scm = fit(collect(residual(), batches_of(200, 50)))
    assert scm.n_images > 100
    assert all(np.isfinite(one.coefficients).all() for one in scm.equations.values())
    assert np.nanmin(scm["head"].r2) > 0
