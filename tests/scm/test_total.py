"""Total effects in closed form, against the network and against loops over units and images."""

from dataclasses import replace

import numpy as np
import pytest

from causal_widget.errors import DataError, UnknownNameError
from causal_widget.interventions import Intervention
from causal_widget.responses import Evaluation
from causal_widget.scm.silencing import silenced
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
    return linear.images(400, 7)  # whose means are the model's


@pytest.fixture(scope="module")
def rows(model, x):
    return linear.responses(model, x)


def test_total_effects_are_what_the_network_does(model, scm, x, rows):
    effects = scm.total_effects()
    assert list(effects.silencing) == list(scm.graph.names[:-1])
    for layer, found in effects.silencing.items():
        for unit in range(scm.width(layer)):
            after = linear.under(model, scm.graph, Intervention({layer: [unit]}), x)
            np.testing.assert_allclose(found[unit], (after - rows["head"]).mean(0), atol=1e-9)
    np.testing.assert_allclose(scm.total_effects("left")["left"], effects["left"])


@pytest.mark.parametrize("units", SETS)
def test_sets_are_exact_and_single_effects_do_not_add_up(model, scm, x, rows, units):
    found = scm.total_effects().of(units)
    after = linear.under(model, scm.graph, Intervention(units), x)
    np.testing.assert_allclose(found, (after - rows["head"]).mean(0), atol=1e-9)
    single = sum(scm.total_effects(layer)[layer][list(us)].sum(axis=0) for layer, us in units.items())
    assert np.allclose(found, single) == ("stem" not in units or len(units) == 1)


def test_any_later_layer_may_be_the_outcome(model, scm, x, rows):
    effects = scm.total_effects("stem", "last")
    for unit in range(6):
        whole = linear.by_hand(scm, dict(rows), {"stem": [unit]})
        np.testing.assert_allclose(effects["stem"][unit], (whole["last"] - rows["last"]).mean(0), atol=1e-9)
    assert effects.names == ("0", "1", "2", "3", "4")
    assert (scm.total_effects("left", "depthwise")["left"] == 0).all()
    with pytest.raises(UnknownNameError, match='"last" is not before the outcome "stem"'):
        scm.total_effects("last", "stem")


def test_all_components_of_a_unit_move_together(scm, rows):
    """The same model read as three units of two components a stem unit: the pair is a set of two columns."""
    wide = replace(scm, components=scm.components)
    paired_columns = (
        scm.total_effects().per_response["stem"] * (scm.silent["stem"] - scm.means["stem"])[:, None]
    )
    object.__setattr__(wide, "components", scm.components | {"stem": 2})
    from causal_widget.scm.total import _silencing

    found = _silencing(wide, "stem", scm.total_effects().per_response["stem"])
    np.testing.assert_allclose(found, paired_columns.reshape(3, 2, 4).sum(1))


@pytest.mark.parametrize("block", [1 << 18, 50, 4])
def test_silencing_losses_equal_a_loop_over_units(scm, rows, block):
    from causal_widget.scm.silencing import silencing_losses

    noisy = noised(rows, np.float32).take(slice(0, 60))
    found = silencing_losses(scm, noisy, block=block)
    assert found.n == 60
    assert found.baseline["accuracy"] == noisy.evaluation().accuracy
    for layer in scm.graph.names[:-1]:
        for unit in range(scm.width(layer)):
            after = linear.by_hand(scm, dict(noisy), {layer: [unit]})["head"]
            expected = Evaluation(after, noisy.labels, tuple("0123"))
            assert found.accuracy[layer][unit] == pytest.approx(expected.accuracy, abs=1e-12)
            assert found.loss[layer][unit] == pytest.approx(expected.loss, abs=1e-9)
            others = after.copy()
            own = np.take_along_axis(after, noisy.labels[:, None], 1)[:, 0]
            np.put_along_axis(others, noisy.labels[:, None], -np.inf, 1)
            assert found.margin[layer][unit] == pytest.approx((own - others.max(1)).mean(), abs=1e-9)


def test_equal_logits_are_judged_as_an_evaluation_does():
    import torch

    from causal_widget.scm.silencing import measured

    logits = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0], [0.0, 3.0, 3.0], [0.0, 3.0, 3.0], [1.0, 1.0, 0.0]])
    labels = np.array([0, 1, 1, 2, 2])
    found = measured(torch.tensor(logits.T)[None].contiguous(), torch.tensor(labels))
    expected = Evaluation(logits, labels, tuple("abc"))
    assert found.accuracy[0].tolist() == expected.correct.astype(float).tolist()
    np.testing.assert_allclose(found.loss[0].numpy(), expected.losses)


def test_huge_logits_do_not_overflow():
    import torch

    from causal_widget.scm.silencing import measured

    found = measured(torch.tensor([[[1e4], [-1e4]]], dtype=torch.float64), torch.tensor([1]))
    assert found.loss[0, 0] == pytest.approx(2e4)


def test_blocks_cover_everything_once(scm, rows):
    seen = {name: np.zeros((scm.width(name), 400)) for name in scm.graph.names[:-1]}
    for layer, units, images, found in silenced(scm, rows, block=300):
        seen[layer][units, images] += 1
        assert found.loss.numel() * 4 <= 300
    assert all((one == 1).all() for one in seen.values())


def test_results_say_themselves(scm):
    effects = scm.total_effects()
    assert len(effects.table()) == 27
    top = effects.strongest(3)
    assert (top["change"].abs().diff().dropna() <= 0).all()
    assert top["change"].abs()[0] == pytest.approx(
        max(np.abs(one).max() for one in effects.silencing.values())
    )
    assert "27 units in 5 layers" in repr(effects)
    assert "<table" in effects._repr_html_()
    assert effects.plot().axes
    assert effects.plot("left").axes
    with pytest.raises(UnknownNameError, match="no effects of"):
        effects["head"]


def test_labels_are_needed(scm, model, x):
    with pytest.raises(DataError, match="no labels"):
        scm.silencing_losses(linear.responses(model, x, labels=False))
