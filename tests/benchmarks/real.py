"""The real networks and images of ../shared/data, where they are."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks.harness import ROOT

DATA = ROOT.parent / "shared" / "data"


def there() -> bool:
    """Whether they are there; says so where they are not."""
    found = (DATA / "models.py").is_file()
    if not found:
        print(f"skipped: no real networks, {DATA / 'models.py'} is missing")
    return found


def network(name: str, file: str, n: int | None = None) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network, and the first images and labels of a file as it takes them."""
    spec = importlib.util.spec_from_file_location("shared_data_models", DATA / "models.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model, mean, std = module.load(name)
    found = np.load(DATA / file, allow_pickle=False)
    labels = torch.as_tensor(found["labels"][:n]).long()
    return model.eval(), module.normalise(found["images"][:n], mean, std), labels
