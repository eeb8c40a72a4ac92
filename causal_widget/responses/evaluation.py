"""What a network answers on a set of images."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

__all__ = ["Evaluation"]


@dataclass(frozen=True, repr=False, eq=False)
class Evaluation:
    """The logits of a network on a set of images, and what follows from them.

    Attributes
    ----------
    logits : array, shape (image, class)
        The network's output, read as logits, in float64.
    labels : array of int, shape (image,), or None
        The true classes; without them accuracy and loss are None.
    class_names : tuple of str
        One name a class.
    seconds : float
        How long it took.
    """

    logits: Float64[np.ndarray, "image class"]
    labels: Int64[np.ndarray, " image"] | None
    class_names: tuple[str, ...]
    seconds: float = 0.0

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.logits)

    @cached_property
    def predictions(self) -> Int64[np.ndarray, " image"]:
        """The class with the largest logit, the first of equals."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @cached_property
    def log_probabilities(self) -> Float64[np.ndarray, "image class"]:
        """Log-softmax of the logits."""
        shifted = self.logits - self.logits.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    @cached_property
    def probabilities(self) -> Float64[np.ndarray, "image class"]:
        """Softmax of the logits."""
        return np.asarray(np.exp(self.log_probabilities))

    @cached_property
    def correct(self) -> Bool[np.ndarray, " image"] | None:
        """Whether each image is classified rightly."""
        return None if self.labels is None else np.asarray(self.predictions == self.labels)

    @cached_property
    def losses(self) -> Float64[np.ndarray, " image"] | None:
        """Cross-entropy of each image, in nats."""
        if self.labels is None:
            return None
        return np.asarray(-np.take_along_axis(self.log_probabilities, self.labels[:, None], axis=1)[:, 0])

    @property
    def accuracy(self) -> float | None:
        """Share of images classified rightly, 0..1."""
        return None if self.correct is None else float(self.correct.mean())

    @property
    def loss(self) -> float | None:
        """Mean cross-entropy, in nats."""
        return None if self.losses is None else float(self.losses.mean())

    def table(self) -> pd.DataFrame:
        """Give one row a class: images of it, predictions, accuracy, mean logit over all images."""
        k = self.logits.shape[1]
        table = pd.DataFrame(
            {
                "class": list(self.class_names),
                "predicted": np.bincount(self.predictions, minlength=k),
                "logit": self.logits.mean(axis=0),
            }
        )
        if self.labels is not None and self.correct is not None:
            images = np.bincount(self.labels, minlength=k)
            right = np.bincount(self.labels, weights=self.correct, minlength=k)
            table.insert(1, "images", images)
            table.insert(2, "accuracy", np.divide(right, images, out=np.full(k, np.nan), where=images > 0))
        return table

    def __repr__(self) -> str:
        head = f"Evaluation: {self.n:,} images, {self.logits.shape[1]} classes"
        if self.accuracy is None or self.loss is None:
            return f"{head}, no labels"
        return f"{head}, accuracy {self.accuracy:.2%}, loss {self.loss:.4f}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"
