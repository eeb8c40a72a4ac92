"""What nonlinear equations compute, from a group's parents to its children: plain arrays where possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]


class Function(Protocol):
    """From parents' responses (image, parent) to the expected responses of their children (image, child)."""

    kind: ClassVar[str]
    savable: ClassVar[bool]

    def __call__(self, x: Float[np.ndarray, "image parent"]) -> Float64[np.ndarray, "image child"]:
        """Return the expected responses."""


@dataclass(frozen=True, eq=False)
class Constant:
    """The same answer for every image: of children that never vary."""

    kind: ClassVar[str] = "constant"
    savable: ClassVar[bool] = True
    value: Float64[np.ndarray, " child"]

    def __call__(self, x: Float[np.ndarray, "image parent"]) -> Float64[np.ndarray, "image child"]:
        """Return the constant."""
        return np.tile(self.value, (len(x), 1))


@dataclass(frozen=True, eq=False)
class Linear:
    """x w + b, by an estimator that moments are not enough for."""

    kind: ClassVar[str] = "linear"
    savable: ClassVar[bool] = True
    weight: Float64[np.ndarray, "parent child"]
    bias: Float64[np.ndarray, " child"]

    def __call__(self, x: Float[np.ndarray, "image parent"]) -> Float64[np.ndarray, "image child"]:
        """Return the linear equation's answer."""
        return np.asarray(np.asarray(x, dtype=np.float64) @ self.weight + self.bias)


@dataclass(frozen=True, eq=False)
class Logistic:
    """Probability of 1: 1 / (1 + exp(-(x w + b)))."""

    kind: ClassVar[str] = "logistic"
    savable: ClassVar[bool] = True
    weight: Float64[np.ndarray, "parent child"]
    bias: Float64[np.ndarray, " child"]

    def __call__(self, x: Float[np.ndarray, "image parent"]) -> Float64[np.ndarray, "image child"]:
        """Return the probabilities."""
        return np.asarray(expit(np.asarray(x, dtype=np.float64) @ self.weight + self.bias))


@dataclass(frozen=True, eq=False)
class Network:
    """A small network beside a linear equation: x w + b + scale * net((x - mean) / deviation).

    `net` has rectified hidden layers. With `sigmoid` the answer is squeezed to a probability, and there is no
    linear part.

    Attributes
    ----------
    mean, inverse
        (parent,), what is taken from the parents and multiplied into them first.
    linear, offset
        (parent, child) and (child,).
    weights, biases
        Of each layer of the network.
    scale
        (child,), of the network's answer.
    sigmoid
        Whether the answer is a probability.
    """

    kind: ClassVar[str] = "network"
    savable: ClassVar[bool] = True
    mean: Float64[np.ndarray, " parent"]
    inverse: Float64[np.ndarray, " parent"]
    linear: Float64[np.ndarray, "parent child"]
    offset: Float64[np.ndarray, " child"]
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    scale: Float64[np.ndarray, " child"]
    sigmoid: bool

    def __call__(self, x: Float[np.ndarray, "image parent"]) -> Float64[np.ndarray, "image child"]:
        """Run the network."""
        z = (np.asarray(x, dtype=np.float64) - self.mean) * self.inverse
        hidden = z
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ weight + bias, 0.0)
        answer = (hidden @ self.weights[-1] + self.biases[-1]) * self.scale
        return np.asarray(expit(answer) if self.sigmoid else z @ self.linear + self.offset + answer)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Fitted estimators of scikit-learn: one a child, or one for all.

    They cannot be saved: their insides are not arrays, and pickle would run whatever a file says.
    """

    kind: ClassVar[str] = "fitted"
    savable: ClassVar[bool] = False
    estimators: tuple[Any, ...]
    n_children: int

    def __call__(self, x: Float[np.ndarray, "image parent"]) -> Float64[np.ndarray, "image child"]:
        """Ask every estimator."""
        answers = [expected(estimator, x) for estimator in self.estimators]
        return np.concatenate(answers, axis=1)


def expected(estimator: Any, x: Float[np.ndarray, "image parent"]) -> Float64[np.ndarray, "image child"]:
    """Return an estimator's prediction: the probability of 1 where it classifies."""
    if not hasattr(estimator, "predict_proba"):
        found = np.asarray(estimator.predict(x), dtype=np.float64)
        return found[:, None] if found.ndim == 1 else found
    several = estimator.predict_proba(x)
    pairs = (
        zip(several, estimator.classes_, strict=True)
        if isinstance(several, list)
        else [(several, estimator.classes_)]
    )
    return np.stack([_of_one(part, classes) for part, classes in pairs], axis=1)


def _of_one(probability: Array, classes: Sequence[float]) -> Array:
    at = np.flatnonzero(np.asarray(classes) == 1)
    return probability[:, at[0]] if len(at) else np.zeros(len(probability))
