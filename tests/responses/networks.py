"""Small networks that the tests of responses, equations and importance share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def plain() -> nn.Sequential:
    """Two convolutions with in-place activations and a classifier."""
    return _settled(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 5, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(5, 4),
        )
    )


class Residual(nn.Module):
    """A residual addition, a depthwise convolution and a grouped one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.left = nn.Conv2d(8, 6, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 12, 1, groups=4)
        self.head = nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.branch(x))
        y = F.relu(self.grouped(F.relu(self.depthwise(x))))
        z = torch.cat([F.relu(self.left(x)), y], dim=1)
        return self.head(z.mean((2, 3)))


def residual() -> Residual:
    return _settled(Residual())


def images(n: int, seed: int = 0, size: int = 8) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def labels(n: int, classes: int = 4, seed: int = 1) -> Tensor:
    return torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))


def batches_of(n: int, size: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    return list(zip(images(n, seed).split(size), labels(n).split(size), strict=True))


def _settled(model: nn.Module) -> nn.Module:
    """Weights and normalisation statistics from a seed, in training mode as users leave models."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data.normal_(generator=generator)
        if parameter.ndim > 1:
            parameter.data /= parameter[0].numel() ** 0.5
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model.train()
