"""How well foreseen changes agree with true ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.stats import rankdata

__all__ = ["Score", "agreement", "flips", "pearson", "r2", "rows_pearson", "spearman"]

Matrix = Float64[np.ndarray, "image mask"]


@dataclass(frozen=True)
class Score:
    """How one method foresees one kind of intervention.

    Attributes
    ----------
    method, kind : str
    images, masks : int
        How many it was judged on.
    pearson, spearman : float
        Correlation of foreseen and true change of the true class's logit, over all images and sets.
    pearson_by_image, spearman_by_image : float
        The same over the sets within each image, averaged over images.
    r2 : float
        1 - sum of squared errors / sum of squares about the mean true change; negative where it is worse than
        that mean.
    margin_pearson, margin_by_image, margin_r2 : float
        The same for the margin.
    accuracy_r : float
        Correlation over sets of foreseen and true accuracy under do().
    accuracy_error : float
        Mean absolute error of the foreseen accuracy, 0 .. 1.
    flips : int
        Predictions that truly turn from right to wrong or back.
    foreseen, precision : float
        Share of the flips that are foreseen, and of the foreseen ones that are true; NaN where there are
        none.
    forwards : float
        What it cost an image beyond the network's own answer, in forward passes (a backward pass counts 2).
    """

    method: str
    kind: str
    images: int
    masks: int
    pearson: float
    pearson_by_image: float
    spearman: float
    spearman_by_image: float
    r2: float
    margin_pearson: float
    margin_by_image: float
    margin_r2: float
    accuracy_r: float
    accuracy_error: float
    flips: int
    foreseen: float
    precision: float
    forwards: float


def agreement(foreseen: Matrix, true: Matrix) -> dict[str, float]:
    """Give Pearson and Spearman correlations, pooled and by image, and R2."""
    ranked = rankdata(foreseen, axis=1), rankdata(true, axis=1)
    return {
        "pearson": pearson(foreseen, true),
        "pearson_by_image": rows_pearson(foreseen, true),
        "spearman": spearman(foreseen, true),
        "spearman_by_image": rows_pearson(*ranked),
        "r2": r2(foreseen, true),
    }


def pearson(a: Float64[np.ndarray, "*any"], b: Float64[np.ndarray, "*any"]) -> float:
    """Correlate two arrays over all elements; NaN where one does not vary."""
    return rows_pearson(np.ravel(a)[None], np.ravel(b)[None])


def spearman(a: Float64[np.ndarray, "*any"], b: Float64[np.ndarray, "*any"]) -> float:
    """Correlate ranks, equals sharing the mean of theirs."""
    return pearson(rankdata(a), rankdata(b))


def rows_pearson(a: Matrix, b: Matrix) -> float:
    """Correlate row by row and average; rows in which one does not vary are left out, NaN if all are."""
    a, b = (one - one.mean(axis=1, keepdims=True) for one in (a, b))
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    varies = norms > 1e-12 * max(float(norms.max(initial=0)), 1e-300)
    if not varies.any():
        return float("nan")
    return float(((a * b).sum(axis=1)[varies] / norms[varies]).mean())


def r2(foreseen: Matrix, true: Matrix) -> float:
    """Give the share of the true changes' variance that is foreseen; NaN where they do not vary."""
    total = float(((true - true.mean()) ** 2).sum())
    return 1 - float(((foreseen - true) ** 2).sum()) / total if total > 0 else float("nan")


def flips(
    before: Bool[np.ndarray, "image 1"],
    foreseen: Bool[np.ndarray, "image mask"],
    true: Bool[np.ndarray, "image mask"],
) -> tuple[int, float, float]:
    """Count the answers that turn right or wrong, and give recall and precision of those foreseen to."""
    turned, expected = true != before, foreseen != before
    hits = int((turned & expected).sum())
    n, m = int(turned.sum()), int(expected.sum())
    return n, hits / n if n else float("nan"), hits / m if m else float("nan")
