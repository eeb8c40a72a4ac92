"""Mean effects on images drawn again."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.checks import Array, as_effects, check_population, check_whole
from causal_widget.errors import ArgumentError, check_seed

__all__ = ["bootstrap_means"]

CHUNK = 1 << 22


def bootstrap_means(
    effects: ArrayLike, draws: int = 1000, *, seed: int = 0, population: int | None = None
) -> Float64[np.ndarray, "draw *question"]:
    """Give the mean effects over images drawn again with replacement (Efron 1979).

    The images of a draw are the same for all questions, so units stay as alike as they are.

    Parameters
    ----------
    effects : array, shape (image, question...)
    draws : int
    seed : int
    population : int, optional
        Where the images were drawn without replacement from so many, the draws' spread is shrunk by
        ``sqrt(1 - n / population)``. None: all images there might ever be.

    Raises
    ------
    ArgumentError
        If there are fewer than 2 images.
    """
    values = as_effects(effects)
    n = len(values)
    if n < 2:
        raise ArgumentError(f"a bootstrap needs 2 images or more, got {n}")
    whole = float(check_population(population, n))
    count = check_whole(draws, "draws", 1)
    flat = values.reshape(n, -1)
    mean = flat.mean(axis=0)
    centred = flat - mean
    found = np.concatenate([weights @ centred for weights in _weights(n, count, check_seed(seed))])
    shrink = math.sqrt(1 - n / whole)
    return np.asarray((mean + shrink * found).reshape(count, *values.shape[1:]))


def _weights(n: int, draws: int, seed: int) -> Iterator[Array]:
    """Give each draw's share of each image, some draws at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // n)
    for start in range(0, draws, step):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(step, draws - start)) / n
