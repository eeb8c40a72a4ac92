"""A trained ResNet-20 on CIFAR-10: its known accuracy, and equations that predict held-out responses."""

import numpy as np
import pytest

from causal_widget.responses import ResponseTable, collect
from causal_widget.responses.split import held_out
from causal_widget.scm import fit


@pytest.mark.shared_data
def test_a_trained_residual_network(shared_data, networks):
    model, mean, std = networks.load("cifar_resnet20")
    data = np.load(shared_data / "cifar10_test_lossless_1017.npz", allow_pickle=False)
    images, labels = networks.normalise(data["images"], mean, std), data["labels"]
    batches = [(images[i : i + 113], labels[i : i + 113]) for i in range(0, len(images), 113)]
    with ResponseTable() as table:
        collection = collect(model, batches, sinks=[table])
        scm, rows = fit(collection), {name: np.array(table[name]) for name in table}
    assert collection.accuracy == pytest.approx(0.9164, abs=5e-4)
    apart = held_out(0, len(images), 0.2)
    assert collection.heldout.count == apart.sum()
    output = collection.graph.output.name
    predicted = scm.predict(output, {name: x[apart] for name, x in rows.items()})
    assert (predicted.argmax(1) == rows[output][apart].argmax(1)).mean() > 0.85
    assert np.nanmedian(scm.table()["heldout_r2"]) > 0.6
    residual = rows[output][apart] - predicted
    expected = 1 - (residual**2).mean(0) / rows[output][apart].var(0)
    np.testing.assert_allclose(scm[output].heldout_r2, expected, rtol=1e-5)


@pytest.mark.shared_data
def test_parts_know_what_the_classes_of_a_residual_network_read(networks, shared_data):
    """The last layer reads ReLU of a sum of maps, which their signed means alone do not tell."""
    model, mean, std = networks.load("cifar_resnet20")

    def images(file, n):
        with np.load(shared_data / file, allow_pickle=False) as data:
            return networks.normalise(data["images"][:n], mean, std)

    agreement = {}
    for transform in ("mean", "parts"):
        train = images("cifar10_train_lossless_8068.npz", 1600)
        scm = fit(collect(model, train, transform=transform, holdout=0, folds=1), ridge=1e-3)
        responses = scm.responses(images("cifar10_test_lossless_1017.npz", 400))
        predicted = scm["fc"].predict(responses).argmax(axis=1)
        agreement[transform] = (predicted == responses["fc"].argmax(axis=1)).mean()
    assert agreement["parts"] >= 0.99
    assert agreement["parts"] > agreement["mean"]
