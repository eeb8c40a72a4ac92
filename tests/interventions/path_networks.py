"""Small networks through which a path leads in unlike ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Flat(nn.Module):
    """LeNet-like: a convolution, pooling, flatten, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc1, self.fc2 = nn.Linear(4 * 25, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv(x)), 2).flatten(1)
        return self.fc2(torch.tanh(self.fc1(x)))


class Concatenated(nn.Module):
    """DenseNet-like: two branches are concatenated, normalised and read by one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1)
        self.bn, self.mix, self.fc = nn.BatchNorm2d(9), nn.Conv2d(9, 6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([functional.relu(self.left(x)), self.right(x)], 1)
        return self.fc(functional.relu(self.mix(functional.relu(self.bn(both)))).mean((2, 3)))


class LinearSum(nn.Module):
    """Like MobileNetV2: what is added has no nonlinearity of its own, and the next layer reads the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.bn, self.next, self.fc = nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.next(self.bn(self.a(x)) + functional.relu(self.b(x))))
        return self.fc(x.mean((2, 3)))


class OwnAndShared(nn.Module):
    """What one branch gives is read beside, and within, its sum with another."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.bn, self.next, self.fc = nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), functional.relu(self.b(x))
        x = self.next(self.bn(torch.cat([a, a + b], 1)))
        return self.fc(functional.relu(x).mean((2, 3)))


class Gated(nn.Module):
    """Squeeze and excitation: a channel carries its filter times a gate that all filters decide on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down, self.up = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), nn.Linear(2, 4)
        self.next, self.fc = nn.Conv2d(4, 5, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv(x))
        gate = torch.sigmoid(self.up(functional.relu(self.down(x.mean((2, 3))))))
        return self.fc(functional.relu(self.next(x * gate[:, :, None, None])).mean((2, 3)))


class Odd(nn.Module):
    """Convolutions with every option: strings, reflection, dilation, stride, groups, transposed, 1-d."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 4, 3, padding="same", dilation=2)
        self.reflect = nn.Conv2d(4, 6, 3, stride=2, padding=(1, 2), padding_mode="reflect", groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.line = nn.Conv1d(4, 5, 3, padding=1)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.same(x))
        x = functional.relu(self.reflect(x))
        x = functional.relu(self.up(x))
        return self.fc(functional.relu(self.line(x.flatten(2))).mean(2))
