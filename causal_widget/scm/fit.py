"""Fit the structural equations of a network: linear ones from moments alone, others from raw responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from jaxtyping import Float64

from causal_widget.errors import ArgumentError, OrderError, UnknownNameError, check_seed, nearest
from causal_widget.jobs import Progress
from causal_widget.responses import Collection
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.equations_table import Equations
from causal_widget.scm.estimators.learners import LEARNERS, Learner, learner_of
from causal_widget.scm.estimators.raw import RawFitter
from causal_widget.scm.estimators.sparse import METHODS, Sparse
from causal_widget.scm.evidence import Evidence
from causal_widget.scm.judged import JudgedEquations
from causal_widget.scm.layerwise import LinearFitter
from causal_widget.scm.model import StructuralCausalModel
from causal_widget.scm.solvers import CrossValidated, Fixed, Solver

LINEAR = ("ridge", "linear", *METHODS)
ESTIMATORS = (*LINEAR, *LEARNERS)
# On a CIFAR-10 ResNet-20, mean held-out R2 was best at a hundredth of the parents' variance with 3,200
# images, and with 400 far better there than with 1e-6 (.58 against .49).
RIDGE = 1e-2
LAMBDAS = np.logspace(-6, 1, 20)


def fit(
    collection: Collection,
    estimator: str | Any = "ridge",
    *,
    data: str | None = None,
    ridge: float | str | None = None,
    lambdas: Float64[np.ndarray, " penalty"] | Sequence[float] | None = None,
    by: str = "unit",
    alpha: float | None = None,
    n_nonzero: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> StructuralCausalModel:
    """Fit every unit's response as a function of its parents' responses.

    Parameters
    ----------
    collection
        Moments of the network's responses.
    estimator
        From moments: "linear", least squares, the minimum-norm solution where parents are collinear; "ridge",
        with a penalty; "lars" and "lasso", with few parents, a path a unit (about 0.01 s with 64 parents and
        0.7 s with 512, five times that where folds choose: give alpha or n_nonzero for wide networks). From
        the raw table (`collect` with raw=True): "logistic" (of responses that are 0 or 1), "svm",
        "random_forest", "gradient_boosting", "mlp", or any estimator object of scikit-learn, cloned for each
        unit. What classifies leaves the logits, which are no bits, to "ridge".
    data
        "observational", "interventional" or "both"; None takes both where interventional images were
        collected.
    ridge
        The penalty of "ridge" as a share of each parent's variance, so that the scale of a parent's response
        does not matter: the coefficients b of a unit minimise mean squared residual + ridge x sum(variance_p
        x b_p**2). "cv" or None: the one of `lambdas` that predicts left-out folds best; a collection of one
        fold takes `RIDGE` and says so in the notes.
    lambdas
        Penalties to choose from; None takes 20 from 1e-6 to 10, evenly in logarithms.
    by
        Whether the penalty is chosen for each "unit" or one for each "layer". With 300 training images of
        CIFAR-10, units choose better on a LeNet-5 (mean held-out R2 .481 against .474) and alike on a
        ResNet-20 (.631 and .632); with 4,000 there is no difference.
    alpha
        The penalty of "lars" and "lasso": the correlation with the residual that is left to each parent, from
        0 (the end of the path) to 1; None lets folds choose.
    n_nonzero
        Of "lars" and "lasso": stop at so many parents instead.
    seed
        Of whatever is random in an estimator.
    progress
        Told the number of layers done; asked whether to stop.

    Raises
    ------
    OrderError
        The collection holds fewer than 2 training images, no interventional ones or no raw table where they
        are asked for, or a single fold where folds are to choose alpha.
    UnknownNameError
        No estimator, or data, has that name.
    ArgumentError
        A number is out of range; or a classifier is asked for where responses are not 0 or 1.
    """
    chosen, told = _chosen(estimator), progress or Progress()
    evidence = Evidence(collection, data)
    options = _Options(ridge, _penalties(lambdas), by, alpha, n_nonzero, check_seed(seed))
    fitter: LinearFitter | RawFitter
    if isinstance(chosen, Learner):
        linear = LinearFitter(evidence, _solver("ridge", options, evidence, told))
        fitter = RawFitter(collection, evidence, chosen, options.seed, linear.layer, told.check)
    else:
        fitter = LinearFitter(evidence, _solver(chosen, options, evidence, told))
    told.start(len(evidence.layout.readings), "layers", "fitting")
    equations: dict[str, JudgedEquations] = {}
    try:
        for found in fitter.layers():
            equations[found.layer] = found
            told.advance(1)
    finally:
        told.finish()
    return _model(collection, evidence, chosen if isinstance(chosen, str) else chosen.name, equations)


@dataclass(frozen=True, eq=False)
class _Options:
    ridge: float | str | None
    lambdas: Float64[np.ndarray, " penalty"]
    by: str
    alpha: float | None
    n_nonzero: int | None
    seed: int

    def __post_init__(self) -> None:
        if self.by not in ("unit", "layer"):
            raise ArgumentError(f'by is {self.by!r:.80}; expected "unit" or "layer".')
        share = self.ridge is None or self.ridge == "cv" or _number(self.ridge)
        if not share or (_number(self.ridge) and not 0 <= float(self.ridge or 0) < np.inf):
            raise ArgumentError(
                f'ridge is {self.ridge!r:.80}; expected "cv" or a finite share of the parents\' variance, '
                "0 or more."
            )
        if self.alpha is not None and not (_number(self.alpha) and 0 <= self.alpha <= 1):
            raise ArgumentError(f"alpha is {self.alpha!r:.80}; expected a correlation from 0 to 1.")
        whole = isinstance(self.n_nonzero, Integral) and not isinstance(self.n_nonzero, bool)
        if self.n_nonzero is not None and not (whole and self.n_nonzero >= 1):
            raise ArgumentError(f"n_nonzero is {self.n_nonzero!r:.80}; expected a whole number from 1.")


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _chosen(estimator: str | Any) -> str | Learner:
    """Return the name of a linear estimator, or how another one learns."""
    if not isinstance(estimator, str):
        return learner_of(estimator)
    if estimator not in ESTIMATORS:
        raise UnknownNameError(
            f"There is no estimator {estimator!r} (known: {', '.join(ESTIMATORS)})."
            f"{nearest(estimator, ESTIMATORS)}"
        )
    return LEARNERS.get(estimator, estimator)


def _solver(name: str, options: _Options, evidence: Evidence, told: Progress) -> Solver:
    """Return how linear equations are solved."""
    if name in METHODS:
        sparse = Sparse(name, options.alpha, options.n_nonzero, told.check)
        if sparse.by_folds and evidence.n_folds < 2:
            raise OrderError(
                f'"{name}" needs two or more folds of images to choose its penalty: collect with folds=4, or '
                "give alpha= or n_nonzero=."
            )
        return sparse
    if name == "linear":
        return Fixed(0.0)
    if isinstance(options.ridge, Real):
        return Fixed(float(options.ridge))
    if evidence.n_folds < 2:
        return Fixed(RIDGE, (f"One fold of images cannot choose a ridge: {RIDGE} was taken.",))
    return CrossValidated(options.lambdas, options.by, told.check)


def _penalties(
    lambdas: Float64[np.ndarray, " penalty"] | Sequence[float] | None,
) -> Float64[np.ndarray, " penalty"]:
    found = LAMBDAS if lambdas is None else np.asarray(lambdas, dtype=np.float64)
    if found.ndim != 1 or not len(found) or not (np.isfinite(found) & (found > 0)).all():
        raise ArgumentError(f"lambdas is {lambdas!r:.80}; expected one or more finite numbers above 0.")
    return found


def _model(
    collection: Collection, evidence: Evidence, estimator: str, equations: dict[str, JudgedEquations]
) -> StructuralCausalModel:
    names, natural = list(evidence.layout.widths), evidence.natural
    penalties = [one.penalty for one in equations.values() if isinstance(one, LayerEquations)]
    return StructuralCausalModel(
        graph=collection.graph,
        transform=collection.transform,
        site=collection.site,
        estimator=estimator,
        ridge=float(np.median(np.concatenate(penalties))) if penalties else 0.0,
        n_images=evidence.count,
        equations=Equations({name: equations[name] for name in names if name in equations}),
        means={name: natural.mean(name) for name in names},
        deviations={name: np.sqrt(natural.variance(name)) for name in names},
        data=evidence.data,
        components=collection.components,
        silent=collection.silent,
        source=collection.source,
    )
