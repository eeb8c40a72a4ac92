"""Every method by what it must give on networks whose answer is known."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, DataError, NonFiniteError, UnsupportedModelError
from causal_widget.evaluation.attributions import (
    ATTRIBUTION_METHODS,
    CONTROLS,
    MissingLibraryError,
    as_method,
    normalised,
    rise_with,
)
from causal_widget.evaluation.attributions.method import map_with
from causal_widget.evaluation.attributions.perturbations import random_masks
from tests.effects.cut_networks import Gated
from tests.interventions.networks import Functional, Grouped, Plain, Residual, fingerprint, images, seeded

X, Y = images(3, 2, 12), np.array([0, 2, 1])
RELU_ONLY = ("Deconvolution", "Guided Backprop")


class Linear(nn.Module):
    """Logits that are linear in the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 12, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(1)


class Rectified(nn.Module):
    """Two convolutions with ReLU modules, so that every method is defined on it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1, self.conv2, self.relu2 = (
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(5 * 25, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.fc(self.pool(x).flatten(1))


def weights_of(model: nn.Module) -> np.ndarray:
    return model.conv.weight.detach().double().numpy()[Y]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ATTRIBUTION_METHODS)
def test_one_path_for_all(name: str) -> None:
    model, method = seeded(Rectified).train(), ATTRIBUTION_METHODS[name]
    before = fingerprint(model)
    found = method(model, X, Y, 3)
    assert found.shape == (3, 12, 12)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(method(model, X, torch.tensor(Y), 3), found, "the same seed, the same map")
    alone = np.concatenate([method(model, X[k : k + 1], Y[k : k + 1], 3) for k in range(3)])
    np.testing.assert_allclose(alone, found, rtol=1e-4, atol=1e-6 * np.abs(found).max())
    assert fingerprint(model) == before


EXPECTED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Saliency": lambda w, x: np.abs(w).max(axis=1),
    "Input x Gradient": lambda w, x: (w * x).sum(axis=1),
    "Integrated Gradients": lambda w, x: (w * (x - x.mean(axis=(2, 3), keepdims=True))).sum(axis=1),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_on_a_linear_network_gradients_are_its_weights(name: str) -> None:
    model = seeded(Linear)
    found = ATTRIBUTION_METHODS[name](model, X, Y, 0)
    np.testing.assert_allclose(found, EXPECTED[name](weights_of(model), X.double().numpy()), atol=1e-5)


def test_gradient_shap_averages_the_way_from_the_mean_with_noise() -> None:
    model, x = seeded(Linear), X.double().numpy()
    mean = np.mean([ATTRIBUTION_METHODS["GradientSHAP"](model, X, Y, seed) for seed in range(30)], axis=0)
    expected = (weights_of(model) * (x - x.mean(axis=(2, 3), keepdims=True))).sum(axis=1)
    np.testing.assert_allclose(mean, expected, atol=0.03)


def test_occlusion_is_the_mean_loss_over_the_windows_that_hide_a_pixel() -> None:
    model, x = seeded(Linear), X.double().numpy()
    lost = (weights_of(model) * (x - x.mean(axis=(2, 3), keepdims=True))).sum(axis=1)
    expected, counts = np.zeros((3, 12, 12)), np.zeros((12, 12))
    for top in range(10):  # windows of 3 x 3, one pixel apart
        for left in range(10):
            window = np.s_[..., top : top + 3, left : left + 3]
            expected[window] += lost[window].sum(axis=(1, 2))[:, None, None]
            counts[window] += 1
    np.testing.assert_allclose(ATTRIBUTION_METHODS["Occlusion"](model, X, Y, 0), expected / counts, atol=1e-4)


def test_rise_weighs_masks_by_the_probability_behind_them() -> None:
    model = seeded(Rectified)
    masks = random_masks(40, 4, 0.3, (12, 12), torch.Generator().manual_seed(5))
    expected = np.zeros((3, 12, 12))
    with torch.no_grad():
        for mask in masks:
            for k in range(3):
                hidden = X[k].mean((1, 2), keepdim=True)
                p = torch.softmax(model((X[k] * mask + hidden * (1 - mask))[None]), 1)[0, Y[k]]
                expected[k] += float(p) * mask.double().numpy() / (40 * 0.3)
    np.testing.assert_allclose(rise_with(40, 4, 0.3)(model, X, Y, 5), expected, atol=1e-5)


def test_rise_masks_keep_the_share_that_is_asked() -> None:
    masks = random_masks(4000, 5, 0.3, (23, 17), torch.Generator().manual_seed(0))
    assert masks.shape == (4000, 23, 17)
    assert 0 <= masks.min() < masks.max() < 1 + 1e-6
    assert abs(float(masks[:, 6:-6, 5:-5].mean()) - 0.3) < 0.01
    with pytest.raises(ArgumentError, match="kept=1"):
        rise_with(kept=1)


def relu_gradient(model: nn.Module, rule: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
    """Gradient of Rectified by hand, the backward pass of each ReLU replaced."""
    c1, c2 = model.conv1, model.conv2
    with torch.no_grad():
        a = c1(X)
        b = c2(a.clamp(min=0))
    tail = b.clamp(min=0).requires_grad_()
    logits = model.fc(nn.functional.max_pool2d(tail, 2).flatten(1))
    (grad,) = torch.autograd.grad(logits[torch.arange(3), torch.tensor(Y)].sum(), tail)
    back = nn.functional.conv_transpose2d(rule(grad, b), c2.weight)
    return (
        nn.functional.conv_transpose2d(rule(back, a), c1.weight, padding=1).detach().sum(1).double().numpy()
    )


def test_deconvolution_and_guided_backprop_rectify_on_the_way_back() -> None:
    model = seeded(Rectified)
    deconvolved = relu_gradient(model, lambda grad, value: grad.clamp(min=0))
    guided = relu_gradient(model, lambda grad, value: grad.clamp(min=0) * (value > 0))
    np.testing.assert_allclose(ATTRIBUTION_METHODS["Deconvolution"](model, X, Y, 0), deconvolved, atol=1e-5)
    np.testing.assert_allclose(ATTRIBUTION_METHODS["Guided Backprop"](model, X, Y, 0), guided, atol=1e-5)
    assert np.abs(deconvolved - guided).max() > 0.01


@pytest.mark.parametrize("name", RELU_ONLY)
@pytest.mark.parametrize("build", [Functional, Plain, Grouped])
def test_activations_that_captum_passes_over_are_refused(name: str, build: Callable[[], nn.Module]) -> None:
    model, x = seeded(build), images(2)
    if build is Plain:
        ATTRIBUTION_METHODS[name](model, x, np.array([0, 1]), 0)
        return
    with pytest.raises(UnsupportedModelError, match=r"activations, of which \d+ are such modules"):
        ATTRIBUTION_METHODS[name](model, x, np.array([0, 1]), 0)


def winners(model: nn.Module) -> np.ndarray:
    """Excitation Backprop of Rectified, layer by layer, in NumPy and plain loops over weights."""

    def below(won: Tensor, module: nn.Module, given: Tensor) -> Tensor:
        w, x = module.weight, given
        excited = [(x.clamp(min=0), w.clamp(min=0)), (x.clamp(max=0), w.clamp(max=0))]
        if isinstance(module, nn.Linear):
            total = sum(a @ b.T for a, b in excited)
            return sum(a * ((won / total.clamp(min=1e-12)) @ b) for a, b in excited)
        pad = module.padding
        total = sum(nn.functional.conv2d(a, b, padding=pad) for a, b in excited)
        share = torch.where(total > 0, won / total.clamp(min=1e-12), 0)
        return sum(a * nn.functional.conv_transpose2d(share, b, padding=pad) for a, b in excited)

    with torch.no_grad():
        a = model.conv1(X).clamp(min=0)
        b = model.conv2(a).clamp(min=0)
        pooled, at = nn.functional.max_pool2d(b, 2, return_indices=True)
        won = nn.functional.one_hot(torch.tensor(Y), 3).float()
        won = below(won, model.fc, pooled.flatten(1)).view_as(pooled)
        won = nn.functional.max_unpool2d(won, at, 2, output_size=b.shape[-2:])
        return below(below(won, model.conv2, a), model.conv1, X).sum(1).double().numpy()


def test_excitation_backprop_is_its_paper_s_recursion() -> None:
    model = seeded(Rectified)
    np.testing.assert_allclose(
        ATTRIBUTION_METHODS["Excitation Backprop"](model, X, Y, 0), winners(model), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("build", [Plain, Residual])
def test_excitation_backprop_shares_out_one_winner_and_no_more(build: Callable[[], nn.Module]) -> None:
    """Through folded BatchNorm, sums of branches and averages, the winners' probabilities add to one."""
    model, x = seeded(build), images(6)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight.data.abs_()
        elif getattr(module, "bias", None) is not None:
            module.bias.data.zero_()  # what is positive by its bias alone has nothing below that excites it
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
    found = ATTRIBUTION_METHODS["Excitation Backprop"](model, x, np.zeros(6, int), 0)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, atol=2e-3)
    assert found.min() > -1e-6


def test_excitation_backprop_refuses_gates() -> None:
    with pytest.raises(UnsupportedModelError, match="multiplies activations"):
        ATTRIBUTION_METHODS["Excitation Backprop"](seeded(Gated), images(2), np.array([0, 1]), 0)


def test_controls_know_nothing() -> None:
    image, random, constant = (ATTRIBUTION_METHODS[name] for name in CONTROLS)
    model = seeded(Linear)
    one, other = random(model, X, Y, 0), random(model, X + 0.001, Y, 0)
    assert np.abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.15
    assert np.abs(np.corrcoef(one.ravel(), random(model, X, Y, 1).ravel())[0, 1]) < 0.15
    assert np.ptp(constant(model, X, Y, 0)) == 0
    contrast = (X - X.mean((2, 3), keepdim=True)).abs().sum(1).numpy()
    np.testing.assert_allclose(image(model, X, Y, 0), contrast, rtol=1e-5)


def test_maps_are_normalised_alike() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 5, 4))
    found = normalised(maps)
    np.testing.assert_allclose(found.mean(axis=(1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose((found**2).sum(axis=(1, 2)), 1)
    np.testing.assert_allclose(normalised(1e6 * maps + 40), found, atol=1e-9)
    assert not normalised(np.full((2, 5, 4), 0.1)).any()


def test_bad_input() -> None:
    model, method = seeded(Linear), ATTRIBUTION_METHODS["constant"]
    with pytest.raises(ArgumentError, match="a class an image"):
        method(model, X, Y[:2], 0)
    with pytest.raises(ArgumentError, match="a class an image"):
        method(model, X, Y / 2, 0)
    with pytest.raises(DataError, match="float tensor"):
        method(model, X[0], Y, 0)
    with pytest.raises(NonFiniteError):
        method(model, X * torch.nan, Y, 0)
    with pytest.raises(DataError, match=r'"mine" must give maps of shape \(3, 12, 12\), got \(3,\)'):
        map_with("mine", lambda *_: np.zeros(3), model, X, Y, 0)
    with pytest.raises(NonFiniteError, match='"mine"'):
        map_with("mine", as_method(lambda m, x, y, s: x * torch.inf), model, X, Y, 0)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("captum.attr", "zennit.composites"):
        monkeypatch.setitem(sys.modules, module, None)
    for name in ("Saliency", "Occlusion", "Excitation Backprop"):
        with pytest.raises(MissingLibraryError, match=r'pip install "causal_widget\[evaluate\]"'):
            ATTRIBUTION_METHODS[name](seeded(Rectified), X, Y, 0)
    assert issubclass(MissingLibraryError, ImportError)
