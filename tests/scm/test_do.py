"""do() on a network whose causal model is exact, against the network itself and against a plain loop."""

import numpy as np
import pytest

from causal_widget.errors import ArgumentError, DataError, OrderError, UnknownNameError
from causal_widget.interventions import Intervention
from causal_widget.scm.forced import forced
from causal_widget.scm.linear import derivatives, linear_change
from causal_widget.scm.propagate import propagate
from tests.scm import linear_network as linear

SETS = [
    {"stem": [2]},
    {"stem": [0, 5]},
    {"branch": [1, 3]},
    {"depthwise": [4]},
    {"left": [0], "depthwise": [1, 2]},
    {"stem": [1], "branch": [1, 4], "left": [3], "last": [0, 2]},
    {"stem": range(6)},
]


@pytest.fixture(scope="module")
def model():
    return linear.network()


@pytest.fixture(scope="module")
def graph(model):
    return linear.graph_of(model)


@pytest.fixture(scope="module")
def scm(model, graph):
    return linear.known(model, graph)


@pytest.fixture(scope="module")
def x():
    return linear.images(20, 11)


@pytest.fixture(scope="module")
def rows(model, x):
    return linear.responses(model, x)


def test_the_known_equations_are_the_networks(scm, rows):
    for name in scm.equations:
        np.testing.assert_allclose(scm.predict(name, rows), rows[name], atol=1e-10)


@pytest.mark.parametrize("units", SETS)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_do_is_what_the_network_does(model, graph, scm, x, rows, units, scale):
    expected = linear.under(model, graph, Intervention(units, scale=scale), x)
    found = scm.do(units, scale=scale).predict(rows)
    np.testing.assert_allclose(found.logits, expected, atol=1e-9)
    assert found.labels.tolist() == rows.labels.tolist()
    only = scm.do(units, scale=scale).predict(rows, noise="zero")
    np.testing.assert_allclose(only.logits, expected, atol=1e-9)


@pytest.mark.parametrize("units", SETS)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_closed_form_propagation_and_loop_agree(scm, rows, units, scale):
    noisy = noised(rows)
    whole = linear.by_hand(scm, noisy, units, scale or 0.0)
    submodel = scm.do(units, scale=scale)
    for outcome in set(scm.graph.names) - set(units):
        closed = linear_change(scm, submodel.forced, noisy, outcome) + noisy[outcome]
        moved = propagate(scm, submodel.forced, noisy, outcome).get(outcome, noisy[outcome])
        np.testing.assert_allclose(closed, whole[outcome], atol=1e-9)
        np.testing.assert_allclose(moved, whole[outcome], atol=1e-9)
        asked = submodel.predict(noisy, outcome=outcome)
        np.testing.assert_allclose(getattr(asked, "logits", asked), whole[outcome], atol=1e-9)
        change = submodel.change(noisy, outcome=outcome)
        np.testing.assert_allclose(change, whole[outcome] - noisy[outcome], atol=1e-9)


@pytest.mark.parametrize("units", SETS)
def test_with_the_noise_at_zero_only_descendants_are_predicted(scm, rows, units):
    noisy = noised(rows)
    whole = linear.by_hand(scm, noisy, units, noise="zero")
    for outcome in set(scm.graph.names) - set(units):
        found = scm.do(units).predict(noisy, noise="zero", outcome=outcome)
        np.testing.assert_allclose(getattr(found, "logits", found), whole[outcome], atol=1e-9)
    untouched = scm.do({"depthwise": [4]}).predict(noisy, noise="zero", outcome="left")
    assert np.array_equal(untouched, noisy["left"])


def test_without_an_intervention_the_answer_is_the_networks_bit_for_bit(scm, rows):
    noisy = noised(rows, np.float32)
    for submodel in (scm.do({}), scm.do({"stem": []}), scm.do({"stem": [1], "left": [2]}, scale=1)):
        for noise in ("abducted", "zero") if not submodel.intervention.units else ("abducted",):
            found = submodel.predict(noisy, noise=noise).logits
            assert found.tobytes() == noisy["head"].astype(np.float64).tobytes()
        moved = propagate(scm, submodel.forced, noisy, "head").get("head", noisy["head"].astype(np.float64))
        assert moved.tobytes() == noisy["head"].astype(np.float64).tobytes()


def test_total_derivatives_sum_all_paths(scm):
    """By finite differences of a plain propagation."""
    base = {name: np.zeros((1, scm.width(name))) for name in scm.graph.names}
    total = derivatives(scm, "head")
    for layer in scm.graph.names[:-1]:
        for unit in range(scm.width(layer)):
            nudged = linear.by_hand(scm, base, {layer: [unit]}, value=1.0)
            np.testing.assert_allclose(total[layer][:, unit], nudged["head"][0], atol=1e-10)
    some = derivatives(scm, "last", np.array([3, 1]))
    np.testing.assert_allclose(some["stem"], derivatives(scm, "last")["stem"][[3, 1]], atol=1e-12)


def test_a_whole_layer(scm, rows):
    expected = scm.do({"left": range(4)}).predict(rows).logits
    for whole in (":", "all"):
        assert np.array_equal(scm.do({"left": whole}).predict(rows).logits, expected)
    np.testing.assert_allclose(scm.do({"last": ":"}).predict(rows).logits.std(axis=0), 0, atol=1e-12)


def test_an_intervention_is_taken_as_it_is(scm, rows):
    given = scm.do(Intervention({"stem": [1]}, scale=0.5)).predict(rows)
    assert np.array_equal(given.logits, scm.do({"stem": 1}, scale=0.5).predict(rows).logits)


def test_expectation_over_images(scm, rows):
    found = scm.do({"stem": [2]}).expectation(rows)
    after = scm.do({"stem": [2]}).predict(rows).logits
    np.testing.assert_allclose(found.mean, after.mean(0))
    np.testing.assert_allclose(found.se, after.std(0, ddof=1) / np.sqrt(20))
    difference = after - rows["head"]
    np.testing.assert_allclose([one.change for one in found.changes], difference.mean(0))
    np.testing.assert_allclose(found.table()["change s.e."], difference.std(0, ddof=1) / np.sqrt(20))
    assert "do(stem[2] = 0" in repr(found)
    assert "<table" in found._repr_html_()
    assert found.plot().axes


def test_bad_arguments_are_named(scm, rows):
    with pytest.raises(ArgumentError, match="outcome cannot be intervened on"):
        scm.do({"head": [0]})
    with pytest.raises(ArgumentError, match='layer "last" is the outcome'):
        scm.do({"last": [0]}).predict(rows, outcome="last")
    with pytest.raises(UnknownNameError, match="unit 6 does not exist"):
        scm.do({"stem": [6]})
    with pytest.raises(UnknownNameError, match='Did you mean "stem"'):
        scm.do({"stam": [1]})
    with pytest.raises(UnknownNameError, match='Did you mean "abducted"'):
        scm.do({"stem": [1]}).predict(rows, noise="abduction")
    with pytest.raises(UnknownNameError, match='answer "equation" is not known'):
        scm.do({"stem": [1]}, answer="equation")
    with pytest.raises(ArgumentError, match='site "conv"'):
        scm.do(Intervention({"stem": [1]}, site="conv"))
    with pytest.raises(ArgumentError, match="value and scale"):
        scm.do(Intervention({"stem": [1]}), scale=0.5)
    with pytest.raises(ArgumentError, match="sets or scales"):
        scm.do({"stem": [1]}, 2.0, scale=0.5)
    with pytest.raises(ArgumentError, match="must be a mapping"):
        scm.do([3])
    with pytest.raises(OrderError, match="no network is attached"):
        scm.do({"stem": [1]}).predict()
    with pytest.raises(OrderError, match="attach"):
        forced(scm, Intervention({"stem": [1]}, 2.0))
    with pytest.raises(DataError, match='no layer "left"'):
        scm.responses({name: rows[name] for name in rows if name != "left"})
    with pytest.raises(DataError, match=r"expected \(image, 4\)|expects \(image, 4\)"):
        scm.responses({**rows, "left": rows["left"][:, :3]})


def test_a_submodel_says_itself(scm):
    said = repr(scm.do({"branch": [1]}))
    assert "do(branch[1] = 0 at activation)" in said
    assert "4 of 6 layers" in said


def noised(rows, dtype=np.float64):
    """Responses that the equations do not explain fully."""
    rng = np.random.default_rng(3)
    layers = {name: (part + rng.normal(size=part.shape)).astype(dtype) for name, part in rows.items()}
    return type(rows)(layers, rows.output, rows.labels)
