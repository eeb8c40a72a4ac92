"""How nonlinear equations are learned from raw responses: by name, or by any estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import LinearSVC, LinearSVR

from causal_widget.errors import ArgumentError
from causal_widget.scm.estimators.functions import Fitted, Function, Linear, Logistic, Network

Array = NDArray[np.float64]
Check = Callable[[], None]
HIDDEN = 64
# What the linear part of "mlp" is held down by, as a share of each parent's variance.
RIDGE = 1e-2


@dataclass(frozen=True)
class Learner:
    """A way to learn the equations of children that read the same parents.

    Attributes
    ----------
    name
        Under which it is asked for, or the estimator's class.
    about
        What it does, for a person.
    learn
        From parents (image, parent), children (image, child) that all vary, whether they are bits, a seed and
        a function to call between children, to the function.
    bits_only
        It classifies, so responses must be 0 or 1.
    """

    name: str
    about: str
    learn: Callable[[Array, Array, bool, int, Check], Function]
    bits_only: bool = False


def _scaling(x: Array) -> tuple[Array, Array]:
    """Return means and inverse deviations of the parents; 0 for those without variance."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    alive = deviation > 1e-7 * np.abs(mean)
    return mean, np.divide(1, deviation, out=np.zeros_like(deviation), where=alive)


def _unscaled(weight: Array, bias: Array, mean: Array, inverse: Array) -> tuple[Array, Array]:
    """Return weights and biases for parents as they are, from those for standardised parents."""
    plain = weight * inverse[:, None]
    return plain, bias - mean @ plain


def _logistic(x: Array, y: Array, bits: bool, seed: int, check: Check) -> Function:
    mean, inverse = _scaling(x)
    z, weights, biases = (x - mean) * inverse, [], []
    for child in y.T:
        check()
        model = LogisticRegression(max_iter=1000).fit(z, child)
        weights.append(model.coef_[0])
        biases.append(model.intercept_[0])
    return Logistic(*_unscaled(np.stack(weights, axis=1), np.array(biases), mean, inverse))


def _svm(x: Array, y: Array, bits: bool, seed: int, check: Check) -> Function:
    mean, inverse = _scaling(x)
    z, weights, biases = (x - mean) * inverse, [], []
    spread = y.std(axis=0)
    for child, scale in zip(y.T, spread, strict=True):
        check()
        if bits:
            weight, bias = _machine_of_bits(z, child, seed)
        else:
            model = LinearSVR(dual="auto", loss="squared_epsilon_insensitive", random_state=seed)
            model.fit(z, (child - child.mean()) / scale)
            weight, bias = model.coef_ * scale, float(model.intercept_[0]) * scale + child.mean()
        weights.append(weight)
        biases.append(bias)
    kind = Logistic if bits else Linear
    return kind(*_unscaled(np.stack(weights, axis=1), np.array(biases), mean, inverse))


def _machine_of_bits(z: Array, child: Array, seed: int) -> tuple[Array, float]:
    """Return a linear machine's weights and bias, scaled so that they give log odds (Platt 1999)."""
    machine = LinearSVC(dual="auto", random_state=seed, max_iter=5000)
    model = CalibratedClassifierCV(machine, method="sigmoid", cv=3, ensemble=False).fit(z, child)
    fitted = model.calibrated_classifiers_[0]
    a, b = fitted.calibrators[0].a_, fitted.calibrators[0].b_
    return -a * fitted.estimator.coef_[0], float(-a * fitted.estimator.intercept_[0] - b)


def _forest(x: Array, y: Array, bits: bool, seed: int, check: Check) -> Function:
    kind = RandomForestClassifier if bits else RandomForestRegressor
    forest = kind(n_estimators=100, max_features=1 / 3, min_samples_leaf=2, random_state=seed, n_jobs=-1)
    check()
    forest.fit(x, y[:, 0] if y.shape[1] == 1 else y)
    # threads would add the trees up in another order every time
    return Fitted((forest.set_params(n_jobs=1),), y.shape[1])


def _boosting(x: Array, y: Array, bits: bool, seed: int, check: Check) -> Function:
    kind = HistGradientBoostingClassifier if bits else HistGradientBoostingRegressor
    return _one_a_child(kind(max_iter=50, max_leaf_nodes=15, random_state=seed), x, y, check)


def _one_a_child(estimator: Any, x: Array, y: Array, check: Check) -> Function:
    fitted = []
    for child in y.T:
        check()
        fitted.append(clone(estimator).fit(x, child))
    return Fitted(tuple(fitted), y.shape[1])


def _mlp(x: Array, y: Array, bits: bool, seed: int, check: Check) -> Function:
    """Learn a network for bits; for other responses, what a linear equation leaves."""
    mean, inverse = _scaling(x)
    z = (x - mean) * inverse
    shape = (len(inverse), y.shape[1])
    settings: dict[str, Any] = {
        "hidden_layer_sizes": (HIDDEN,),
        "alpha": 1e-3,
        "early_stopping": True,
        "max_iter": 300,
        "random_state": seed,
    }
    check()
    if bits:
        linear, offset, left = np.zeros(shape), np.zeros(shape[1]), y
        scale = np.ones(shape[1])
        model = MLPClassifier(**settings)
    else:
        offset = y.mean(axis=0)
        gram = z.T @ z / len(z) + RIDGE * np.eye(len(inverse))
        linear = np.linalg.solve(gram, z.T @ (y - offset) / len(z))
        left = y - offset - z @ linear
        scale = np.maximum(left.std(axis=0), np.finfo(float).tiny)
        model = MLPRegressor(**settings)
        left = left / scale
    model.fit(z, left[:, 0] if shape[1] == 1 else left)
    weights = tuple(np.asarray(part, dtype=np.float64) for part in model.coefs_)
    biases = tuple(np.asarray(part, dtype=np.float64) for part in model.intercepts_)
    return Network(mean, inverse, linear, offset, weights, biases, scale, bits)


_ALL = (
    Learner("logistic", "Logistic regression of bits.", _logistic, bits_only=True),
    Learner("svm", "Linear support vector machine; of bits with Platt's probabilities.", _svm),
    Learner("random_forest", "100 trees for all children together.", _forest),
    Learner(
        "gradient_boosting", "Gradient boosting of 50 small trees over histograms, child by child.", _boosting
    ),
    Learner("mlp", f"A network with {HIDDEN} hidden units, beside a linear equation.", _mlp),
)
LEARNERS: Mapping[str, Learner] = {one.name: one for one in _ALL}


def learner_of(estimator: Any) -> Learner:
    """Return how an estimator object of scikit-learn learns equations.

    It is cloned for every child, or for all of a group together where it takes several targets by itself;
    where its `random_state` is None, the seed of `fit` is used.

    Raises
    ------
    ArgumentError
        It is no estimator of scikit-learn.
    """
    needed = ("fit", "predict", "get_params")
    if isinstance(estimator, type) or not all(hasattr(estimator, name) for name in needed):
        raise ArgumentError(
            f"estimator is {estimator!r:.80}; expected a name or an estimator object of scikit-learn, with "
            "fit and predict."
        )

    def learn(x: Array, y: Array, bits: bool, seed: int, check: Check) -> Function:
        seeded = clone(estimator)
        if seeded.get_params().get("random_state", 0) is None:
            seeded.set_params(random_state=seed)
        if not is_classifier(seeded) and y.shape[1] > 1 and _takes_several(seeded):
            check()
            return Fitted((seeded.fit(x, y),), y.shape[1])
        return _one_a_child(seeded, x, y, check)

    name = type(estimator).__name__
    return Learner(name, f"scikit-learn's {name}.", learn, bits_only=is_classifier(estimator))


def _takes_several(estimator: Any) -> bool:
    """Ask scikit-learn whether an estimator takes several targets by itself."""
    try:
        from sklearn.utils import get_tags
    except ImportError:  # before scikit-learn 1.6
        return bool(estimator._get_tags()["multioutput"])
    return bool(get_tags(estimator).target_tags.multi_output)


def are_bits(values: Float[np.ndarray, "image child"]) -> bool:
    """Whether all responses are 0 or 1."""
    return bool(np.isin(values, (0, 1)).all())
