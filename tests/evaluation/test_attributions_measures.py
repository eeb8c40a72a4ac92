"""Lipschitz estimate and IROF on cases with a known answer, and against Quantus."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from causal_widget.errors import ArgumentError
from causal_widget.evaluation.attributions import (
    ATTRIBUTION_METHODS,
    as_method,
    irof,
    local_lipschitz,
    normalised,
    superpixels,
)
from tests.evaluation.test_attributions_methods import Linear, Rectified, X, Y, weights_of
from tests.interventions.networks import images, seeded

QUARTERS = np.kron(np.arange(4).reshape(2, 2), np.ones((6, 6), int))[None]


class OnlyQuarter(nn.Module):
    """Says class 1 where one quarter of the image is bright and dark, and sees nothing else."""

    def __init__(self, quarter: int, size: int = 12) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, size, bias=False)
        weight = torch.zeros(2, 1, size, size)
        rows, columns = divmod(quarter, 2)
        part = weight[1, 0, 6 * rows : 6 * rows + 6, 6 * columns : 6 * columns + 6]
        part[:3], part[3:] = 20.0, -20.0
        self.conv.weight.data = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(1)


def area(curve: np.ndarray, **_: Any) -> Any:
    """Trapezoidal rule over the last axis, steps of one."""
    return ((curve[..., 1:] + curve[..., :-1]) / 2).sum(axis=-1)


def striped(n: int = 1) -> Tensor:
    """Images whose every quarter is bright above and dark below."""
    return torch.ones(12).mul(-1).index_fill(0, torch.tensor([0, 1, 2, 6, 7, 8]), 1.0)[
        None, None, :, None
    ].expand(n, 1, 12, 12) + torch.zeros(n, 1, 12, 12)


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("place", range(4))
def test_irof_where_one_superpixel_alone_matters(quarter: int, place: int) -> None:
    """Removed as number k of L, it leaves 1 before and p after: the area is known."""
    model, x = OnlyQuarter(quarter), striped()
    others = [k for k in range(4) if k != quarter]
    order = [*others[:place], quarter, *others[place:]]
    importance = np.empty(4)
    importance[order] = [4.0, 3.0, 2.0, 1.0]
    found = irof(model, x, np.array([1]), importance[QUARTERS], segments=QUARTERS)
    curve = np.array([1.0] * (place + 1) + [0.5] * (4 - place))  # filled, both logits are 0: p = 1/2 of 1
    np.testing.assert_allclose(found.curves[0], curve, atol=1e-12)
    np.testing.assert_allclose(found.scores, [1 - area(curve) / 4])


def test_irof_is_zero_where_nothing_matters_and_stays_below_one() -> None:
    model = OnlyQuarter(0)
    blank = nn.Sequential(nn.Flatten(), nn.Linear(144, 2))
    nn.init.zeros_(blank[1].weight)
    maps = np.random.default_rng(0).normal(size=(3, 12, 12))
    assert not irof(blank, striped(3), np.array([0, 1, 1]), maps, n_segments=9).scores.any()
    # What helps the class when it is removed does not count below zero.
    assert irof(model, striped(), np.array([0]), maps[:1], segments=QUARTERS).scores[0] == 0
    found = irof(seeded(Rectified), X, Y, maps, n_segments=12).scores
    assert found.min() >= 0
    assert found.max() < 1


def test_irof_goes_by_the_order_alone_and_breaks_ties_by_the_seed() -> None:
    model, maps = seeded(Rectified), np.random.default_rng(1).random((3, 12, 12))
    cut = superpixels(X, 16)
    plain = irof(model, X, Y, maps, segments=cut).scores
    other = irof(model, X, Y, 50 * maps - 7, segments=cut, batch_size=3).scores
    np.testing.assert_allclose(other, plain, rtol=1e-6)
    np.testing.assert_array_equal(irof(model, X, Y, normalised(maps), segments=cut).scores, plain)
    flat = np.ones((3, 12, 12))
    tied = [irof(model, X, Y, flat, segments=cut, seed=seed).scores for seed in (0, 0, 1)]
    np.testing.assert_array_equal(tied[0], tied[1])
    assert (tied[0] != tied[2]).any()


def test_irof_by_a_plain_loop() -> None:
    model, maps = seeded(Rectified), np.random.default_rng(2).normal(size=(3, 12, 12))
    cut = superpixels(X, 20)
    found = irof(model, X, Y, maps, segments=cut)
    for k in range(3):
        x, left = X[k].clone(), []
        means = {s: maps[k][cut[k] == s].mean() for s in np.unique(cut[k])}
        with torch.no_grad():
            for s in [None, *sorted(means, key=lambda s: -means[s])]:
                if s is not None:
                    x[:, torch.as_tensor(cut[k] == s)] = X[k].mean((1, 2))[:, None]
                left.append(float(torch.softmax(model(x[None]), 1)[0, Y[k]]))
        np.testing.assert_allclose(found.curves[k], np.minimum(np.array(left) / left[0], 1), rtol=1e-5)


def test_irof_and_quantus_agree_where_they_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantus gives L minus the area from the first removal on, unclipped, on superpixels of its own."""
    quantus = pytest.importorskip("quantus")
    from skimage.segmentation import slic

    monkeypatch.setattr(np, "trapz", area, raising=False)  # Quantus 0.6 asks for it, NumPy 2.4 has it no more
    model, x = seeded(Rectified), torch.cat([X, X + 0.3])
    y, maps = np.array([0, 2, 1, 1, 0, 2]), np.random.default_rng(3).random((6, 12, 12))
    cut = np.stack([slic(np.moveaxis(i.double().numpy(), 0, -1), start_label=0) for i in x])

    def own_mean(arr: np.ndarray, mask: np.ndarray, **_: Any) -> np.ndarray:
        whole = x.mean((2, 3), keepdim=True).expand_as(x).numpy()
        return np.where(mask, whole, arr)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = quantus.IROF(
            perturb_func=own_mean, return_aggregate=False, normalise=False, disable_warnings=True
        )
        theirs = metric(model, x.numpy(), y, maps[:, None], device="cpu", softmax=True)
    found = irof(model, x, y, maps, segments=cut)
    for k, curve in enumerate(found.curves):
        steps = len(curve) - 1
        if (curve[1:] < 1).all():  # nowhere cut to 1
            np.testing.assert_allclose(theirs[k], steps - area(curve[1:]), rtol=1e-4)
    assert sum((curve[1:] < 1).all() for curve in found.curves) >= 1


def test_superpixels_cut_along_what_is_seen() -> None:
    image = torch.zeros(1, 1, 20, 20)
    image[..., 10:] = 1
    cut = superpixels(image, 4)
    left, right = set(cut[0, :, :10].ravel()), set(cut[0, :, 10:].ravel())
    assert not left & right, "no superpixel is on both sides of the edge"
    assert sorted(left | right) == list(range(len(left | right)))
    assert superpixels(torch.rand(2, 3, 24, 24), 16).shape == (2, 24, 24)
    with pytest.raises(ArgumentError, match="2 or more"):
        superpixels(image, 1)


input_x_gradient = ATTRIBUTION_METHODS["Input x Gradient"]


def test_lipschitz_of_a_linear_method_is_a_known_quotient() -> None:
    """Without normalisation, input x gradient of a linear network is linear: the quotients by hand."""
    model = seeded(Linear)
    found = local_lipschitz(model, X, Y, input_x_gradient, runs=7, noise=0.2, normalise=None, seed=4)
    generator, w, largest = torch.Generator().manual_seed(4), weights_of(model), np.zeros(3)
    for _ in range(7):
        step = 0.2 * torch.randn(X.shape, generator=generator, dtype=torch.float64)
        d = (X + step.float() - X).double().numpy()
        moved = np.sqrt(((w * d).sum(axis=1) ** 2).sum(axis=(1, 2)))
        largest = np.maximum(largest, moved / np.sqrt((d * d).sum(axis=(1, 2, 3))))
    np.testing.assert_allclose(found, largest, rtol=1e-4)


def test_lipschitz_where_every_direction_has_the_same_constant() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 12, bias=False), nn.Flatten())
    model[0].weight.data = 0.3 * torch.sign(torch.randn(2, 1, 12, 12))
    x, y = images(4, 1, 12), np.array([0, 1, 1, 0])
    found = local_lipschitz(model, x, y, input_x_gradient, runs=3, normalise=None)
    np.testing.assert_allclose(found, 0.3, rtol=1e-4)
    # A gradient that is the same everywhere does not move at all.
    assert not local_lipschitz(model, x, y, ATTRIBUTION_METHODS["Saliency"], runs=3, normalise=None).any()


def test_lipschitz_is_the_same_whatever_a_method_s_scale_and_offset() -> None:
    model = seeded(Rectified)
    scaled = as_method(lambda m, x, y, s: 1e5 * torch.as_tensor(input_x_gradient(m, x, y, s)) - 33)
    plain = local_lipschitz(model, X, Y, input_x_gradient, runs=4)
    np.testing.assert_allclose(local_lipschitz(model, X, Y, scaled, runs=4), plain, rtol=1e-6)
    more = local_lipschitz(model, X, Y, input_x_gradient, runs=8)
    assert (more >= plain).all(), "the first runs' noise is the same"
    with pytest.raises(ArgumentError, match="noise"):
        local_lipschitz(model, X, Y, input_x_gradient, noise=0.0)
    with pytest.raises(ArgumentError, match="runs"):
        local_lipschitz(model, X, Y, input_x_gradient, runs=0)


def test_lipschitz_and_quantus_agree() -> None:
    quantus = pytest.importorskip("quantus")
    model, runs = seeded(Rectified), 5
    generator = torch.Generator().manual_seed(0)
    steps = [
        0.1 * torch.randn(X.shape, generator=generator, dtype=torch.float64).float() for _ in range(runs)
    ]
    left = list(steps)

    def explained(model: Any, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        given = torch.as_tensor(inputs).float().reshape(X.shape)
        return normalised(input_x_gradient(seeded(Rectified), given, targets, 0))[:, None]

    def perturbed(arr: np.ndarray, **_: Any) -> np.ndarray:
        return arr + left.pop(0).reshape(arr.shape).numpy()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = quantus.LocalLipschitzEstimate(
            nr_samples=runs, perturb_func=perturbed, norm_numerator=quantus.distance_euclidean,
            norm_denominator=quantus.distance_euclidean, normalise=False, return_aggregate=False,
            disable_warnings=True, return_nan_when_prediction_changes=False,
        )  # fmt: skip
        theirs = metric(model, X.numpy(), Y, explain_func=explained, device="cpu")
    ours = local_lipschitz(model, X, Y, input_x_gradient, runs=runs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_bad_maps_and_segments_are_refused() -> None:
    model, maps = seeded(Rectified), np.zeros((3, 12, 12))
    with pytest.raises(ArgumentError, match=r"maps must be finite numbers of shape \(3, 12, 12\)"):
        irof(model, X, Y, maps[:2])
    with pytest.raises(ArgumentError, match="segments must be whole numbers"):
        irof(model, X, Y, maps, segments=np.zeros((3, 12, 12)))
    with pytest.raises(ArgumentError, match="image 0 is a single superpixel"):
        irof(model, X, Y, maps, segments=np.zeros((3, 12, 12), int))
    with pytest.raises(ArgumentError, match="class 3 does not exist"):
        irof(model, X, np.array([0, 3, 1]), maps, n_segments=9)
