"""Paths on networks as they are built: all paths from a unit together are the unit, on every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.models as tv
from torch import Tensor, nn

from causal_widget.graph import FilterGraph, trace
from causal_widget.interventions import Intervention, PathEdit, edited, intervene
from tests.interventions.networks import images, seeded

# From a unit's last site to its readers lead only functions f with f(beta x) = beta f(x), or its channel is
# shared: residual sums (before and behind a nonlinearity), concatenations, gates, shuffles, depthwise.
FAMILIES = [
    ("resnet18", 32),
    ("squeezenet1_1", 32),
    ("shufflenet_v2_x0_5", 32),
    ("mobilenet_v2", 64),
    ("mobilenet_v3_small", 64),
    ("regnet_y_400mf", 32),
    ("googlenet", 32),
    ("convnext_tiny", 32),
    ("swin_t", 32),
]


def build(name: str) -> nn.Module:
    extra = {"init_weights": False} if name == "googlenet" else {}
    return seeded(lambda: tv.get_model(name, weights=None, **extra)).double()


def differences(
    model: nn.Module, graph: FilterGraph, x: Tensor, layer: str, unit: int
) -> tuple[float, float]:
    """How far all paths are from the scaled unit, and the scaled unit from the network as it is."""
    with torch.no_grad():
        undisturbed = model(x)
    with intervene(model, graph, Intervention({layer: [unit]}, scale=0.4)):
        expected = model(x)
    paths = [PathEdit((layer, unit), wiring.target, None, 0.4) for wiring in graph.children(layer)]
    with edited(model, graph, [p for p in paths if graph.layer(p.target).kind != "output"]):
        found = model(x)
    return float((found - expected).abs().max()), float((expected - undisturbed).abs().max())


@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_all_paths_from_a_unit_are_the_unit(name: str, size: int) -> None:
    model, x = build(name), images(2, size=size).double()
    graph, draw = trace(model, x), np.random.default_rng(0)
    # SqueezeNet's last filters are the classes: they have no weights behind them.
    able = [
        layer
        for layer in graph.layers
        if graph.children(layer.name)
        and all(graph.layer(w.target).kind != "output" for w in graph.children(layer.name))
    ]
    moved = 0
    for k in draw.choice(len(able), size=3 if name in ("convnext_tiny", "swin_t") else 5, replace=False):
        layer = able[int(k)]
        unit = int(draw.choice(layer.units))
        if not all(unit in w.units for w in graph.children(layer.name)):
            continue
        off, effect = differences(model, graph, x, layer.name, unit)
        assert off <= 1e-9 * effect + 1e-13, (layer.name, unit, off, effect)
        moved += effect > 0
    assert moved >= 2


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["cifar_resnet20", "imagenet_mobilenet_v2"])
def test_on_trained_networks_too(networks: object, name: str) -> None:
    model, _, _ = networks.load(name)
    model.double()
    x = images(2, size=64 if "imagenet" in name else 32).double()
    graph = trace(model, x)
    pairs = [differences(model, graph, x, graph.layers[k].name, u) for k in (0, 5, 12) for u in (3, 4)]
    assert all(off <= 1e-9 * effect for off, effect in pairs)
    assert sum(effect > 0 for _, effect in pairs) >= 3
