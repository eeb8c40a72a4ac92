"""do() end to end: responses collected from a network, equations fitted on random interventions."""

import numpy as np
import pytest
import torch

from causal_widget.errors import OrderError
from causal_widget.interventions import Intervention
from causal_widget.responses import collect
from causal_widget.scm import fit
from causal_widget.scm.linear import linear_change
from causal_widget.scm.propagate import propagate
from tests.responses.networks import batches_of, images, residual
from tests.scm import linear_network as linear

SETS = [{"stem": [2]}, {"branch": [1, 3]}, {"stem": [1], "branch": [1, 4], "left": [3], "last": [0, 2]}]


@pytest.fixture(scope="module")
def network():
    return linear.network()


@pytest.fixture(scope="module")
def loader():
    x = linear.images(600, 3)
    return [(part, torch.arange(len(part)) % 4) for part in x.split(100)]


@pytest.fixture(scope="module")
def scm(network, loader):
    """Beside the addition, only interventions tell what comes through the branch from what passes it by."""
    collection = collect(network, loader, transform="mean", intervene=0.3, holdout=0.2)
    return fit(collection, "linear", data="interventional")


@pytest.mark.parametrize("units", SETS)
@pytest.mark.parametrize("value", [0.0, -1.5])
def test_fitted_on_interventions_do_is_what_the_network_does(network, scm, units, value):
    x = linear.images(15, 12)
    expected = linear.under(network, scm.graph, Intervention(units, value), x)
    found = scm.do(units, value, answer="equations").predict(x)
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    seen = scm.source.read(part="train")
    change = scm.do(units, value, answer="equations").change(seen).mean(0)
    np.testing.assert_allclose(scm.total_effects().of(units, value), change, atol=1e-9)


def test_an_observational_fit_cannot_tell_what_passes_a_branch_by(network, loader, scm):
    """The stem's own path and the one through the branch are collinear where nothing was intervened on."""
    watched = fit(collect(network, loader, transform="mean", holdout=0.2), "linear")
    x = linear.images(15, 12)
    expected = linear.under(network, scm.graph, Intervention({"branch": [1, 3]}), x)
    missed = watched.do({"branch": [1, 3]}, answer="equations").predict(x).logits - expected
    assert np.abs(missed).max() > 0.05


def test_the_empty_intervention_gives_the_networks_own_output(network, scm):
    x = linear.images(15, 12)
    with torch.no_grad():
        own = network(x).numpy()
    assert scm.do({}, answer="equations").predict(x).logits.tobytes() == own.tobytes()
    assert scm.counterfactual(x, {}, answer="equations").counterfactual.logits.tobytes() == own.tobytes()
    one = scm.counterfactual(x[0], {"stem": [0]}, answer="equations")
    assert one.n == 1


def test_held_out_images_are_read_once(scm):
    first = scm.do({"stem": [1]}, answer="equations").predict()
    assert first.n < 600
    assert scm.responses() is scm.responses()
    assert first.n == scm.responses().n_images
    assert scm.sanity().network.n == first.n


def test_nothing_held_out_is_said(network, loader):
    scm = fit(collect(network, loader, transform="mean", holdout=0), "linear")
    with pytest.raises(OrderError, match="no images were held out"):
        scm.do({"stem": [1]}, answer="equations").predict()


@pytest.mark.parametrize("transform", ["grid", "frobenius"])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_unit_is_set_with_all_its_components(transform, value):
    """Against rows changed by hand: the response of a constant map, and every path by prediction."""
    scm = fit(collect(residual(), batches_of(200, 50), transform=transform))
    rows = scm.responses(images(9))
    k = scm.components["stem"]
    assert k == (4 if transform == "grid" else 1)
    constant = torch.full((1, 8, 8, 8), value)
    set_to = scm.source.transform(constant).numpy().reshape(8, k)
    now = {name: np.array(rows[name], dtype=np.float64) for name in scm.graph.names}
    now["stem"].reshape(9, 8, k)[:, [2, 5]] = set_to[[2, 5]]
    for name in scm.graph.names[1:]:
        now[name] = now[name] + scm.predict(name, now) - scm.predict(name, rows)
    submodel = scm.do({"stem": [2, 5]}, value, answer="equations")
    np.testing.assert_allclose(submodel.predict(rows).logits, now["head"], atol=1e-8)
    for name in ("branch", "grouped", "head"):
        moved = propagate(scm, submodel.forced, rows, name)[name]
        np.testing.assert_allclose(moved, now[name], atol=1e-8)
        closed = linear_change(scm, submodel.forced, rows, name) + rows[name]
        np.testing.assert_allclose(closed, now[name], atol=1e-8)


def test_vector_valued_silencing_equals_a_loop():
    scm = fit(collect(residual(), batches_of(200, 50), transform="grid"))
    rows = scm.responses()
    losses = scm.silencing_losses(rows)
    effects = scm.total_effects()
    for layer in ("stem", "grouped", "left"):
        for unit in (0, 3):
            after = scm.do({layer: [unit]}, answer="equations").predict(rows)
            assert losses.loss[layer][unit] == pytest.approx(after.loss, abs=1e-9)
            assert losses.accuracy[layer][unit] == after.accuracy
            means = {name: mean[None] for name, mean in scm.means.items()}
            change = scm.do({layer: [unit]}, answer="equations").change(means)
            np.testing.assert_allclose(effects[layer][unit], change[0], atol=1e-9)
    assert scm.total_effects("stem", "left").names[:5] == ("0.0", "0.1", "0.2", "0.3", "1.0")


@pytest.fixture(scope="module")
def curved():
    return fit(collect(residual(), batches_of(160, 40), raw=True), "mlp")


def test_equations_that_are_not_linear_are_propagated(curved):
    rows = curved.responses()
    now = {name: np.array(rows[name], dtype=np.float64) for name in curved.graph.names}
    now["branch"][:, [1, 6]] = 0
    for name in ("left", "depthwise", "grouped", "head"):
        now[name] = now[name] + curved.predict(name, now) - curved.predict(name, rows)
    submodel = curved.do({"branch": [1, 6]}, answer="equations")
    np.testing.assert_allclose(submodel.predict(rows).logits, now["head"], atol=1e-9)
    empty = curved.do({}, answer="equations").predict(rows).logits
    assert empty.tobytes() == rows["head"].astype(np.float64).tobytes()
    effects = curved.total_effects("left", images=rows)
    assert effects.per_response == {}
    one = curved.do({"left": [2]}, answer="equations")
    np.testing.assert_allclose(effects["left"][2], one.change(rows).mean(0), atol=1e-12)
    losses = curved.silencing_losses(rows, "left")
    assert losses.loss["left"][2] == pytest.approx(one.predict(rows).loss)
    drops = curved.ranking("left", "loss", rows, bootstrap=5, answer="equations").layers["left"].drop
    np.testing.assert_allclose(drops, losses.loss["left"] - losses.baseline["loss"], atol=1e-12)


def test_equations_that_are_not_linear_are_rolled_out(curved):
    rows = curved.responses()
    found = curved.sanity(rows)
    now = {name: np.array(rows[name], dtype=np.float64) for name in curved.graph.names}
    for name in curved.graph.names[3:]:
        now[name] = curved.predict(name, now)
    np.testing.assert_allclose(found.rolled[2].logits, now["head"], atol=1e-9)
