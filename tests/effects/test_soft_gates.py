"""Gradients through soft gates: against the formula in NumPy, image by image, and against real effects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from causal_widget.effects.cutting import CutModel
from causal_widget.effects.cutting.soft_gates import WIDTH, soft_gates
from causal_widget.graph import trace
from tests.interventions.networks import seeded

PLACE = ("a", "conv")


class Relus(nn.Module):
    """Every way to write a ReLU; all but the last see positive values, on which it does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.relu, self.inplace = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inplace(self.relu(self.a(x)))
        x = torch.relu_(torch.relu(x))
        return self.fc(F.relu(x.relu().relu_().mean((2, 3))))  # type: ignore[no-any-return]


class One(nn.Module):
    """One ReLU between two linear maps."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.a(x)).mean((2, 3)))  # type: ignore[no-any-return]


def slope(model: nn.Module, x: Tensor, soft: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Values at the place, logits, and the gradient of the first logit."""
    cut = CutModel.of(model, trace(model, x[:1]))
    assert isinstance(cut, CutModel)
    with cut.run(x, [PLACE], grad=True, soft=soft) as state:
        values = state.value(*PLACE)
        (found,) = torch.autograd.grad(state.logits[:, 0].sum(), [values])
        return values.detach(), state.logits.detach(), found


def images(n: int) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_the_gate_is_the_formula_and_the_values_are_the_networks() -> None:
    model, x = seeded(One).double(), images(6)
    x[2] = 0.0
    values, logits, found = slope(model, x, soft=True)
    with torch.no_grad():
        torch.testing.assert_close(logits, model(x), rtol=0, atol=0)
    v, weight = values.numpy(), model.fc.weight[0].detach().numpy()
    for i, one in enumerate(v):
        spread = WIDTH * np.sqrt(np.mean(one**2))
        gate = np.clip(0.5 + one / (2 * np.sqrt(3) * spread), 0, 1)
        np.testing.assert_allclose(found[i], gate * weight[:, None, None] / 36, rtol=1e-9, atol=1e-12)
    assert ((found != 0) & (values < 0)).any()


def test_an_image_does_not_depend_on_those_beside_it() -> None:
    model, x = seeded(One).double(), images(6)
    _, _, together = slope(model, x, soft=True)
    _, _, alone = slope(model, x[3:4], soft=True)
    np.testing.assert_allclose(alone[0], together[3], rtol=1e-12, atol=1e-15)


def test_every_way_to_write_a_relu_is_found() -> None:
    model, x = seeded(Relus).double(), images(2)
    cut = CutModel.of(model, trace(model, x[:1]))
    assert isinstance(cut, CutModel)
    assert len(soft_gates(cut.program)) == 7
    _, logits, found = slope(model, x, soft=True)
    with torch.no_grad():
        torch.testing.assert_close(logits, model(x), rtol=0, atol=0)
    assert found.shape == (2, 4, 6, 6)
    assert bool(found.isfinite().all())


def test_values_that_are_all_zero_pass_half() -> None:
    model, x = seeded(One).double(), images(2)
    with torch.no_grad():
        model.a.weight.zero_()
        model.a.bias.zero_()  # type: ignore[union-attr]
    _, _, found = slope(model, x, soft=True)
    np.testing.assert_allclose(
        found, 0.5 * model.fc.weight[0].detach()[None, :, None, None].expand(2, 4, 6, 6) / 36
    )


@pytest.mark.parametrize("seed", range(3))
def test_differences_of_relu_are_met_better(seed: int) -> None:
    """Pushed by random amounts of about the width, sums of ReLUs change as the soft gates say, on average."""
    model, drawn = seeded(One).double(), torch.Generator().manual_seed(seed)
    cut = CutModel.of(model, trace(model, images(1)))
    assert isinstance(cut, CutModel)
    (relu,) = soft_gates(cut.program).values()
    values = torch.randn(2000, 200, generator=drawn, dtype=torch.float64, requires_grad=True)
    (gate,) = torch.autograd.grad(relu(values).sum(), [values])
    values = values.detach()
    pushed = WIDTH * torch.randn(2000, 200, generator=drawn, dtype=torch.float64)
    true = (torch.relu(values + pushed) - torch.relu(values)).sum(1)
    soft, hard = (gate * pushed).sum(1), ((values > 0) * pushed).sum(1)
    assert float((true - soft).var()) < 0.8 * float((true - hard).var())
