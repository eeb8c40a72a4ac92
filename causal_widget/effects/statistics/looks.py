"""Control variate and early stopping together: intervals that hold however often one looks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from causal_widget.effects.statistics.asymptotic import FIRST, asymptotic_half_width
from causal_widget.effects.statistics.control import controlled
from causal_widget.effects.statistics.moments import EffectMoments
from causal_widget.effects.statistics.pairs import PairMoments

__all__ = ["controlled_looks"]


def controlled_looks(
    pilot: PairMoments,
    main: PairMoments,
    cheap: EffectMoments,
    *,
    level: float = 0.95,
    questions: int = 1,
    tuned_at: float = 500,
    first: int = FIRST,
) -> tuple[Float64[np.ndarray, "*question"], Float64[np.ndarray, "*question"]]:
    """Give lower and upper ends of the mean effect over all images with a cheap estimate, at every look.

    The estimate is that of `controlled`: the pilot, and so the coefficient, stays what it was before the
    first look; only the main part grows. What it leaves open is the mean of ``e - c g`` over the images that
    are not pilot, of which the main ones are drawn without replacement, one after another, in an order fixed
    before: the asymptotic confidence sequence of `asymptotic_half_width`, times the share of those images.

    Parameters
    ----------
    pilot, main, cheap
        As for `controlled`; questions may have stopped at different numbers of main images.
    level, questions, tuned_at, first
        As for `asymptotic_half_width`; `tuned_at` and `first` count main images.
    """
    now = controlled(pilot, main, cheap, population=cheap.n)
    rest = now.cheap - pilot.n
    sd = main.residual(now.coefficient).sd
    half = asymptotic_half_width(
        sd, main.n, level=level, questions=questions, population=rest, tuned_at=tuned_at, first=first
    )
    half = rest / np.maximum(now.cheap, 1) * half
    return now.mean - half, now.mean + half
