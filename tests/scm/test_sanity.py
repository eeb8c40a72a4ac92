"""The sanity check against rolling out by hand."""

import numpy as np
import pytest

from causal_widget.scm.sanity import _linear, _rolled
from tests.scm import linear_network as linear
from tests.scm.test_do import noised


@pytest.fixture(scope="module")
def model():
    return linear.network()


@pytest.fixture(scope="module")
def scm(model):
    return linear.known(model, linear.graph_of(model))


@pytest.fixture(scope="module")
def rows(model):
    return linear.responses(model, linear.images(60, 31))


def test_an_exact_model_agrees_from_every_depth(scm, rows):
    found = scm.sanity(rows)
    assert found.depths == (1, 2, 3, 4, 5)
    assert found.layers == scm.graph.names[:-1]
    assert found.agreement.tolist() == [1.0] * 5
    np.testing.assert_allclose(found.accuracy, rows.evaluation().accuracy)
    np.testing.assert_allclose(found.r2, 1)
    for one in found.rolled:
        np.testing.assert_allclose(one.logits, rows["head"], atol=1e-9)


def test_rolling_out_equals_predicting_layer_by_layer(scm, rows):
    noisy = noised(rows)
    found = scm.sanity(noisy)
    for depth, one in zip(found.depths, found.rolled, strict=True):
        now = dict(noisy)
        for name in scm.graph.names[depth:]:
            now[name] = np.stack(
                [linear.intercepts(scm, name, unit, now) for unit in range(scm.width(name))], axis=1
            )
        np.testing.assert_allclose(one.logits, now["head"], atol=1e-9)
        assert found.agreement[depth - 1] == (now["head"].argmax(1) == noisy["head"].argmax(1)).mean()
        missed = ((now["head"] - noisy["head"]) ** 2).sum()
        spread = noisy["head"].var(0).sum() * 60
        assert found.r2[depth - 1] == pytest.approx(1 - missed / spread)
    assert found.one_step is found.rolled[-1]
    assert found.r2[0] < found.r2[-1] < 1


def test_the_short_way_equals_the_long_way(scm, rows):
    noisy = noised(rows)
    pairs = list(zip(_linear(scm, noisy), _rolled(scm, noisy), strict=True))
    assert len(pairs) == 5
    for short, long in pairs:
        np.testing.assert_allclose(short, long, atol=1e-9)


def test_it_says_itself(scm, model, rows):
    found = scm.sanity(noised(rows))
    assert "60 images" in repr(found)
    assert 'rolled out from "stem"' in repr(found)
    assert found.table().columns.tolist() == ["observed", "last observed", "agreement", "accuracy", "r2"]
    assert "<table" in found._repr_html_()
    assert found.plot().axes
    unlabelled = scm.sanity(linear.responses(model, linear.images(5), labels=False))
    assert unlabelled.accuracy is None
    assert "no labels" in repr(unlabelled)
    assert unlabelled.plot().axes
