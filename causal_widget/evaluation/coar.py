"""COAR: a linear regression of the network's outputs on random sets of silenced units, for each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from causal_widget.errors import ArgumentError, check_seed
from causal_widget.evaluation.kinds import Kind
from causal_widget.evaluation.local_changes import local_changes
from causal_widget.evaluation.truth import Truth, answers_under, margins, true_logits
from causal_widget.jobs import Progress
from causal_widget.scm.local import LocalCoefficients

__all__ = ["LAMBDAS", "Coar", "coar_of", "ridge_of"]

LAMBDAS = np.logspace(-1, 4, 16)
FOLDS = 5
FEWEST_SETS = 10
OUTCOMES = ("true", "margin")


@dataclass(frozen=True, eq=False)
class Coar:
    """What each unit adds to each outcome of each image, by regression on random ablations.

    Attributes
    ----------
    coefficients : array, shape (image, unit, outcome)
        Change of the outcome for a unit silenced, beyond what the control foresees, if there is one.
    intercept : array, shape (image, outcome)
        Change of the outcome foreseen for the empty set; not 0, as in any regression.
    penalty : float
        The ridge that predicts left-out sets best.
    n_masks : int
        Sets that it was fitted on, which is also the forward passes an image.
    fraction : float
        Share of the units that each silences.
    """

    coefficients: Float64[np.ndarray, "image unit outcome"]
    intercept: Float64[np.ndarray, "image outcome"]
    penalty: float
    n_masks: int
    fraction: float

    def predict_masks(
        self, silenced: Bool[np.ndarray, "mask unit"]
    ) -> Float64[np.ndarray, "image mask outcome"]:
        """Foresee each image's changes under sets of silenced units."""
        parts = np.einsum("mu,iuo->imo", silenced.astype(np.float64), self.coefficients, optimize=True)
        return np.asarray(self.intercept[:, None] + parts)

    def __repr__(self) -> str:
        images, units, _ = self.coefficients.shape
        return (
            f"Coar: {images:,} images, {units:,} units, {self.n_masks:,} random sets of {self.fraction:.0%}, "
            f"ridge {self.penalty:.3g}"
        )


def ridge_of(
    x: Float64[np.ndarray, "mask unit"],
    y: Float64[np.ndarray, "mask target"],
    lambdas: Float64[np.ndarray, " penalty"] = LAMBDAS,
    folds: int = FOLDS,
) -> tuple[Float64[np.ndarray, "unit target"], Float64[np.ndarray, " target"], float]:
    """Fit y = intercept + x b by ridge regression; the penalty, one for all targets, by cross-validation.

    Minimises sum of squared errors + penalty x sum of b squared, the intercept without a penalty. All
    targets and penalties share one decomposition a fold.

    Returns
    -------
    coefficients, intercept, penalty
    """
    fold = np.arange(len(x)) % folds
    errors = np.zeros(len(lambdas))
    for k in range(folds):
        train, test = fold != k, fold == k
        for at, (b, a) in enumerate(_path(x[train], y[train], lambdas)):
            errors[at] += ((y[test] - a - x[test] @ b) ** 2).sum()
    best = float(lambdas[int(errors.argmin())])
    ((b, a),) = _path(x, y, np.array([best]))
    return b, a, best


def _path(
    x: Float64[np.ndarray, "mask unit"],
    y: Float64[np.ndarray, "mask target"],
    lambdas: Float64[np.ndarray, " penalty"],
) -> list[tuple[Float64[np.ndarray, "unit target"], Float64[np.ndarray, " target"]]]:
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    centred, target = x - mean_x, y - mean_y
    wide = x.shape[1] > x.shape[0]
    gram = centred @ centred.T if wide else centred.T @ centred
    values, vectors = np.linalg.eigh(gram)
    right = vectors.T @ (target if wide else centred.T @ target)
    found = []
    for penalty in lambdas:
        b = vectors @ (right / (np.maximum(values, 0) + penalty)[:, None])
        b = centred.T @ b if wide else b
        found.append((b, mean_y - mean_x @ b))
    return found


def checked_sets(n_masks: object) -> int:
    """Give the number of random sets.

    Raises
    ------
    ArgumentError
        If it is no whole number from 10: each of 5 folds needs some.
    """
    if not isinstance(n_masks, int) or isinstance(n_masks, bool) or n_masks < FEWEST_SETS:
        raise ArgumentError(
            f"COAR needs a whole number of random sets, {FEWEST_SETS} or more, got {n_masks!r:.80}"
        )
    return n_masks


def coar_of(
    truth: Truth,
    *,
    images: int,
    n_masks: int = 1000,
    fraction: float = 0.10,
    control: LocalCoefficients | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Coar:
    """Fit COAR to the first images of a truth, on sets of its own, for the true class's logit and the margin.

    Parameters
    ----------
    truth : Truth
        Network and images; its sets are not used.
    images : int
        How many.
    n_masks : int
        Random sets, one forward pass an image each.
    fraction : float
        Share of all units that each silences.
    control : LocalCoefficients, optional
        Of the same images, for all classes or for "true" and "margin": the regression then learns only what
        these leave.
    seed : int
        Of the sets.

    Raises
    ------
    ArgumentError
        If there are fewer than 10 sets, or the fraction is not between 0 and 1.

    References
    ----------
    Shah, Ilyas and Madry 2024, "Decomposing and Editing Predictions by Modeling Model Computation",
    arXiv:2404.11534.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"COAR's sets are of a share between 0 and 1 of all units, got {fraction!r:.80}")
    n_masks = checked_sets(n_masks)
    # Not the seed of the truth's own sets: the regression must not have seen what it is judged on.
    masks = Kind(f"COAR {fraction}", "network", fraction).draw(truth.graph, n_masks, check_seed(seed))
    logits = answers_under(
        truth.model,
        truth.graph,
        masks,
        truth.first(images),
        site=truth.site,
        device=truth.device,
        progress=progress,
    )
    labels, own = truth.labels[:images], truth.logits[:images, None]
    true = true_logits(logits, labels) - true_logits(own, labels)
    margin = margins(logits, labels) - margins(own, labels)
    changes = np.stack([true, margin], axis=2)
    if control is not None:
        changes -= local_changes(control, masks)
    targets = changes.transpose(1, 0, 2).reshape(n_masks, -1)
    b, a, penalty = ridge_of(masks.astype(np.float64), targets)
    shape = (images, len(OUTCOMES))
    coefficients = b.reshape(-1, *shape).transpose(1, 0, 2)
    return Coar(coefficients, a.reshape(shape), penalty, n_masks, fraction)
