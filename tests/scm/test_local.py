"""Local coefficients against plain loops, finite differences, and networks known by construction."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from causal_widget.effects import effect_of
from causal_widget.errors import (
    ArgumentError,
    Cancelled,
    DataError,
    NonFiniteError,
    UnknownNameError,
)
from causal_widget.graph import FilterGraph, trace
from causal_widget.interventions import Intervention, intervene
from causal_widget.jobs import Progress
from causal_widget.scm.local import LocalCoefficients, local_bytes, local_coefficients, margin_of
from tests.interventions.networks import Functional, Plain, Residual, fingerprint, images, seeded

FAST = {"fractions": (0.0, 0.2), "passes": (1, 3)}


class Linear(nn.Module):
    """No nonlinearity: a convolution, a residual convolution, a concatenation, a pooling, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1)
        self.side, self.fc = nn.Conv2d(5, 4, 1), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        both = torch.cat([x + self.branch(x), self.side(x)], dim=1)
        return self.fc(both.mean((2, 3)))


class Product(nn.Module):
    """Three units with maps x1, x2, x3 that no unit reads but the output: x1 x2 + 3 x3, and its negative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 1, bias=False), nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None])
            self.fc.weight.copy_(torch.tensor([[1.0], [-1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = self.conv(x).mean((2, 3)).unbind(1)
        return self.fc((a * b + 3 * c)[:, None])


def true_change(model: nn.Module, graph: FilterGraph, one: Intervention, x: Tensor) -> np.ndarray:
    with intervene(model, graph, one):
        after = model(x)
    with torch.no_grad():
        return (after - model(x)).double().numpy()


@pytest.mark.parametrize(
    "one",
    [
        Intervention({"stem": [1]}),
        Intervention({"stem": [0, 2, 4]}),
        Intervention({"branch": [0, 3]}),
        Intervention({"side": [1, 2], "branch": [4]}),
        Intervention({"branch": [1, 2]}, 0.7),
        Intervention({"stem": [0, 1]}, scale=0.25),
    ],
    ids=repr,
)
def test_a_linear_network_is_foreseen_exactly(one: Intervention) -> None:
    """Units of one layer, or of layers that do not read each other, act linearly at any value."""
    model, x = seeded(Linear), images(6)
    graph = trace(model, x)
    found = local_coefficients(model, graph, x, outcomes="all", fractions=(0,), passes=1)
    np.testing.assert_allclose(found.predict(one), true_change(model, graph, one, x), atol=1e-5)


def test_an_empty_intervention_changes_nothing_exactly() -> None:
    model, x = seeded(Residual), images(3)
    found = local_coefficients(model, trace(model, x), x, outcomes="all", **FAST)
    assert (found.predict({}) == 0).all()
    assert (found.predict({"stem": [1]}, scale=1.0) == 0).all()
    assert (found.predict_masks(np.zeros((1, found.contexts.units), dtype=bool)) == 0).all()
    with torch.no_grad():
        np.testing.assert_allclose(found.logits, model(x), atol=1e-6)


def test_a_product_has_the_main_effects_that_enumeration_gives() -> None:
    """With one of three units silenced, y = s1 s2 x1 x2 + 3 s3 x3: dy/ds1 = s2 x1 x2, on average 2/3 x1 x2.

    Three passes go round all three sets, so the averages are exact.
    """
    model, values = Product().eval(), torch.tensor([[2.0, 5.0, -1.0], [1.0, -3.0, 4.0]])
    x = values[:, :, None, None].expand(2, 3, 4, 4).contiguous()
    found = local_coefficients(model, trace(model, x), x, outcomes=0, fractions=(0, 1 / 3), passes=(1, 3))
    product, third = values[:, 0] * values[:, 1], 3 * values[:, 2]
    plain = torch.stack([product, product, third], dim=1)
    mean = torch.stack([product * 2 / 3, product * 2 / 3, third], dim=1)
    np.testing.assert_allclose(found.scale[0, :, :, 0], plain, rtol=1e-5)
    np.testing.assert_allclose(found.scale[1, :, :, 0], mean, rtol=1e-5)
    # mean change over the three sets: -(x1 x2 + x1 x2 + 3 x3) / 3
    expected = -(2 * product + third) / 3 + mean.sum(1) / 3
    np.testing.assert_allclose(found.intercept[1, :, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(found.intercept[0], 0)


def test_foreseen_mean_over_all_sets_is_the_true_mean() -> None:
    """The intercept makes the prediction unbiased over the random sets that it was measured with."""
    model, x = Product().eval(), images(4)
    graph = trace(model, x)
    found = local_coefficients(model, graph, x, outcomes=0, fractions=(0, 1 / 3), passes=(1, 3))
    truth = [true_change(model, graph, Intervention({"conv": [u]}), x)[:, 0] for u in range(3)]
    foreseen = found.predict_masks(np.eye(3, dtype=bool))[..., 0]
    np.testing.assert_allclose(foreseen.mean(axis=1), np.mean(truth, axis=0), atol=1e-5)


def by_hand(model: nn.Module, x: Tensor, silenced: np.ndarray, outcome: int) -> tuple[np.ndarray, float]:
    """Plain's derivatives by its two layers' scales, from a forward pass written out anew."""
    scale = torch.tensor(~silenced, dtype=x.dtype, requires_grad=True)
    first, second = scale[:6].view(1, 6, 1, 1), scale[6:].view(1, 8, 1, 1)
    h = torch.relu(model.bn1(model.conv1(x))) * first
    h = torch.relu(model.bn2(model.conv2(nn.functional.max_pool2d(h, 2)))) * second
    value = model.fc(h.mean((2, 3)))[0, outcome]
    (gradient,) = torch.autograd.grad(value, scale)
    return gradient.numpy(), float(value.detach())


def test_a_plain_loop_over_images_and_sets_gives_the_same() -> None:
    """Plain has in-place activations, which the backward pass must survive."""
    model, x = seeded(Plain), images(3)
    found = local_coefficients(model, trace(model, x), x, outcomes=[2, 0], seed=5, **FAST)
    for image in range(3):
        sets = found.contexts.draw(1, 5, image)
        assert (sets.sum(axis=1) == round(0.2 * 14)).all()
        for k, outcome in enumerate((2, 0)):
            runs = [by_hand(model, x[image : image + 1], one, outcome) for one in sets]
            mean = np.mean([run[0] for run in runs], axis=0)
            np.testing.assert_allclose(found.scale[1, image, :, k], mean, atol=1e-5)
            plain, value = by_hand(model, x[image : image + 1], np.zeros(14, dtype=bool), outcome)
            np.testing.assert_allclose(found.scale[0, image, :, k], plain, atol=1e-5)
            change = np.mean([run[1] for run in runs]) - value
            expected = change + np.mean([mean[one].sum() for one in sets])
            np.testing.assert_allclose(found.intercept[1, image, k], expected, atol=1e-5)


@pytest.mark.parametrize("make", [Residual, Functional])
def test_derivatives_are_finite_differences(make: type[nn.Module]) -> None:
    model, x = seeded(make).double(), images(2).double()
    graph = trace(model, x)
    found = local_coefficients(model, graph, x, outcomes="all", fractions=(0,), passes=1)
    step = 1e-6
    for name, columns in found.columns.items():
        unit = (columns.stop - columns.start) // 2
        change = true_change(model, graph, Intervention({name: [unit]}, scale=1 - step), x) / -step
        np.testing.assert_allclose(
            found.scale[0, :, columns][:, unit], change, rtol=1e-3, atol=1e-4 * np.abs(change).max()
        )


def test_a_constant_is_foreseen_by_the_shift() -> None:
    """A map set to v everywhere: v times the derivative by a shift, less that by the scale."""
    model, x = seeded(Residual), images(2)
    found = local_coefficients(model, trace(model, x), x, outcomes="all", fractions=(0,), passes=1)
    at = found.columns["block1.conv1"].start + 2
    expected = 0.3 * found.shift[0, :, at] - found.scale[0, :, at]
    np.testing.assert_allclose(found.predict({"block1.conv1": [2]}, 0.3), expected, rtol=1e-5)


def test_sets_single_units_and_masks_agree() -> None:
    model, x = seeded(Residual), images(3)
    found = local_coefficients(model, trace(model, x), x, outcomes=[0, 3], fractions=(0, 0.1, 0.3), passes=2)
    masks = np.random.default_rng(0).random((5, found.contexts.units)) < 0.2
    foreseen = found.predict_masks(masks)
    for k, mask in enumerate(masks):
        units = {name: np.flatnonzero(mask[part]) for name, part in found.columns.items()}
        np.testing.assert_allclose(found.predict(units), foreseen[:, k], atol=1e-6)
        np.testing.assert_array_equal(found.mask(units), mask)
    singles = found.predict_masks(np.eye(found.contexts.units, dtype=bool))
    np.testing.assert_allclose(found.effects(), singles, atol=1e-6)
    table = found.table()
    assert list(table.columns) == ["layer", "unit", "class 0", "class 0 spread", "class 3", "class 3 spread"]
    np.testing.assert_allclose(table["class 3"], singles[..., 1].mean(axis=0), atol=1e-6)


def test_random_contexts_foresee_joint_interventions_better_than_the_gradient() -> None:
    """The reason to have them: half the variance, or less, of what the gradient leaves."""
    model, x = seeded(Residual), images(24)
    graph = trace(model, x)
    masks = np.zeros((12, 32), dtype=bool)
    plain = local_coefficients(model, graph, x, outcomes="all", fractions=(0,), passes=1)
    masks = np.random.default_rng(1).random((12, plain.contexts.units)) < 0.25
    better = local_coefficients(model, graph, x, outcomes="all", fractions=(0.25,), passes=16)
    truth = []
    for mask in masks:
        units = {name: np.flatnonzero(mask[part]) for name, part in plain.columns.items()}
        truth.append(true_change(model, graph, Intervention(units), x))
    expected = np.stack(truth, axis=1)
    errors = [((one.predict_masks(masks) - expected) ** 2).mean() for one in (plain, better)]
    assert errors[1] < errors[0] / 2


def test_true_class_and_margin() -> None:
    model, x = seeded(Residual), images(4)
    labels = torch.tensor([0, 4, 2, 2])
    graph = trace(model, x)
    found = local_coefficients(model, graph, (x, labels), outcomes=["true", "margin"], **FAST)
    every = local_coefficients(model, graph, x, outcomes="all", **FAST)
    rows = np.arange(4)
    np.testing.assert_allclose(
        found.scale[..., 0], every.scale[:, rows, :, labels].transpose(1, 0, 2), atol=1e-6
    )
    true = every.logits[rows, labels]
    others = every.logits.copy()
    others[rows, labels] = -np.inf
    np.testing.assert_allclose(found.values, np.stack([true, true - others.max(axis=1)], axis=1))
    rival = others.argmax(axis=1)
    expected = every.scale[0][rows, :, labels] - every.scale[0][rows, :, rival]
    np.testing.assert_allclose(found.scale[0, :, :, 1], expected, atol=1e-5)
    margins = margin_of(torch.from_numpy(every.logits), labels)
    assert ((margins > 0).numpy() == (every.logits.argmax(axis=1) == labels.numpy())).all()


def test_batches_do_not_matter() -> None:
    model, x = seeded(Residual), images(7)
    graph = trace(model, x)
    whole = local_coefficients(model, graph, x, outcomes=1, seed=3, **FAST)
    cut = local_coefficients(model, graph, [x[:3], x[3:]], outcomes=1, seed=3, batch_size=2, **FAST)
    np.testing.assert_allclose(cut.scale, whole.scale, atol=1e-6)
    np.testing.assert_allclose(cut.intercept, whole.intercept, atol=1e-6)
    other = local_coefficients(model, graph, x, outcomes=1, seed=4, **FAST)
    assert np.abs(other.scale[1] - whole.scale[1]).max() > 1e-4


def test_each_unit_is_silenced_equally_often() -> None:
    model, x = seeded(Residual), images(1)
    found = local_coefficients(model, trace(model, x), x, outcomes=0, fractions=(0.1,), passes=25)
    sets = found.contexts.draw(1, 0, 0)
    counts = sets.sum(axis=0)
    assert counts.max() - counts.min() <= 1
    assert (sets.sum(axis=1) == found.contexts.sizes[1]).all()


def test_fractions_that_make_equal_sets_become_one() -> None:
    model, x = seeded(Plain), images(1)
    found = local_coefficients(
        model, trace(model, x), x, outcomes=0, fractions=(0.01, 0.05, 0.3), passes=(2, 3, 1)
    )
    assert (found.contexts.sizes, found.contexts.passes) == ((0, 1, 4), (1, 5, 1))


def test_the_model_stays_as_it_is() -> None:
    model, x = seeded(Plain).train(), images(4)
    graph = trace(model, x)
    before = fingerprint(model)
    local_coefficients(model, graph, (x, torch.zeros(4, dtype=torch.long)), **FAST)
    assert fingerprint(model) == before
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        local_coefficients(model, graph, x, outcomes=0, progress=Progress(cancel=cancel), **FAST)
    assert fingerprint(model) == before


def test_progress_counts_images_times_passes() -> None:
    model, x = seeded(Plain), images(4)
    ticks = []
    told = Progress(listener=ticks.append, interval=0)
    found = local_coefficients(model, trace(model, x), x, outcomes=[0, 1], progress=told, **FAST)
    assert (ticks[-1].done, ticks[-1].total) == (16, 16)
    assert found.forward_equivalents == 4 * (1 + 2 * 2)
    assert found.nbytes == local_bytes(found.graph, 4, fractions=2, outcomes=2)


def test_it_says_itself() -> None:
    model, x = seeded(Plain), images(2)
    found = local_coefficients(model, trace(model, x), x, outcomes=[0], **FAST)
    assert repr(found).startswith("LocalCoefficients: 2 images, 14 units at activation, outcomes 0;")
    assert "0% (1), 20% (3); 12 forward passes an image" in repr(found)
    assert "<table" in found._repr_html_()


def test_loaders_and_effects_of_the_real_thing() -> None:
    """Single units of the last layer act linearly on the logits: foreseen as `effect_of` measures them."""
    model, x = seeded(Plain), images(8)
    graph = trace(model, x)
    loader = DataLoader(TensorDataset(x, torch.arange(8) % 4), batch_size=3)
    found = local_coefficients(model, graph, loader, outcomes="all", fractions=(0,), passes=1)
    effect = effect_of(model, graph, Intervention({"conv2": [5]}), loader)
    change = effect.after.logits - effect.before.logits
    np.testing.assert_allclose(found.predict({"conv2": [5]}), change, atol=1e-5)


@pytest.mark.parametrize(
    "changed, error, words",
    [
        ({"outcomes": "margni"}, UnknownNameError, 'Did you mean "margin"'),
        ({"outcomes": 9}, ArgumentError, "classes are 0 to 3"),
        ({"outcomes": []}, ArgumentError, "one or more"),
        ({"outcomes": [1, 1]}, ArgumentError, "each once"),
        ({"outcomes": "true"}, DataError, "needs labels"),
        ({"site": "activaton"}, UnknownNameError, "activation"),
        ({"fractions": (0, 1.0)}, ArgumentError, "below 1"),
        ({"fractions": (0.1, 0.1)}, ArgumentError, "each fraction once"),
        ({"passes": 0}, ArgumentError, "from 1"),
        ({"passes": (1, 2, 3)}, ArgumentError, "one for each of 2"),
        ({"seed": -1}, ArgumentError, "seed"),
        ({"batch_size": 0}, ArgumentError, "batch_size"),
    ],
    ids=str,
)
def test_bad_input_is_named(changed: dict[str, object], error: type[Exception], words: str) -> None:
    model, x = seeded(Plain), images(2)
    with pytest.raises(error, match=words):
        local_coefficients(model, trace(model, x), x, **{"outcomes": 0, **FAST, **changed})


def test_gradients_that_are_no_numbers_are_refused() -> None:
    model, x = seeded(Plain), images(3)
    graph = trace(model, x)
    with torch.no_grad():
        model.fc.weight[1, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="image 0"):
        local_coefficients(model, graph, x, outcomes=1, **FAST)


def test_bad_questions_are_named() -> None:
    model, x = seeded(Plain), images(2)
    found: LocalCoefficients = local_coefficients(model, trace(model, x), x, outcomes=0, **FAST)
    with pytest.raises(UnknownNameError, match='Did you mean "conv1"'):
        found.predict({"conv11": [0]})
    with pytest.raises(ArgumentError, match="outcome cannot be intervened on"):
        found.predict({"fc": [0]})
    with pytest.raises(ArgumentError, match='about site "activation"'):
        found.predict(Intervention({"conv1": [0]}, site="conv"))
    with pytest.raises(ArgumentError, match="boolean of shape"):
        found.predict_masks(np.zeros((2, 3)))
    with pytest.raises(UnknownNameError, match="only 0"):
        found.outcome("margin")
