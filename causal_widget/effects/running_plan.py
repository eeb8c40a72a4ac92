"""Run a plan: from where it was left, to the same bits as without a break."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from causal_widget.effects.adaptive import run_controlled
from causal_widget.effects.checkpoint import Checkpoint, identity
from causal_widget.effects.effects import Effects
from causal_widget.effects.pool import Pool
from causal_widget.effects.questions import Context
from causal_widget.effects.run import Run
from causal_widget.effects.shards import Finished, Shards
from causal_widget.effects.sweep import sweep
from causal_widget.effects.work import Settings, Work
from causal_widget.errors import ArgumentError, check_seed
from causal_widget.guard import floating_type, guarded
from causal_widget.interventions import donors, means
from causal_widget.jobs import Progress

__all__ = ["Memory", "run_plan"]


@dataclass
class Memory:
    """What an interrupted run of a plan had finished."""

    finished: Finished | None = None

    def of(self, seed: int) -> Finished:
        """Give where a run with this seed goes on."""
        if self.finished is not None and self.finished.seed == seed:
            return self.finished
        return Finished(seed)


def run_plan(
    work: Work, settings: Settings, memory: Memory, seed: int, progress: Progress, path: str | Path | None
) -> Effects:
    """Run a plan.

    Parameters
    ----------
    work, settings : Work, Settings
        What is done, and how it is cut into pieces.
    memory : Memory
        Where an interrupted run left off; kept up to date.
    seed : int
        Of the order of the images, the halves and the bootstrap.
    progress : Progress
        Told of what is done; may cancel.
    path : str or Path, optional
        A checkpoint: read if it is there, written to.

    Raises
    ------
    ArgumentError
        If the checkpoint is of another run, or cannot be written, or the precision cannot be reached.
    DataError
        If the loader is not the one that was planned for, or the checkpoint is none.
    NonFiniteError
        If an effect is NaN or infinite.
    Cancelled
        If the progress was cancelled.
    """
    finished, checkpoint = memory.of(check_seed(seed)), None
    if path is not None:
        of = identity(work, seed)
        checkpoint = Checkpoint(Path(path), of, settings)
        if not checkpoint.path.parent.is_dir():
            raise ArgumentError(f"the checkpoint {str(path)!r} cannot be written: there is no such folder")
        if checkpoint.path.exists():
            finished, settings = Checkpoint.read(checkpoint.path, of)
            checkpoint.settings = settings
    began, spent = time.perf_counter(), finished.seconds

    def timed(state: Finished) -> Finished:
        return replace(state, seconds=spent + time.perf_counter() - began)

    def note(state: Finished, over: bool) -> None:
        if checkpoint is not None:
            checkpoint.note(timed(state), now=over)

    shards = Shards(finished, note)
    with _kept(shards, memory, checkpoint, timed):
        _run(work, settings, shards, progress)
    return _effects(work, timed(shards.now))


@contextmanager
def _kept(shards: Shards, memory: Memory, checkpoint: Checkpoint | None, timed: Any) -> Iterator[None]:
    """Keep what is finished, whatever happens; forget it in the plan once all is."""
    whole = False
    try:
        yield
        whole = True
    finally:
        memory.finished = None if whole else timed(shards.now)
        if checkpoint is not None and shards.now.began:
            checkpoint.write(timed(shards.now))


def _run(work: Work, settings: Settings, shards: Shards, progress: Progress) -> None:
    with guarded(work.model, work.device) as guard:
        pool = Pool(
            work.loader, guard.device, floating_type(work.model), work.max_batches, work.graph.output.units,
            work.first, work.budget,
        )  # fmt: skip
        pool.n = shards.now.n_images
        try:
            run = Run(work, settings, pool, shards, progress, _known(work, pool, progress))
            with run.precisely():
                (sweep if work.aims.how == "exact" else run_controlled)(run)
        finally:
            pool.forget()
            progress.finish()


def _known(work: Work, pool: Pool, progress: Progress) -> Context:
    """Take the units' means, or other images' maps, where edits need them."""
    questions, nowhere = work.questions, torch.arange(0)
    if questions.seen is None:
        return Context(nowhere)
    site, layers = questions.seen
    common = (work.model, work.graph)
    mean = donor = None
    if questions.needs_means:
        progress.start(pool.expected, "images", "means of the units")
        mean = means(*common, pool.images(), site, layers, device=pool.device, progress=progress)
    if questions.needs_donors:
        progress.start(None, "images", "maps of other images")
        donor = donors(*common, pool.images(), site, layers, device=pool.device, progress=progress)
    return Context(nowhere, mean, donor)


def _effects(work: Work, found: Finished) -> Effects:
    assert found.before is not None  # a loader without images is refused
    evidence: Any = found.evidence
    settings = {**work.aims.settings(), "max_batches": work.max_batches, "device": work.device.type}
    if work.autocast is not None:
        settings["autocast"] = str(work.autocast).removeprefix("torch.")
    if work.aims.how == "adaptive":
        settings["open"] = int(sum(int(np.sum(mask)) for mask in found.open.values()))
        settings["judged questions"] = work.n_questions * len(
            work.aims.columns(work.columns, work.outcomes, work.widths)
        )
    return Effects(
        work.graph, work.questions, evidence, found.before, work.outcomes, int(found.sizes.n),
        found.seconds, found.ran, found.seed, work.aims.how, settings, found.worked, float(found.sizes.mean),
    )  # fmt: skip
