"""Do two rankings agree? Those of data halves, strengths of an intervention, sites."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from causal_widget.effects.statistics.checks import Array, as_effects, check_whole
from causal_widget.effects.statistics.ranks import scores_of, top_overlap
from causal_widget.errors import ArgumentError, check_seed

__all__ = ["agreement", "halves"]


def halves(
    effects: ArrayLike, *, top: int = 10, by: str = "abs", repeats: int = 20, seed: int = 0
) -> pd.DataFrame:
    """Rank on random halves of the images; one row a cut: rank correlation and top-k overlap of the halves.

    Parameters
    ----------
    effects : array, shape (image, unit)
    top, by
        As for `stability`.
    repeats : int
        How many cuts.
    seed : int

    Raises
    ------
    ArgumentError
        If the effects are no (image, unit), or fewer than 2 images.
    """
    values = as_effects(effects)
    if values.ndim != 2 or len(values) < 2:
        raise ArgumentError(f"effects must be (image, unit) with 2 images or more, got {values.shape}")
    rng = np.random.default_rng(check_seed(seed))
    rows = []
    for _ in range(check_whole(repeats, "repeats", 1)):
        order = rng.permutation(len(values))
        parts = np.array_split(order, 2)
        one, two = (values[np.sort(part)].mean(axis=0) for part in parts)
        rows.append({"spearman": _spearman(one, two, by), "overlap": top_overlap(one, two, top, by)})
    return pd.DataFrame(rows)


def agreement(effects: Mapping[object, ArrayLike], *, top: int = 10, by: str = "abs") -> pd.DataFrame:
    """Compare rankings pair by pair: those at several strengths of an intervention, sites, or data sets.

    Parameters
    ----------
    effects : mapping of name to array, shape (unit,)
        Mean effects.
    top, by
        As for `stability`.

    Returns
    -------
    DataFrame
        One row a pair: the two names, rank correlation, top-k overlap.

    Raises
    ------
    ArgumentError
        If there are fewer than two rankings, or their numbers of units differ.
    """
    arrays = {name: as_effects(values) for name, values in effects.items()}
    shapes = {array.shape for array in arrays.values()}
    if len(arrays) < 2 or len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise ArgumentError(
            f"effects must be two rankings or more of one shape (unit,), got {sorted(shapes)}"
        )
    rows = [
        {"first": a, "second": b, "spearman": _spearman(x, y, by), "overlap": top_overlap(x, y, top, by)}
        for (a, x), (b, y) in itertools.combinations(arrays.items(), 2)
    ]
    return pd.DataFrame(rows)


def _spearman(one: Array, two: Array, by: str) -> float:
    """Give the rank correlation; NaN where either does not vary."""
    scores = scores_of(one, by), scores_of(two, by)
    if min(np.ptp(score) for score in scores) == 0:
        return float("nan")
    return float(spearmanr(*scores).statistic)
