"""Every question on every image: the exact sweep, shard by shard."""

from __future__ import annotations

from collections.abc import Callable

from causal_widget.effects.evidence import ExactEvidence
from causal_widget.effects.measuring import Measured
from causal_widget.effects.pool import Part
from causal_widget.effects.run import Run
from causal_widget.effects.shards import Before, Cost

__all__ = ["sweep"]


def sweep(run: Run) -> None:
    """Measure every question on every image.

    Raises
    ------
    NonFiniteError
        If an effect is NaN or infinite.
    DataError
        If the loader is not the one that was planned for.
    Cancelled
        If the progress was cancelled.
    """
    n = run.pool.expected
    run.begin(None if n is None else n * run.work.n_questions, "effects", "")
    for part in run.shards.stage(0, lambda: run.pool.parts(run.settings.images)):
        run.each_layer(part, run.everything(), _taker(run, part))


def _taker(run: Run, part: Part) -> Callable[[str, Measured, Cost, Before | None], None]:
    index = part.index.cpu().numpy()

    def take(layer: str, found: Measured, cost: Cost, before: Before | None) -> None:
        known = run.shards.now.evidence.get(layer)
        shape = found.effects.shape[1:]
        exact = known if isinstance(known, ExactEvidence) else ExactEvidence.empty(*shape)
        grown = exact.update(found.effects, found.changed, index, run.seed)
        run.shards.layer(layer, grown, cost, before)

    return take
