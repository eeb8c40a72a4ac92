"""What every test may ask for: the real networks, the embedded demo, sane threads."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

# Before torch is imported: one thread a process, so that several test processes share the cores fairly.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder in which tests keep screenshots and logs for a person to look at."""
    folder = ROOT / "tests" / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real networks and images beside the repository; skips where it is missing."""
    folder = (ROOT.parent / "shared" / "data").resolve()
    if not (folder / "models.py").is_file():
        pytest.skip(f"no real networks: ../shared/data/models.py is missing beside {ROOT.name}")
    return folder


@pytest.fixture(scope="session")
def networks(shared_data: Path) -> ModuleType:
    """The module with ``load(name) -> (model, mean, std)`` and ``normalise(images, mean, std)``."""
    spec = importlib.util.spec_from_file_location("shared_data_models", shared_data / "models.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot read {shared_data / 'models.py'}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
