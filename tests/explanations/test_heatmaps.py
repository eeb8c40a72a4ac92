"""Maps over the image against plain hooks and against maps known by heart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, DataError, DeviceError, NonFiniteError, UnknownNameError
from causal_widget.explanations import difference, heatmap
from causal_widget.graph import trace
from causal_widget.interventions import Intervention
from tests.interventions.networks import Known, Residual, fingerprint, images, seeded


def hooked(model: nn.Module, place: str, x: Tensor) -> Tensor:
    kept: list[Tensor] = []
    handle = model.get_submodule(place).register_forward_hook(lambda _, __, out: kept.append(out.clone()))
    with torch.no_grad():
        model(x)
    handle.remove()
    return kept[0].double()


def enlarged(maps: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Bilinear interpolation written out: pixel centres aligned, edges clamped."""
    source = maps.numpy()
    grids = []
    for length, target in zip(source.shape[-2:], size, strict=True):
        centre = np.clip((np.arange(target) + 0.5) * length / target - 0.5, 0, length - 1)
        low = np.floor(centre).astype(int)
        grids.append((low, np.minimum(low + 1, length - 1), centre - low))
    (t, b, v), (left, right, h) = grids
    rows = source[:, t] * (1 - v)[:, None] + source[:, b] * v[:, None]
    return rows[:, :, left] * (1 - h) + rows[:, :, right] * h


def test_on_a_network_known_by_heart() -> None:
    x = torch.tensor([[[[1.0, -2.0], [3.0, -4.0]]]])
    model = Known().eval()
    graph = trace(model, x)
    np.testing.assert_allclose(heatmap(model, graph, x, "conv", weights=[1, 10]), [[[1, 20], [3, 40]]])
    np.testing.assert_allclose(heatmap(model, graph, x, "conv", unit=1), [[[0, 2], [0, 4]]])
    np.testing.assert_allclose(heatmap(model, graph, x, "conv", unit=1, site="conv"), [[[-1, 2], [-3, 4]]])
    change = difference(model, graph, x, "conv", Intervention({"conv": [1]}), weights=[1, 10])
    np.testing.assert_allclose(change, [[[0, -20], [0, -40]]])


def test_weighted_sum_of_upsampled_activations() -> None:
    model, x = seeded(Residual), images(5)
    weights = np.random.default_rng(0).random(8)
    found = heatmap(model, trace(model, x), x, "block2.conv1", weights=weights)
    maps = hooked(model, "block2.relu1", x)
    assert maps.shape[-2:] == (3, 3)
    expected = enlarged(torch.einsum("nuhw,u->nhw", maps, torch.from_numpy(weights)), (12, 12))
    assert found.shape == (5, 12, 12)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_batch_gives_what_single_images_give() -> None:
    model, x = seeded(Residual), images(3)
    graph = trace(model, x)
    together = heatmap(model, graph, x, "stem", unit=2)
    for k in range(3):
        np.testing.assert_allclose(
            heatmap(model, graph, x[k], "stem", unit=2)[0], together[k], rtol=1e-6, atol=1e-7
        )


def test_the_difference_reaches_later_layers_and_not_earlier_ones() -> None:
    model, x = seeded(Residual), images(4)
    graph, cut = trace(model, x), Intervention({"block1.conv1": [0, 1]}, 3.0)
    assert np.abs(difference(model, graph, x, "stem", cut, unit=0)).max() == 0
    later = difference(model, graph, x, "block2.conv1", cut, weights=np.ones(8))
    assert np.abs(later).max() > 0.1
    under = heatmap(model, graph, x, "block2.conv1", weights=np.ones(8), intervention=cut)
    alone = heatmap(model, graph, x, "block2.conv1", weights=np.ones(8))
    removed = difference(model, graph, x, "stem", Intervention({"stem": range(4)}), weights=np.ones(4))
    assert removed.max() <= 0
    assert removed.min() < 0, "what was positive is gone: the difference is signed"
    np.testing.assert_allclose(later, under - alone, atol=1e-9)


def test_the_model_is_left_alone() -> None:
    model, x = seeded(Residual).train(), images(4)
    graph, before = trace(model, x), fingerprint(model)
    difference(model, graph, x, "stem", Intervention({"stem": [0]}), unit=1)
    with pytest.raises(DataError, match=r"shape \(2, 12, 12\).*traced with \(3, 12, 12\)"):
        heatmap(model, graph, x[:, :2], "stem", unit=1)
    assert fingerprint(model) == before


@pytest.mark.parametrize(
    ("layer", "options", "x", "error", "says"),
    [
        ("stem", {}, images(2), ArgumentError, "either"),
        ("stem", {"unit": 0, "weights": np.ones(4)}, images(2), ArgumentError, "either"),
        ("stem", {"weights": np.ones(3)}, images(2), ArgumentError, r"4 finite numbers, got shape \(3,\)"),
        ("stem", {"weights": [1, 2, math.nan, 4]}, images(2), ArgumentError, "1 not finite"),
        ("stem", {"unit": 4}, images(2), UnknownNameError, "unit 4"),
        ("sten", {"unit": 0}, images(2), UnknownNameError, 'Did you mean "stem"'),
        ("fc", {"unit": 0}, images(2), ArgumentError, "no maps"),
        ("stem", {"unit": 0}, images(2) * math.nan, NonFiniteError, "NaN"),
        ("stem", {"unit": 0}, images(2).byte(), DataError, "uint8"),
        ("stem", {"unit": 0}, torch.zeros(3, 3), DataError, r"\(3, 3\)"),
        ("stem", {"unit": 0, "site": "here"}, images(2), UnknownNameError, "here"),
    ],
)
def test_bad_input(
    layer: str, options: dict[str, object], x: Tensor, error: type[Exception], says: str
) -> None:
    model = seeded(Residual)
    with pytest.raises(error, match=says):
        heatmap(model, trace(model, images()), x, layer, **options)  # type: ignore[arg-type]


class Small(nn.Module):
    """Runs out of memory above so many images, after its first layer was read."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.most = seeded(Residual), most

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x)
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return answer


def test_memory_that_is_too_small_halves_the_images_and_says_so() -> None:
    model, x = Small(2), images(5)
    graph, cut = trace(model, x), Intervention({"inner.stem": [1]})
    with pytest.warns(UserWarning, match="5 images: going on with 2"):
        found = difference(model, graph, x, "inner.stem", cut, unit=1)
    plain = difference(model.inner, trace(model.inner, x), x, "stem", Intervention({"stem": [1]}), unit=1)
    np.testing.assert_allclose(found, plain, rtol=1e-6, atol=1e-7)
    model.most = 0
    with pytest.raises(DeviceError, match="single image"):
        heatmap(model, graph, x[:1], "inner.stem", unit=1)
