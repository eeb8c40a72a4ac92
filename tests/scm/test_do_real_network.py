"""A trained ResNet-20 on CIFAR-10: the causal model's answers are exact where they must be."""

import numpy as np
import pytest
import torch

from causal_widget.responses import collect
from causal_widget.scm import StructuralCausalModel, fit
from causal_widget.scm.linear import linear_change
from causal_widget.scm.propagate import propagate


@pytest.fixture(scope="module")
def prepared(shared_data, networks):
    model, mean, std = networks.load("cifar_resnet20")
    data = np.load(shared_data / "cifar10_test_lossless_1017.npz", allow_pickle=False)
    images, labels = networks.normalise(data["images"], mean, std), data["labels"]
    batches = [(images[i : i + 100], labels[i : i + 100]) for i in range(0, 400, 100)]
    return model, batches, fit(collect(model, batches, transform="mean", intervene=0.1))


@pytest.mark.shared_data
def test_the_empty_counterfactual_is_the_networks_output(prepared):
    model, batches, scm = prepared
    images = batches[0][0]
    with torch.no_grad():
        own = model.eval()(images).double().numpy()
    found = scm.counterfactual(images, {}, answer="equations")
    assert found.counterfactual.logits.tobytes() == own.tobytes()


@pytest.mark.shared_data
def test_closed_form_and_propagation_agree(prepared):
    _, batches, scm = prepared
    rows = scm.responses(batches[0][0])
    names = [layer.name for layer in scm.graph.conv_layers]
    rng = np.random.default_rng(0)
    units = {name: rng.integers(0, scm.width(name), 3).tolist() for name in names}
    submodel = scm.do(units, answer="equations")
    closed = linear_change(scm, submodel.forced, rows, scm.graph.output.name)
    moved = propagate(scm, submodel.forced, rows, scm.graph.output.name)[scm.graph.output.name]
    np.testing.assert_allclose(closed + rows[scm.graph.output.name], moved, atol=1e-7 * np.abs(closed).max())


@pytest.mark.shared_data
def test_one_step_agrees_with_the_network_and_ranks_are_told(prepared):
    scm = prepared[2]
    found = scm.sanity()
    assert found.agreement[-1] > 0.9
    assert found.agreement[-1] > found.agreement[0]
    assert found.network.accuracy > 0.85
    ranked = scm.ranking(scm.graph.conv_layers[5].name, by="loss", bootstrap=50, answer="equations")
    (one,) = ranked.layers.values()
    assert (one.high - one.low).mean() > 1


@pytest.mark.shared_data
def test_what_is_loaded_answers_the_same(prepared, tmp_path):
    model, batches, scm = prepared
    loaded = StructuralCausalModel.load(scm.save(tmp_path / "scm.safetensors"), model, batches)
    layer = scm.graph.conv_layers[3].name
    ours, theirs = (one.do({layer: [2]}, answer="equations").predict().logits for one in (scm, loaded))
    assert ours.tobytes() == theirs.tobytes()
