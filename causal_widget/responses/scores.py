"""Accuracy and loss of the network on the labelled images of a pass."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


class Scores:
    """Running accuracy, cross-entropy and class counts.

    Parameters
    ----------
    classes
        Number of classes.
    """

    def __init__(self, classes: int) -> None:
        self.counts: Int[np.ndarray, " class"] = np.zeros(classes, dtype=np.int64)
        self._right = 0
        self._loss = 0.0

    def add(self, logits: Float[np.ndarray, "image class"], labels: Int[np.ndarray, " image"]) -> None:
        """Count a batch; the loss is -log softmax of the true class, by the shifted log-sum-exp."""
        top = logits.max(axis=1)
        rows = np.arange(len(labels))
        log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        self._loss += float((log_sum - logits[rows, labels]).sum())
        self._right += int(np.count_nonzero(logits.argmax(axis=1) == labels))
        self.counts += np.bincount(labels, minlength=len(self.counts))

    @property
    def n_images(self) -> int:
        """Labelled images so far."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float | None:
        """Share of the labelled images predicted right; None without labels."""
        return self._right / self.n_images if self.n_images else None

    @property
    def loss(self) -> float | None:
        """Mean cross-entropy in nats; None without labels."""
        return self._loss / self.n_images if self.n_images else None
