"""Networks of every family, small, with the sites at which a plain loop changes them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from tests.interventions.networks import Functional, Grouped, Plain, Residual, seeded


class Inception(nn.Module):
    """Branches that are concatenated, with in-place activations and a pooling branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.a, self.b1, self.b2, self.c = (
            nn.Conv2d(6, 4, 1),
            nn.Conv2d(6, 3, 1),
            nn.Conv2d(3, 5, 3, padding=1),
            nn.Conv2d(6, 2, 1),
        )
        self.bn, self.relu = nn.BatchNorm2d(11), nn.ReLU(inplace=True)
        self.last, self.fc = nn.Conv2d(11, 7, 3), nn.Linear(7 * 25, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 2)
        parts = [F.relu(self.a(x)), self.b2(torch.relu_(self.b1(x)))]
        parts.append(self.c(F.max_pool2d(x, 3, 1, 1)))
        x = self.relu(self.bn(torch.cat(parts, 1)))
        x = F.pad(x, (1, 0, 1, 0)) + 0.5
        return self.fc(torch.flatten(self.last(x), 1))


class InPlace(nn.Module):
    """Writes into tensors in every way, with the written tensor used on under its old name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(3, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
        )
        self.relu, self.drop, self.fc = nn.ReLU(inplace=True), nn.Dropout(0.5, inplace=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        self.relu(x)  # what it gives back is not used
        y = self.conv2(x).clamp_(-0.5, 2.0)
        y += x
        z = self.drop(self.conv3(y).mul_(2.0))
        z.add_(y, alpha=0.5)
        return self.fc(F.hardswish(z).mean((2, 3)))


class Shortcut(nn.Module):
    """A residual without projection or activation: every second pixel, channels padded with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, 2, 1)
        self.bn1, self.bn2, self.act = nn.BatchNorm2d(4), nn.BatchNorm2d(8), nn.PReLU(8)
        self.last, self.fc = nn.Conv2d(8, 6, 3, padding=1, padding_mode="reflect"), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.bn1(self.stem(x)))
        x = self.bn2(self.conv(x)) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return self.fc(F.adaptive_avg_pool2d(self.last(self.act(x)), 1).view(x.size(0), -1))


class Gated(nn.Module):
    """Squeeze-excitation, GroupNorm and a spatial gate; a grouped convolution after the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.up = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.norm, self.grouped, self.fc = nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 3, groups=2), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 8).view(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x)) * self.scale
        gate = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))
        x = self.norm(x * gate)
        x = F.relu(self.grouped(x * torch.sigmoid(x.amax(1, keepdim=True))))
        return self.fc(x.mean((2, 3)))


class Shuffled(nn.Module):
    """Halves, depthwise, concatenation and shuffle, as ShuffleNet does it; the batch size is read above."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep, self.point = (
            nn.Conv2d(3, 8, 3),
            nn.Conv2d(4, 4, 3, 1, 1, groups=4),
            nn.Conv2d(4, 4, 1),
        )
        self.wide, self.last, self.fc = nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(16, 5, 1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        x = F.relu(self.stem(x))
        left, right = x.chunk(2, 1)
        x = torch.cat([left, F.relu(self.point(self.deep(right)))], 1)
        x = x.view(n, 2, 4, x.shape[2], x.shape[3]).transpose(1, 2).flatten(1, 2)
        return self.fc(F.relu(self.last(self.wide(x))).mean((2, 3)).view(n, -1))


class Attended(nn.Module):
    """A linear layer over the last axis of a sequence, so that its units are not at axis 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix, self.fc = nn.Conv2d(3, 4, 3, 3), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        return self.fc(F.gelu(self.mix(tokens)).mean(1))


class Volumes(nn.Module):
    """Images as volumes: a convolution in three dimensions, and one in one."""

    def __init__(self) -> None:
        super().__init__()
        self.deep, self.norm, self.flat = nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.Conv1d(4, 5, 3)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.deep(x.unsqueeze(1)))).mean((2, 3))
        return self.fc(F.relu(self.flat(x)).amax(2))


def vision(name: str, **options: object) -> Callable[[], nn.Module]:
    """A torchvision model of ten classes, without weights."""
    return lambda: getattr(torchvision.models, name)(weights=None, num_classes=10, **options)


def narrow_vgg() -> nn.Module:
    """VGG-11-BN with a quarter of its channels; its pooling enlarges the maps before they are flattened."""
    plan: list[str | int] = [16, "M", 32, "M", 64, 64, "M", 128, 128, "M", 128, 128, "M"]
    model = torchvision.models.VGG(torchvision.models.vgg.make_layers(plan, batch_norm=True), num_classes=10)
    model.classifier[0], model.classifier[3] = nn.Linear(128 * 49, 40), nn.Linear(40, 30)
    model.classifier[6] = nn.Linear(30, 10)
    return model


MADE: dict[str, tuple[Callable[[], nn.Module], int]] = {
    made.__name__: (made, 12)
    for made in (
        *(Plain, Residual, Grouped, Functional),
        *(Inception, InPlace, Shortcut, Gated, Shuffled, Attended, Volumes),
    )
}
VISION: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (vision("resnet18"), 33),
    "vgg11_bn": (narrow_vgg, 32),
    "densenet": (
        lambda: torchvision.models.DenseNet(8, (2, 2), 12, num_classes=10),
        32,
    ),
    "googlenet": (vision("googlenet", aux_logits=False, init_weights=False), 32),
    "mobilenet_v2": (vision("mobilenet_v2", width_mult=0.25), 32),
    "squeezenet1_1": (vision("squeezenet1_1"), 33),
    "shufflenet": (vision("shufflenet_v2_x0_5"), 33),
    "mobilenet_v3_small": (vision("mobilenet_v3_small", width_mult=0.5), 33),
    "convnext": (
        lambda: torchvision.models.ConvNeXt(
            [
                torchvision.models.convnext.CNBlockConfig(8, 12, 1),
                torchvision.models.convnext.CNBlockConfig(12, None, 1),
            ],
            num_classes=10,
        ),
        32,
    ),
}


def network(name: str) -> tuple[nn.Module, int]:
    """A network in float64, so that rounding hides nothing, and the size of its images."""
    make, size = {**MADE, **VISION}[name]
    return seeded(make).double(), size
