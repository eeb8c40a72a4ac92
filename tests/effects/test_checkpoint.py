"""Runs that are cut short, in every way, go on to the bits of one without a break."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from causal_widget.effects.cutting import CutState
from causal_widget.effects.effects import Effects
from causal_widget.effects.plan import EffectPlan, plan_effects
from causal_widget.errors import ArgumentError, Cancelled, DataError
from causal_widget.jobs import Progress
from tests.interventions.networks import Plain, fingerprint, images, seeded

UNITS = {"conv1": [0, 2, 3], "conv2": [1, 5]}
WAYS: dict[str, dict[str, Any]] = {
    "exact": {},
    "controlled": {"exact": 40},
    "adaptive": {"precision": 1e-4},
    "top": {"top": 1, "by": "abs_loss"},
}


def model() -> nn.Module:
    return seeded(Plain)


def loader(n: int = 150) -> list[tuple[Tensor, Tensor]]:
    x = images(n)
    return list(zip(x.split(8), (torch.arange(n) % 4).split(8), strict=True))


def planned(way: str, source: Any = None, **options: Any) -> EffectPlan:
    settings = {"units": UNITS, "budget": 600_000, **WAYS[way], **options}
    return plan_effects(model(), loader() if source is None else source, **settings)


def same(one: Effects, two: Effects) -> bool:
    """Whether two results hold the same bits."""
    pairs = [(one.before.mean, two.before.mean), (one.before.squares, two.before.squares)]
    for layer in one.evidence:
        first, second = one.evidence[layer].arrays(), two.evidence[layer].arrays()
        assert first.keys() == second.keys()
        pairs += [(first[name], second[name]) for name in first]
    numbers = (one.ran, one.n_images, one.scale) == (two.ran, two.n_images, two.scale)
    return numbers and all(np.array_equal(a, b) for a, b in pairs)


def cut_short(plan: EffectPlan, after: int, checkpoint: Path | None = None) -> bool:
    """Cancel a run at its so many-th reading; False where it was over before."""
    stop, seen = threading.Event(), []

    def listen(tick: object) -> None:
        seen.append(tick)
        if len(seen) >= after:
            stop.set()

    try:
        plan.run(7, Progress(listen, stop, interval=0), checkpoint)
    except Cancelled:
        return True
    return False


@pytest.mark.parametrize("way", WAYS)
def test_a_cancelled_run_goes_on_to_the_same_bits(way: str, tmp_path: Path) -> None:
    plan = planned(way)
    whole = plan.run(7)
    for after in (2, 5, 9, 12):
        assert cut_short(plan, after)  # again and again, each time from where the last one was left
    assert same(plan.run(7), whole)
    again, path = planned(way), tmp_path / "run.safetensors"
    for after in (3, 8, 14):
        assert cut_short(again, after, path)
    resumed = planned(way).run(
        7, checkpoint=path
    )  # as a new session would; its own measurement does not count
    assert same(resumed, again.run(7))
    assert same(resumed, planned(way).run(7, checkpoint=path))  # a finished one is read


def test_the_settings_of_the_first_run_are_taken_over(tmp_path: Path) -> None:
    path, first = tmp_path / "run.safetensors", planned("controlled")
    assert cut_short(first, 9, path)
    other = planned("controlled", budget=600_000)
    object.__setattr__(other.costs, "settings", type(other.settings)(**{
        **other.settings.to_dict(), "images": 3, "recorded": 2, "items": dict.fromkeys(UNITS, 1),
    }))  # fmt: skip
    assert same(other.run(7, checkpoint=path), first.run(7))


class Failing:
    """A loader that raises once, at a batch of a pass."""

    def __init__(self, at: tuple[int, int]) -> None:
        self.at, self.passes, self.data = at, 0, loader()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.passes += 1
        for number, batch in enumerate(self.data):
            if (self.passes, number) == self.at:
                raise OSError("the disk is gone")
            yield batch


@pytest.mark.parametrize("way, at", [("exact", (2, 3)), ("controlled", (2, 2)), ("adaptive", (3, 4))])
def test_a_loader_that_fails(way: str, at: tuple[int, int]) -> None:
    source = Failing(at)  # the first pass is the plan's
    budget = 100_000 if way == "adaptive" else 600_000  # too small to keep the images: each round reads again
    plan = planned(way, source, budget=budget)
    with pytest.raises(DataError, match="the disk is gone"):
        plan.run(7)
    resumed = plan.run(7)
    assert same(resumed, plan.run(7))


@pytest.mark.parametrize("way", ["exact", "adaptive"])
def test_memory_that_runs_out(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, again, calls = planned(way), CutState.again_sets, []
    whole, before = plan.run(7), fingerprint(plan.work.model)

    def fails(self: CutState, *args: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("DefaultCPUAllocator: not enough memory")
        return again(self, *args)

    monkeypatch.setattr(CutState, "again_sets", fails)
    with pytest.raises(RuntimeError, match="not enough memory"):
        plan.run(7)
    assert fingerprint(plan.work.model) == before
    assert same(plan.run(7), whole)


def test_another_seed_begins_anew() -> None:
    plan = planned("controlled")
    assert cut_short(plan, 12)
    other = plan.run(8)
    assert same(other, plan.run(8))
    assert not np.array_equal(
        other.evidence["conv1"].moments.mean, plan.run(7).evidence["conv1"].moments.mean
    )


def test_progress_goes_on_from_where_it_was() -> None:
    plan = planned("exact")
    assert cut_short(plan, 9)
    told: list[Any] = []
    plan.run(7, Progress(told.append, interval=0))
    total = 150 * 5
    assert told[0].total == told[-1].done == total
    assert 0 < told[1].done < total
    assert told[1].done % 3 in (0, 1, 2)


def test_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    script = textwrap.dedent(
        f"""
        import os, signal
        from causal_widget.jobs import Progress
        from tests.effects.test_checkpoint import planned
        seen = []
        def listen(tick):
            seen.append(tick)
            if len(seen) == 25:
                os.kill(os.getpid(), signal.SIGKILL)
        planned("controlled").run(7, Progress(listen, interval=0), {str(path)!r})
        """
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == -signal.SIGKILL
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    told: list[Any] = []
    resumed = planned("controlled").run(7, Progress(told.append, interval=0), path)
    assert all(tick.unit == "effects" for tick in told)  # the first-order pass was finished
    whole = planned("controlled").run(7)
    for layer in UNITS:
        np.testing.assert_allclose(
            resumed.evidence[layer].moments.mean, whole.evidence[layer].moments.mean, rtol=1e-5, atol=1e-7
        )


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    assert cut_short(planned("exact"), 9, path)

    def refused(plan: EffectPlan, seed: int, what: str) -> None:
        with pytest.raises(ArgumentError, match=f"of another run: its {what}"):
            plan.run(seed, checkpoint=path)

    refused(planned("exact"), 8, "seed")
    refused(planned("controlled"), 7, "how")
    refused(planned("exact", units={"conv1": [0]}), 7, "what is asked")
    refused(planned("exact", outcomes="margin"), 7, "outcomes")
    refused(planned("exact", [(x + 1, y) for x, y in loader()]), 7, "first batch")
    refused(planned("exact", max_batches=3), 7, "max_batches")
    refused(planned("exact", autocast=torch.bfloat16), 7, "autocast")
    other = seeded(Plain, seed=1)
    refused(plan_effects(other, loader(), units=UNITS, budget=600_000), 7, "weights")
    assert planned("exact").run(7, checkpoint=path).n_images == 150


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    broken, foreign = tmp_path / "broken", tmp_path / "foreign"
    broken.write_bytes(b"no such thing")
    save_file({"a": np.zeros(3)}, foreign)
    for path in (broken, foreign):
        with pytest.raises(DataError, match="no checkpoint"):
            planned("exact").run(7, checkpoint=path)
    with pytest.raises(ArgumentError, match="cannot be written"):
        planned("exact").run(7, checkpoint=tmp_path / "nowhere" / "run.safetensors")
