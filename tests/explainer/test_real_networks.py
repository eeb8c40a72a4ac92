"""Trained networks on real images: the known accuracy is reproduced, and everything runs on them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from causal_widget import CausalCNNExplainer
from causal_widget.jobs import Progress
from tests.interventions.networks import fingerprint

pytestmark = pytest.mark.shared_data
SILENT = Progress()

# network, images, their arrays, accuracy in percent, convolutions, filters
NETWORKS = [
    ("cifar_resnet20", "cifar10_test_lossless_1017.npz", ("images", "labels"), 91.64, 19, 688),
    ("cifar_resnet32", "cifar10_test_lossless_1017.npz", ("images", "labels"), 92.82, 31, 1136),
    ("cifar_lenet5", "cifar10_test_lossless_1017.npz", ("images", "labels"), 65.78, 2, 22),
    ("mnist_lenet5", "mnist.npz", ("test_images", "test_labels"), 99.36, 2, 22),
]


@pytest.mark.parametrize(("name", "file", "keys", "accuracy", "convolutions", "filters"), NETWORKS)
def test_from_the_weights_to_the_curve(
    shared_data: Path, networks: ModuleType, name: str, file: str, keys: tuple[str, str],
    accuracy: float, convolutions: int, filters: int,
) -> None:  # fmt: skip
    model, mean, std = networks.load(name)
    with np.load(shared_data / file, allow_pickle=False) as data:
        pixels, labels = data[keys[0]], torch.from_numpy(data[keys[1]]).long()
    images = networks.normalise(pixels if pixels.ndim == 4 else pixels[..., None], mean, std)
    loader = DataLoader(TensorDataset(images, labels), batch_size=128)
    explainer, before = CausalCNNExplainer(model, "cpu", mean=mean, std=std), fingerprint(model)
    assert (len(explainer.conv_layers), explainer.graph.n_filters) == (convolutions, filters)

    collection = explainer.collect_data(loader, progress=SILENT)
    assert collection.n_images == len(images)
    assert collection.accuracy is not None
    assert round(100 * collection.accuracy, 2) == accuracy
    explainer.learn_structural_equations()
    assert all(values.sum() == pytest.approx(1) for values in explainer.get_filter_importances().values())

    last = explainer.conv_layers[-1][0]
    effect = explainer.effect_of({last: [0, 1, 2]}, max_batches=2, progress=SILENT)
    assert effect.n == 256
    assert effect.loss is not None
    assert effect.loss.se > 0
    curve = explainer.pruning_curve(
        loader, [0, 25, 100], rules=("coefficient", "l1", "random"), repeats=2, max_batches=2, progress=SILENT
    )
    assert curve.baseline == effect.before.accuracy
    assert all(curve.mean(rule)[0] == curve.baseline for rule in curve.rules)
    assert all(curve.mean(rule)[-1] < 0.3 for rule in curve.rules)
    pruned = explainer.prune_filters_by_importance(25)
    few = DataLoader(TensorDataset(images[:256], labels[:256]), batch_size=128)
    assert explainer.evaluate_model(pruned, few) == pytest.approx(curve.mean("coefficient")[1], abs=1 / 256)
    shown = explainer.denormalise(images[:4])
    np.testing.assert_allclose(
        shown, np.broadcast_to(pixels[:4].reshape(*shown.shape[:3], -1) / 255, shown.shape), atol=1e-5
    )
    assert fingerprint(model) == before
