"""The graph of every torchvision family equals what is measured on the network."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
import torchvision.models as tv
from torch.overrides import TorchFunctionMode

from causal_widget.errors import UnsupportedModelError
from causal_widget.graph import trace
from tests.graph.oracle import assert_graph_is_measured

FAMILIES = [
    ("alexnet", 64),
    ("vgg11_bn", 32),
    ("resnet18", 32),
    ("resnet50", 32),
    ("resnext50_32x4d", 32),
    ("wide_resnet50_2", 32),
    ("squeezenet1_1", 32),
    ("densenet121", 32),
    ("inception_v3", 75),
    ("googlenet", 32),
    ("shufflenet_v2_x0_5", 32),
    ("mobilenet_v2", 32),
    ("mobilenet_v3_small", 32),
    ("mnasnet0_5", 32),
    ("efficientnet_b0", 32),
    ("efficientnet_v2_s", 32),
    ("regnet_x_400mf", 32),
    ("regnet_y_400mf", 32),
    ("convnext_tiny", 32),
    ("swin_t", 32),
]


class PlainWeights(TorchFunctionMode):
    """Weights without random draws, which for billions of them would take minutes."""

    def __init__(self, varied: bool) -> None:
        super().__init__()
        self._varied = varied

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "trunc_normal_", "erfinv_"):
            tensor = args[0] if args else kwargs["tensor"]
            with torch.no_grad():
                return self._fill(tensor)
        return func(*args, **(kwargs or {}))

    def _fill(self, tensor):
        if not self._varied:
            return tensor.fill_(0.01)
        # Different enough that no two channels cancel, small enough that nothing overflows.
        wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float32))
        return tensor.copy_(0.02 * wave.reshape(tensor.shape))


def build(name: str, varied: bool = False) -> torch.nn.Module:
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with PlainWeights(varied):
        return tv.get_model(name, weights=None, **extra)


@pytest.mark.parametrize("name,size", FAMILIES)
def test_parents_equal_what_is_measured(name, size):
    model = build(name, varied=True)
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    graph = trace(model, image)
    # Every layer's input is looked at for each unit, so fifty units say much about a deep network.
    compared = assert_graph_is_measured(
        graph, model, image, per_layer=2 if len(graph.layers) < 30 else 1, most=50
    )
    assert compared >= min(len(graph.layers) - 1, 50)
    assert nx.is_directed_acyclic_graph(graph.to_networkx())
    assert graph.traced_by == "symbolic"
    assert graph.output.units == 1000


TRANSFORMERS = ("vit_", "maxvit")
SMALLEST = {"inception_v3": 96, "alexnet": 64}


@pytest.mark.slow
@pytest.mark.parametrize("name", tv.list_models(module=tv))
def test_every_classification_model_is_traced_or_refused_by_name(name):
    model = build(name)
    size = 224 if name.startswith(TRANSFORMERS) else SMALLEST.get(name, 32)
    image = torch.zeros(1, 3, size, size)
    if name.startswith("vit_"):
        with pytest.raises(UnsupportedModelError, match="attention"):
            trace(model, image)
        return
    graph = trace(model, image)
    conv = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    unused = sum("aux" in n.lower() for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d))
    assert len(graph.conv_layers) == len(conv) - unused
    assert graph.output.units == 1000
    orphans = [layer.name for layer in graph.layers[1:] if not graph.parents(layer.name)]
    # Swin v2 computes its position biases from a table of coordinates, not from the image.
    assert all("cpb_mlp" in name for name in orphans)


def test_wirings_name_what_they_are():
    depthwise = trace(build("mobilenet_v2"), torch.zeros(1, 3, 32, 32))
    assert {w.kind for w in depthwise.parents("features.2.conv.1.0")} == {"one-to-one"}
    grouped = trace(build("resnext50_32x4d"), torch.zeros(1, 3, 32, 32))
    (wiring,) = grouped.parents("layer1.0.conv2")
    assert wiring.kind == "blocks"
    expected = np.kron(np.eye(32, dtype=bool), np.ones((4, 4), dtype=bool))
    np.testing.assert_array_equal(wiring.mask(), expected)
    concatenated = trace(build("squeezenet1_1"), torch.zeros(1, 3, 32, 32))
    assert [w.kind for w in concatenated.parents("features.4.squeeze")] == ["offset", "offset"]
    assert [w.kind for w in depthwise.parents("classifier.1")] == ["dense"]
