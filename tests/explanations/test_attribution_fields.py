"""Which pixels a position reads, against a network that is fed NaN, and where its value is laid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from causal_widget.errors import ArgumentError
from causal_widget.explanations.attribution import Axis, ReceptiveField, receptive_fields
from causal_widget.graph import as_maps, trace
from causal_widget.graph.sites import watch
from tests.effects.cut_networks import Inception, Shortcut, Shuffled
from tests.interventions.networks import Plain, Residual, fingerprint, images, seeded


class Windows(nn.Module):
    """Every kind of window: dilation, one-sided padding, ceil mode, odd strides, resizing, uneven pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.dilated = nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1))
        self.padded = nn.Conv2d(3, 3, 3, stride=2)
        self.resized = nn.Conv2d(3, 4, 2)
        self.pooled = nn.Conv2d(4, 3, 1)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.dilated(x))
        x = self.padded(F.pad(x, (0, 1, 0, 1)))
        x = F.avg_pool2d(F.relu(x), 3, 2, padding=1, ceil_mode=True)
        x = self.resized(F.interpolate(x, scale_factor=2, mode="nearest"))
        x = self.pooled(F.adaptive_max_pool2d(x, (3, 2)))
        return self.fc(x.mean((2, 3)))


class ChannelsLast(nn.Module):
    """Linear layers over the last axis of permuted maps, and LayerNorm, as ConvNeXt has them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.up = nn.Conv2d(3, 4, 4, 4), nn.LayerNorm(4), nn.Linear(4, 8)
        self.deep, self.fc = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x).permute(0, 2, 3, 1))
        x = F.gelu(self.up(x)).permute(0, 3, 1, 2)
        return self.fc((x + self.deep(x)).mean((2, 3)))


def by_nan(model: nn.Module, x: Tensor, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Which positions turn NaN when a row (column) of pixels is NaN: (pixel, position) for each axis."""
    graph = trace(model, x)
    found = []
    for axis in (-2, -1):
        probes = x[:1].repeat(x.shape[axis], 1, 1, 1)
        for pixel in range(x.shape[axis]):
            probes[pixel].select(axis, pixel).fill_(torch.nan)
        kept: list[Tensor] = []
        with torch.no_grad(), watch(model, graph, [(layer, "conv", kept.append)]):
            model(probes)
        maps = as_maps(graph.layer(layer), kept[0])
        found.append(maps.isnan().any(dim=1).any(dim=-1 if axis == -2 else -2).numpy())
    return found[0], found[1]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "plain": (Plain, (3, 12, 12)),
    "residual": (Residual, (3, 13, 17)),
    "inception": (Inception, (3, 12, 12)),
    "shortcut": (Shortcut, (3, 12, 12)),
    "shuffled": (Shuffled, (3, 12, 12)),
    "windows": (Windows, (2, 29, 33)),
    "channels last": (ChannelsLast, (3, 16, 20)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_windows_are_those_that_nan_comes_through(name: str) -> None:
    build, shape = NETWORKS[name]
    model = seeded(build)
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    graph = trace(model, x)
    fields = receptive_fields(model, graph, x)
    assert set(fields) == {layer.name for layer in graph.layers if len(layer.shape) == 3}
    for layer, field in fields.items():
        for axis, reached in zip((field.rows, field.columns), by_nan(model, x, layer), strict=True):
            pixels = np.arange(axis.pixels)[:, None]
            windows = (pixels >= axis.first) & (pixels <= axis.last)
            inside = (axis.first >= 0) & (axis.last < axis.pixels)
            np.testing.assert_array_equal(windows[:, inside], hulls(reached)[:, inside], err_msg=layer)
            # At the edge, what is read beyond it is padding: a dilated window may begin with a gap.
            assert not (reached & ~windows).any(), layer
            gaps = (windows & ~hulls(reached)).sum(axis=0)
            assert gaps.max() <= (name == "windows"), layer


def hulls(reached: np.ndarray) -> np.ndarray:
    """Fill the pixels between the first and the last that a position reads."""
    return (np.cumsum(reached, axis=0) > 0) & (np.cumsum(reached[::-1], axis=0) > 0)[::-1]


def test_a_gate_from_the_whole_image_has_no_place() -> None:
    model = torchvision.models.mobilenet_v3_small(weights=None).eval()
    x = torch.randn(1, 3, 64, 64)
    field = receptive_fields(model, trace(model, x), x)["features.2.block.1.0"]
    # 3 x 3 stride 2; 3 x 3 stride 2 and its gate; 1 x 1; 3 x 3 stride 2: (1 + 2, + 2 * 2, + 2 * 4)
    assert (field.rows.size, field.rows.stride, field.rows.offset) == (15, 8, 0)


def test_values_are_laid_where_they_were_read() -> None:
    axis = Axis(np.array([-1, 1, 3]), np.array([1, 3, 5]), 7)
    assert (axis.offset, axis.stride, axis.size) == (0, 2, 3)
    one = Axis(np.array([2]), np.array([4]), 5)
    field = ReceptiveField("conv", axis, one)
    laid = field.upsampled(np.array([[[0.0], [4.0], [2.0]]]))
    np.testing.assert_allclose(laid[0], np.repeat([[0.0], [2], [4], [3], [2], [2], [2]], 5, axis=1))


def test_a_single_bright_pixel_is_found_where_it_is() -> None:
    """Stretching would put it elsewhere: the maps of valid convolutions are smaller than the image."""
    model = nn.Sequential(
        nn.Conv2d(1, 1, 5, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3, bias=False),
        nn.Flatten(), nn.Linear(64, 2),
    )  # fmt: skip
    for module in model:
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            module.weight.data[..., module.kernel_size[0] // 2, module.kernel_size[0] // 2] = 1
    x = torch.zeros(1, 1, 24, 24)
    x[0, 0, 6, 16] = 1
    from causal_widget.explanations.attribution import attribute

    peak = attribute(model.eval(), x, "3").peaks(1).iloc[0]
    assert abs(peak["row"] - 6) <= 0.5
    assert abs(peak["column"] - 16) <= 0.5
    row, column = np.unravel_index(attribute(model, x, "3").aggregate[0].argmax(), (24, 24))
    assert abs(row - 6) <= 1
    assert abs(column - 16) <= 1


def test_refuses_layers_without_maps_and_leaves_the_model_alone() -> None:
    model, x = seeded(Residual).train(), images(2)
    graph, before = trace(model, x), fingerprint(model)
    with pytest.raises(ArgumentError, match='"fc" has no maps'):
        receptive_fields(model, graph, x, ["fc"])
    receptive_fields(model, graph, x)
    assert fingerprint(model) == before
