"""A guess at the images a network takes, before it has seen any."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from causal_widget import CausalCNNExplainer
from causal_widget.errors import ArgumentError, UnsupportedModelError
from causal_widget.explainer import guess_example
from tests.interventions.networks import fingerprint


def lenet(channels: int, size: int, padding: int) -> nn.Module:
    side = ((size + 2 * padding - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * side * side, 10),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lenet(3, 32, 0), (1, 3, 32, 32)),
        (lenet(1, 28, 2), (1, 1, 28, 28)),
        (lenet(12, 64, 0), (1, 12, 64, 64)),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)), (1, 1, 8, 8)),
        (torchvision.models.resnet18(num_classes=10), (1, 3, 32, 32)),
        (lenet(1, 28, 2).double(), (1, 1, 28, 28)),
    ],
)
def test_the_only_size_that_fits_is_found(model: nn.Module, shape: tuple[int, ...]) -> None:
    before = fingerprint(model.train())
    example = guess_example(model)
    assert tuple(example.shape) == shape
    assert example.dtype == next(model.parameters()).dtype
    assert fingerprint(model) == before
    assert len(CausalCNNExplainer(model, "cpu").dag) == len(
        [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    )


def test_no_size_fits() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(7, 2))
    explainer = CausalCNNExplainer(model)
    with pytest.raises(ArgumentError, match=r"give example=.* Of 32 it said RuntimeError: .*7x2"):
        _ = explainer.graph
    with pytest.raises(UnsupportedModelError, match="no convolution"):
        guess_example(nn.Linear(2, 2))


def test_an_odd_size_is_taken_from_the_images() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 9 * 5, 2)).eval()
    x: Tensor = torch.randn(20, 1, 11, 7, generator=torch.Generator().manual_seed(0))
    explainer = CausalCNNExplainer(model, "cpu")
    explainer.collect_data([x])
    assert explainer.graph.example_shape == (1, 11, 7)


class Answering(nn.Module):
    def __init__(self, answer: object) -> None:
        super().__init__()
        self.conv, self.answer = nn.Conv2d(3, 2, 3), answer

    def forward(self, x: Tensor) -> object:
        logits = self.conv(x).mean((2, 3))
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"tuple": (logits, logits), "dict": {"logits": logits}, "squeezed": logits[0]}[
            str(self.answer)
        ]


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ("tuple", UnsupportedModelError, "got tuple"),
        ("dict", UnsupportedModelError, "got dict"),
        ("squeezed", UnsupportedModelError, r"got \(2,\)"),
        (KeyError("my own bug"), ArgumentError, "KeyError: 'my own bug'"),
    ],
)
def test_a_network_that_gives_no_logits_or_raises_is_told_so(
    answer: object, error: type[Exception], says: str
) -> None:
    model = Answering(answer).train()
    with pytest.raises(error, match=says):
        _ = CausalCNNExplainer(model).graph
    assert model.training
