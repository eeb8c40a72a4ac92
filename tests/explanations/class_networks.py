"""Networks by hand, of which it is known which units reach a class and which hurt it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


def _set(layer: nn.Module, weight: list[list[float]], bias: float = 0.0) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight).reshape(layer.weight.shape))
        if layer.bias is not None:
            layer.bias.fill_(bias)


class Known(nn.Module):
    """Two convolutions and a linear layer on positive images of one channel.

    Class 0 stands on second[0], and second[1] hurts it; second[2] is class 1's, second[3] nobody's. Of what
    second[0] reads, first[0] and first[1] raise it and first[4] lowers it; first[2] is read by nobody and
    first[3] by second[2] alone.
    """

    CRITICAL: ClassVar = {"first": (0, 1), "second": (0,)}
    DETRIMENTAL: ClassVar = {"first": (4,), "second": (1,)}

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.fc = nn.Conv2d(1, 5, 1), nn.Conv2d(5, 4, 1), nn.Linear(4, 2)
        _set(self.first, [[1.0], [2.0], [1.5], [1.0], [1.0]])
        _set(
            self.second,
            [[1, 1, 0, 0, -0.5], [1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [1, 1, 0, 0, 0]],
            0.1,
        )
        _set(self.fc, [[1, -0.5, 0, 0], [0, 0, 1, 0]])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


class KnownSum(nn.Module):
    """A branch added to its own input; each class reads one channel of the sum.

    Class 0 reads stem[0] past the branch and branch[0], which reads stem[1] and, as a hindrance, stem[2].
    stem[3] and branch[3] are class 1's: they are on the way of its channel alone.
    """

    CRITICAL: ClassVar = {"stem": (0, 1), "branch": (0,)}
    DETRIMENTAL: ClassVar = {"stem": (2,)}

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch, self.fc = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)
        _set(self.stem, [[1.0], [1.0], [1.0], [1.0]])
        _set(self.branch, [[0, 1, -0.4, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        _set(self.fc, [[1, 0, 0, 0], [0, 0, 0, 1]])

    def forward(self, x: Tensor) -> Tensor:
        stem = torch.relu(self.stem(x))
        return self.fc((stem + torch.relu(self.branch(stem))).mean((2, 3)))


class Signed(nn.Module):
    """Linear: what a unit does to a class is minus its weight times its value, of either sign."""

    def __init__(self, inputs: int = 8, units: int = 12) -> None:
        super().__init__()
        self.conv, self.mix, self.fc = nn.Conv2d(inputs, units, 1), nn.Conv2d(units, 6, 1), nn.Linear(6, 2)
        for layer in (self.conv, self.mix, self.fc):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mix(self.conv(x)).flatten(1))


def positive(n: int = 80, seed: int = 0) -> Tensor:
    """Positive images of one channel."""
    return torch.rand(n, 1, 3, 3, generator=torch.Generator().manual_seed(seed)) + 0.5


def signals(n: int, seed: int, inputs: int = 8) -> tuple[Tensor, Tensor]:
    """Images whose mean tells their class, and the classes."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    shift = torch.ones(inputs)[None, :, None, None] * (2 * labels - 1)[:, None, None, None]
    return torch.randn(n, inputs, 1, 1, generator=draw) + 0.7 * shift, labels
