"""Filters laid out by likeness of their weights."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.manifold import TSNE

from causal_widget.errors import ArgumentError, check_seed

__all__ = ["tsne"]


def tsne(weights: Float[np.ndarray, "filter ..."], seed: int = 0) -> Float[np.ndarray, "filter 2"]:
    """Lay filters out in a plane by t-SNE of their flattened weights.

    The perplexity is 30, or a third of the number of other filters where there are fewer.

    Raises
    ------
    ArgumentError
        If there are fewer than 3 filters, or the seed is no whole number from 0.
    """
    n = len(weights)
    if n < 3:
        raise ArgumentError(f"t-SNE needs at least 3 filters; this layer has {n}")
    flat = np.asarray(weights, dtype=np.float64).reshape(n, -1)
    spread = flat.shape[1] > 1 and np.linalg.matrix_rank(flat - flat.mean(axis=0)) > 1
    method = TSNE(
        perplexity=min(30.0, (n - 1) / 3),
        init="pca" if spread else "random",
        method="exact" if n < 50 else "barnes_hut",
        random_state=check_seed(seed),
    )
    return np.asarray(method.fit_transform(flat))
