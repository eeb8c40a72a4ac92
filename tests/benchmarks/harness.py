"""Networks, images, clocks and memory for the benchmarks; nothing here asserts on time."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
VGG19 = (64, 64, 0, 128, 128, 0, *[256] * 4, 0, *[512] * 4, 0, *[512] * 4, 0)


def vgg19_bn(classes: int = 10) -> nn.Sequential:
    """VGG-19-BN as used on CIFAR: 5,504 filters, one linear layer."""
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG19:
        if not width:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(nn.Sequential(*layers), nn.Flatten(), nn.Linear(channels, classes))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "ResNet-18, 64 x 64": (lambda: torchvision.models.resnet18(weights=None), 64, 1000),
    "ResNet-18, 224 x 224": (lambda: torchvision.models.resnet18(weights=None), 224, 1000),
    "VGG-19-BN, 32 x 32": (vgg19_bn, 32, 10),
}


class Images:
    """A loader of made images: patterns of unequal contrast under noise, the same at every pass."""

    def __init__(
        self, n_images: int, size: int, classes: int, batch: int = 64, distinct: int | None = 512
    ) -> None:
        self._n_images, self._batch = n_images, batch
        generator = torch.Generator().manual_seed(0)
        kept = min(n_images, distinct or n_images)
        coarse = (
            torch.randn(kept, 3, 4, 4, generator=generator)
            * torch.rand(kept, 1, 1, 1, generator=generator)
            * 2
        )
        smooth = nn.functional.interpolate(coarse, size=size, mode="bilinear")
        self._images = smooth + 0.3 * torch.randn(kept, 3, size, size, generator=generator)
        self._labels = torch.randint(0, classes, (kept,), generator=generator)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, self._n_images, self._batch):
            size = min(self._batch, self._n_images - first)
            rows = torch.arange(first, first + size) % len(self._images)
            yield self._images[rows], self._labels[rows]


def prepared(name: str, n_images: int, distinct: int | None = 512) -> tuple[nn.Module, Images]:
    """A network whose normalisation statistics fit its images, and the loader."""
    make, size, classes = NETWORKS[name]
    torch.manual_seed(0)
    model, loader = make(), Images(n_images, size, classes, distinct=distinct)
    with torch.no_grad():
        for (images, _), _ in zip(loader, range(4), strict=False):
            model.train()(images)
    return model.eval(), loader


def forward(model: nn.Module, loader: Images) -> None:
    """The bare forward pass over a loader."""
    with torch.no_grad():
        for images, _ in loader:
            model(images)


def seconds(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


def medians(runs: list[tuple[float, float]]) -> tuple[float, float]:
    """Median wall and processor seconds."""
    return statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


def peak_bytes() -> int:
    """Highest resident memory of this process, as Linux counts it for this program alone."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell the peak of resident memory")


def apart(module: str, *arguments: str, threads: int | None = None) -> Any:
    """Run a benchmark in a process of its own, which prints its result as JSON in the last line."""
    count = str(threads or os.cpu_count() or 1)
    environment = os.environ | {"OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(title: str, rows: list[dict[str, object]]) -> None:
    """Print a table."""
    print(f"\n{title}")
    names = list(rows[0])
    cells = [names] + [[_text(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
