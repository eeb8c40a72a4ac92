"""Which questions need more images, and whether any number of those given would do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64

from causal_widget.effects.columns import largest_sizes
from causal_widget.effects.evidence import Evidence, ExactEvidence
from causal_widget.effects.statistics import settled
from causal_widget.effects.statistics.estimate import Estimate
from causal_widget.effects.work import Work
from causal_widget.errors import ArgumentError

__all__ = ["refuse_unreachable", "still_open"]

Masks = dict[str, Bool[np.ndarray, " question"]]


def still_open(work: Work, evidence: Mapping[str, Evidence], before: Mapping[str, np.ndarray]) -> Masks:
    """Say which questions are neither precise enough nor settled in their place; a settled one stays so.

    The intervals hold for all questions and judged columns together, at all looks (`controlled_looks`).

    Parameters
    ----------
    work : Work
        What is asked, and how sure it is to be.
    evidence : mapping of layer name to evidence
        What is known.
    before : mapping of layer name to array of bool, shape (question,)
        Which were open so far.
    """
    known = _known(work, evidence)
    low, high = known.low, known.high
    columns = _judged(work)
    wanted = {k: width for k, width in columns.items() if width is not None}
    done = np.zeros(len(low), bool)
    if wanted:
        done |= np.all([(high[:, k] - low[:, k]) / 2 <= width for k, width in wanted.items()], axis=0)
    if work.aims.top is not None:
        name, order = work.aims.by
        k = work.columns.index(name)
        done |= settled(low[:, k], high[:, k], top=work.aims.top, by=order).done
    return _by_layer(work, before, ~done)


def refuse_unreachable(work: Work, evidence: Mapping[str, Evidence], n: int) -> None:
    """Refuse a precision that these images, as a sample of more, cannot give even if all were measured.

    Raises
    ------
    ArgumentError
        Says what can be reached, and how many images would do.
    """
    known = _known(work, evidence)
    if known.looks is None:
        return
    all_measured = replace(known.looks, images=np.full(known.mean.shape, np.inf))
    alpha = (1 - known.level) / known.questions
    beyond = all_measured.half_width(1 - alpha)
    for k, width in _judged(work).items():
        reachable = np.where(np.isfinite(beyond[:, k]), beyond[:, k], 0.0)
        worst = int(reachable.argmax())
        if width is None or reachable[worst] <= width:
            continue
        size = math.inf if work.aims.population is None else float(work.aims.population)
        needed = math.ceil(1 / ((width / reachable[worst]) ** 2 * (1 / n - 1 / size) + 1 / size))
        who = work.questions.all[worst].name
        about = "all images there might be" if math.isinf(size) else f"{size:,.0f} images"
        raise ArgumentError(
            f"precision {width:g} of {work.columns[k]} cannot be reached with the {n:,} images given: as a "
            f"sample of {about} they leave ±{reachable[worst]:.3g} of doubt about {who}, even if every exact "
            f"effect were measured. About {needed:,} images would do; with these, ask for "
            f"{_rounded_up(reachable[worst]):g}, or for the mean over just these images "
            '(population="given")'
        )


def _known(work: Work, evidence: Mapping[str, Evidence]) -> Estimate:
    count = work.n_questions * max(len(_judged(work)), 1)
    groups = [one for layer in work.groups if not isinstance(one := evidence[layer], ExactEvidence)]
    owners = [one for one, width in zip(work.outcomes, work.widths, strict=True) for _ in range(width)]
    usual = largest_sizes([one.usual for one in groups], owners)
    return Estimate.joined(
        [
            one.estimate(
                work.aims.population, level=work.aims.level, questions=count, anytime=True, usual=usual
            )
            for one in groups
        ]
    )


def _judged(work: Work) -> dict[int, float | None]:
    return work.aims.columns(work.columns, work.outcomes, work.widths)


def _by_layer(work: Work, before: Mapping[str, np.ndarray], needs: Bool[np.ndarray, " question"]) -> Masks:
    found, first = {}, 0
    for layer, group in work.groups.items():
        found[layer] = needs[first : first + len(group)] & before[layer]
        first += len(group)
    return found


def _rounded_up(number: Float64[np.ndarray, ""] | float) -> float:
    step = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(float(number) * 1.05 / step) * step
