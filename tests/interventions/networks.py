"""Small networks with unlike bones, and what a model looks like from outside."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Build with random weights and random BatchNorm statistics, so that nothing is zero or one by chance."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
                if module.affine:
                    nn.init.uniform_(module.weight, 0.5, 1.5)
                    nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


def images(n: int = 12, channels: int = 3, size: int = 12, seed: int = 1) -> Tensor:
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


class Plain(nn.Module):
    """VGG-like: convolution, BatchNorm, in-place ReLU, pooling."""

    def __init__(self, affine: bool = True) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = (
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6, affine=affine),
            nn.ReLU(True),
        )
        self.conv2, self.bn2, self.relu2 = nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(True)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.relu1(self.bn1(self.conv1(x))), 2)
        x = self.relu2(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = (
            nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
        )
        self.conv2, self.bn2, self.relu2 = (
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
        )
        self.down = nn.Sequential(nn.Conv2d(c_in, c_out, 1, 2, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + self.down(x))


class Residual(nn.Module):
    """A stem and two residual blocks with projections."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn, self.relu = (
            nn.Conv2d(3, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
        )
        self.block1, self.block2, self.fc = Block(4, 6), Block(6, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block2(self.block1(self.relu(self.bn(self.stem(x))))).mean((2, 3)))


class Grouped(nn.Module):
    """Grouped and depthwise convolutions with BatchNorm, ReLU6, no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 12, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(12), nn.ReLU6(),
        )  # fmt: skip
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Functional(nn.Module):
    """Functional activations, one convolution called twice, no BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.fc = (
            nn.Conv2d(3, 5, 3, padding=1),
            nn.Conv2d(5, 5, 3, padding=1),
            nn.Linear(5, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(x))
        x = functional.relu(self.twice(x))
        x = functional.relu(self.twice(x))
        return self.fc(x.mean((2, 3)))


class Known(nn.Module):
    """Logits are (mean of relu(x), mean of relu(-x)): every answer can be said by heart."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
            self.fc.weight.copy_(torch.eye(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


class FullyConvolutional(nn.Module):
    """Ends, like SqueezeNet, in a convolution with one filter a class."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1, self.conv2, self.relu2 = (
            nn.Conv2d(3, 6, 3),
            nn.ReLU(),
            nn.Conv2d(6, 4, 1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.relu2(self.conv2(self.relu1(self.conv1(x)))).mean((2, 3))


def fingerprint(model: nn.Module) -> dict[str, object]:
    """Everything that must not change: weights, buffers, flags, hooks, random states."""
    state = {
        f"state {name}": tensor.detach().clone().numpy().tobytes()
        for name, tensor in model.state_dict().items()
    }
    flags = {f"training {name}": module.training for name, module in model.named_modules()}
    hooks = {
        f"hooks {name}": tuple(
            tuple(getattr(module, table))
            for table in (
                "_forward_hooks",
                "_forward_pre_hooks",
                "_backward_hooks",
                "_forward_hooks_with_kwargs",
            )
        )
        for name, module in model.named_modules()
    }
    leaves = {f"grad {name}": (p.requires_grad, p.grad is None) for name, p in model.named_parameters()}
    chance = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "python": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
    }
    return {**state, **flags, **hooks, **leaves, **chance}
