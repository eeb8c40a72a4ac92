"""A trained ResNet-20 and a MobileNet: what a pass under random interventions reads is what do() does."""

import numpy as np
import pytest
import torch

from causal_widget.interventions import Intervention, intervene
from causal_widget.responses import collect

N = 12


@pytest.mark.shared_data
@pytest.mark.parametrize("transform", ["frobenius", "grid"])
@pytest.mark.parametrize("site", ["activation", "conv"])
def test_a_trained_residual_network_under_do(shared_data, networks, transform, site):
    model, mean, std = networks.load("cifar_resnet20")
    data = np.load(shared_data / "cifar10_test_lossless_1017.npz", allow_pickle=False)
    check(model, networks.normalise(data["images"][:N], mean, std), transform, site)


@pytest.mark.shared_data
def test_a_depthwise_network_under_do(shared_data, networks):
    model, mean, std = networks.load("imagenet_mobilenet_v2")
    data = np.load(shared_data / "animals24_6each_224.npz", allow_pickle=False)
    x = networks.normalise(data["images"][:4], mean, std)
    check(model, torch.nn.functional.interpolate(x, size=64), "mean", "activation")


def check(model, x, transform, site):
    """Image by image, by the machinery of interventions."""
    found = collect(model, x, transform=transform, site=site, intervene=0.1, holdout=0, folds=1, raw=True)
    draw, graph, shown = found.raw.draw(), found.graph, 0
    for i in range(len(x)):
        name = draw.layers[draw.layer[i]]
        do = Intervention({name: np.flatnonzero(draw.units[i])}, site=site)
        with intervene(model, graph, do):
            forced = found.source.read(x[i : i + 1])
        for layer in graph.names:
            scale = np.abs(found.raw.observational[layer]).max()
            np.testing.assert_allclose(
                found.raw.interventional[layer][i], forced[layer][0], atol=1e-4 * scale, rtol=1e-3
            )
        shown += not np.allclose(forced[graph.output.name], found.raw.observational[graph.output.name][i])
    assert shown > len(x) // 2
