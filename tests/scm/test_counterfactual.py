"""Counterfactuals on a network whose causal model is exact, against the network itself."""

import numpy as np
import pytest

from causal_widget.interventions import Intervention
from tests.scm import linear_network as linear
from tests.scm.test_do import SETS, noised


@pytest.fixture(scope="module")
def model():
    return linear.network()


@pytest.fixture(scope="module")
def scm(model):
    return linear.known(model, linear.graph_of(model))


@pytest.fixture(scope="module")
def x():
    return linear.images(8, 21)


@pytest.fixture(scope="module")
def rows(model, x):
    return linear.responses(model, x)


@pytest.mark.parametrize("units", SETS)
def test_counterfactuals_are_what_the_network_would_answer(model, scm, x, rows, units):
    found = scm.counterfactual(rows, units)
    np.testing.assert_allclose(
        found.counterfactual.logits, linear.under(model, scm.graph, Intervention(units), x), atol=1e-9
    )
    assert np.array_equal(found.factual.logits, rows["head"])
    np.testing.assert_array_equal(found.change, found.counterfactual.logits - rows["head"])
    np.testing.assert_allclose(found.probability_change.sum(1), 0, atol=1e-12)


def test_the_empty_counterfactual_is_the_networks_answer_bit_for_bit(scm, rows):
    noisy = noised(rows, np.float32)
    found = scm.counterfactual(noisy, {})
    assert found.counterfactual.logits.tobytes() == noisy["head"].astype(np.float64).tobytes()
    assert "do(nothing)" in repr(found)


def test_what_an_image_misses_is_kept(scm, rows):
    """The same image with another residual has the same change, and keeps its residual."""
    noisy = noised(rows)
    first, second = (scm.counterfactual(one, {"branch": [2]}) for one in (rows, noisy))
    moved = (rows["branch"][:, 2] - noisy["branch"][:, 2])[:, None]
    slope = scm.total_effects("branch").per_response["branch"][2]
    np.testing.assert_allclose(second.change - first.change, moved * slope, atol=1e-9)


def test_one_image_says_itself(scm, rows):
    one = scm.counterfactual(rows.take(slice(0, 1)), {"stem": [0, 1]}, scale=0.2)
    assert one.n == 1
    assert "would have" in repr(one)
    assert one.table().columns.tolist()[0] == "class"
    assert len(one.table()) == 4
    assert len(scm.counterfactual(rows, {"stem": [0]}).table()) == 32
    assert "8 images" in repr(scm.counterfactual(rows, {"stem": [0]}))
    assert "<table" in one._repr_html_()
    assert len(one.plot().axes) == 2
