"""Fewer exact images for the same certainty: a cheap estimate on all, exact effects on some at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from causal_widget.effects.evidence import ControlledEvidence, Evidence, StratifiedEvidence
from causal_widget.effects.evidence.stratified import at_least_measured
from causal_widget.effects.judging import refuse_unreachable, still_open
from causal_widget.effects.measuring import Measured
from causal_widget.effects.pool import Part
from causal_widget.effects.run import Estimated, Run
from causal_widget.effects.shards import Before, Cost
from causal_widget.effects.statistics.asymptotic import FIRST
from causal_widget.effects.strata import Strata
from causal_widget.errors import ArgumentError

__all__ = ["least_images", "run_controlled"]

PILOT = 32  # images that fix the coefficients before the first look
_GROWTH = 1.15  # from look to look; the intervals allow any number of looks


def run_controlled(run: Run) -> None:
    """Estimate every question to first order on all images, and measure it exactly on some.

    The images are drawn in a random order that the seed fixes; where the estimates of all images are
    remembered, those that are expected to move much are drawn more often (`Strata`). The first ones are the
    pilot, which gives the coefficients of the first-order estimate; with a fixed number of exact images two
    halves serve each other.
    In an adaptive run rounds follow, each on the next images of the order; questions that are settled take
    no part in them.

    Raises
    ------
    ArgumentError
        If there are fewer images than asked for, or the precision cannot be reached with those given.
    """
    _estimate_all(run)
    n, aims = int(run.shards.now.n_images or 0), run.work.aims
    _check_count(run, n)
    order, everything = run.pool.order(run.seed), run.everything()
    strata = Strata.of(run.shards.now.remembered, n, least_images(n, aims.exact), order)
    if strata is not None:
        order = strata.order
        run.shards.group(strata.grouped(run.shards.now.evidence))
    pilot = aims.exact // 2 if aims.exact is not None else _pilot(n)
    _measure(run, 1, order[:pilot], everything, strata, pilot=True, told="pilot")
    if aims.exact is not None:
        _measure(run, 2, order[pilot : aims.exact], everything, strata, told="")
        return
    refuse_unreachable(run.work, run.shards.now.evidence, n)
    if not run.shards.now.open:
        run.shards.judge(2, everything)
    done = pilot
    for stage, end in enumerate(_ends(pilot, n), 2):
        still = _judged(run, stage)
        if not any(mask.any() for mask in still.values()):
            return
        left = f"{sum(int(mask.sum()) for mask in still.values()):,} of {run.work.n_questions:,} open"
        _measure(run, stage, order[done:end], still, strata, told=left)
        done = end
    _judged(run, stage + 1)


def least_images(n: int, exact: int | None) -> int:
    """Give how many exact images every question takes at least."""
    return min(n, exact if exact is not None else _pilot(n) + FIRST)


def _estimate_all(run: Run) -> None:
    """Take the cheap estimate on all images, and count them."""
    if run.shards.now.stage == 0:
        run.begin(run.pool.expected, "images", "first-order estimates")
    everything, each = run.everything(), run.settings.recorded_forwards
    for part in run.shards.stage(0, lambda: run.pool.parts(run.settings.recorded, keep=run.seed)):
        found, before = run.estimated(part, everything)
        cheap = {layer: one.cheap for layer, one in found.items()}
        changed = {layer: one.changed for layer, one in found.items()}
        run.shards.remember(part, cheap, changed, before.hardness, run.work.budget, run.pool.expected)
        grown: dict[str, Evidence] = {
            layer: _evidence(run, layer, one).with_cheap(one.cheap, one.changed)
            for layer, one in found.items()
        }
        run.shards.part(part, grown, Cost(part.n, 0, part.n * each), before)
        run.progress.advance(part.n)
    run.pool.n = run.shards.now.n_images


def _evidence(run: Run, layer: str, one: Estimated) -> ControlledEvidence:
    known = run.shards.now.evidence.get(layer)
    if isinstance(known, ControlledEvidence):
        return known
    return ControlledEvidence.empty(*one.cheap.shape[1:])


def _measure(
    run: Run,
    stage: int,
    numbers: Int64[np.ndarray, " image"],
    wanted: dict[str, Bool[np.ndarray, " question"]],
    strata: Strata | None,
    *,
    pilot: bool = False,
    told: str,
) -> None:
    """Measure questions exactly on some images."""
    pairs = len(numbers) * sum(int(mask.sum()) for mask in wanted.values())
    if run.shards.now.stage <= stage:
        run.begin(pairs, "effects", told)
    for part in run.shards.stage(stage, lambda: run.pool.chosen(numbers, run.settings.images)):
        left = {layer: mask for layer, mask in wanted.items() if mask.any() and not run.shards.has(layer)}
        if left:
            cheap, work = _estimates(run, part, left)
            of = None if strata is None else strata.stratum[part.index.cpu().numpy()]
            run.each_layer(part, left, _taker(run, cheap, work, left, of, pilot))


def _estimates(
    run: Run, part: Part, wanted: dict[str, Bool[np.ndarray, " question"]]
) -> tuple[dict[str, Float64[np.ndarray, "image question column"]], float]:
    """Give the first-order estimates on a part, and the work that they took: remembered ones take none."""
    known, index = run.shards.now.remembered, part.index.cpu().numpy()
    if known is not None and known.knows(index):
        return {layer: known.estimates(index, layer, where) for layer, where in wanted.items()}, 0.0
    found, _ = run.estimated(part, wanted)
    work = part.n * run.settings.recorded_forwards
    return {layer: one.cheap for layer, one in found.items()}, work


def _taker(
    run: Run,
    cheap: dict[str, Float64[np.ndarray, "image question column"]],
    work: float,
    wanted: dict[str, Bool[np.ndarray, " question"]],
    stratum: Int64[np.ndarray, " image"] | None,
    pilot: bool,
) -> Callable[[str, Measured, Cost, Before | None], None]:
    def take(layer: str, found: Measured, cost: Cost, before: Before | None) -> None:
        known = run.shards.now.evidence[layer]
        given = found.effects, cheap[layer], found.changed, wanted[layer]
        grown: Evidence
        if isinstance(known, StratifiedEvidence):
            assert stratum is not None
            grown = known.with_exact(*given, stratum, pilot=pilot).at_least_measured()
        else:
            assert isinstance(known, ControlledEvidence)
            grown = at_least_measured(known.with_exact(*given, pilot=pilot))
        if not run.shards.now.layers:
            cost = replace(cost, worked=cost.worked + work)
        run.shards.layer(layer, grown, cost)

    return take


def _judged(run: Run, stage: int) -> dict[str, Bool[np.ndarray, " question"]]:
    """Give which questions are open before a stage; judged once, whatever is measured of it already."""
    now = run.shards.now
    if now.judged < stage and now.stage <= stage:
        run.shards.judge(stage, still_open(run.work, now.evidence, now.open))
    return run.shards.now.open


def _pilot(n: int) -> int:
    return min(PILOT, max(n // 4, 1))


def _ends(pilot: int, n: int) -> Iterator[int]:
    """Where the rounds end: the first look needs some images, then more by a constant factor."""
    count = float(FIRST)
    while pilot + count < n:
        yield pilot + round(count)
        count *= _GROWTH
    yield n


def _check_count(run: Run, n: int) -> None:
    aims = run.work.aims
    if aims.exact is not None and aims.exact > n:
        raise ArgumentError(f"exact={aims.exact:,} images are asked for, and the loader has {n:,}")
    if isinstance(aims.population, int) and aims.population < n:
        raise ArgumentError(
            f"population={aims.population:,} is less than the {n:,} images of the loader: the mean is about "
            "as many images or more"
        )
