"""Fit the structural equations of a network from moments alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Real

import numpy as np
from jaxtyping import Float64

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.jobs import Progress
from causal_widget.responses import Collection, Reading
from causal_widget.scm.assemble import Part, assemble
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.equations_table import Equations
from causal_widget.scm.evidence import KINDS, Evidence
from causal_widget.scm.model import StructuralCausalModel
from causal_widget.scm.solvers import CrossValidated, Fixed, Solver

ESTIMATORS = ("ridge", "linear")
# On a CIFAR-10 ResNet-20, mean held-out R2 was best at a hundredth of the parents' variance with 3,200
# images, and with 400 far better there than with 1e-6 (.58 against .49).
RIDGE = 1e-2
LAMBDAS = np.logspace(-6, 1, 20)


def fit(
    collection: Collection,
    estimator: str = "ridge",
    *,
    data: str | None = None,
    ridge: float | str | None = None,
    lambdas: Float64[np.ndarray, " penalty"] | Sequence[float] | None = None,
    by: str = "unit",
    progress: Progress | None = None,
) -> StructuralCausalModel:
    """Fit every unit's response as a function of its parents' responses.

    Parameters
    ----------
    collection
        Moments of the network's responses.
    estimator
        "linear": least squares, the minimum-norm solution where parents are collinear. "ridge": with a
        penalty.
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
        Whether the penalty is chosen for each "unit" or for each "layer".
    progress
        Told the number of layers done; asked whether to stop.

    Raises
    ------
    OrderError
        The collection holds fewer than 2 training images, or no interventional ones where they are asked for.
    UnknownNameError
        No estimator, or data, has that name.
    ArgumentError
        The ridge is negative or not finite.
    """
    solver = _solver(estimator, ridge, lambdas, by)
    evidence = Evidence(collection, data)
    if isinstance(solver, CrossValidated) and evidence.n_folds < 2:
        solver = Fixed(RIDGE, (f"One fold of images cannot choose a ridge: {RIDGE} was taken.",))
    fitter = _Fitter(evidence, solver)
    told = progress or Progress()
    told.start(len(evidence.layout.readings), "layers", "fitting")
    equations = {}
    try:
        for found in fitter.layers():
            equations[found.layer] = found
            told.advance(1)
    finally:
        told.finish()
    return _model(collection, evidence, estimator, equations)


def _model(
    collection: Collection, evidence: Evidence, estimator: str, equations: dict[str, LayerEquations]
) -> StructuralCausalModel:
    names, natural = list(evidence.layout.widths), evidence.natural
    penalties = np.concatenate([one.penalty for one in equations.values()]) if equations else np.zeros(1)
    return StructuralCausalModel(
        graph=collection.graph,
        transform=collection.transform,
        site=collection.site,
        estimator=estimator,
        ridge=float(np.median(penalties)),
        n_images=evidence.count,
        equations=Equations({name: equations[name] for name in names if name in equations}),
        means={name: natural.mean(name) for name in names},
        deviations={name: np.sqrt(natural.variance(name)) for name in names},
        data=evidence.data,
        components=collection.components,
        silent=collection.silent,
        source=collection.source,
    )


def _solver(
    estimator: str,
    ridge: float | str | None,
    lambdas: Float64[np.ndarray, " penalty"] | Sequence[float] | None,
    by: str,
) -> Solver:
    if estimator not in ESTIMATORS:
        raise UnknownNameError(
            f"There is no estimator {estimator!r} (known: {', '.join(ESTIMATORS)})."
            f"{nearest(estimator, ESTIMATORS)}"
        )
    if by not in ("unit", "layer"):
        raise ArgumentError(f'by is {by!r:.80}; expected "unit" or "layer".')
    penalties = _penalties(lambdas)
    if ridge is None or ridge == "cv":
        return CrossValidated(penalties, by) if estimator == "ridge" else Fixed(0.0)
    if not (isinstance(ridge, Real) and np.isfinite(ridge) and ridge >= 0):
        raise ArgumentError(
            f'ridge is {ridge!r:.80}; expected "cv" or a finite share of the parents\' variance, 0 or more.'
        )
    return Fixed(float(ridge) if estimator == "ridge" else 0.0)


def _penalties(
    lambdas: Float64[np.ndarray, " penalty"] | Sequence[float] | None,
) -> Float64[np.ndarray, " penalty"]:
    found = LAMBDAS if lambdas is None else np.asarray(lambdas, dtype=np.float64)
    if found.ndim != 1 or not len(found) or not (np.isfinite(found) & (found > 0)).all():
        raise ArgumentError(f"lambdas is {lambdas!r:.80}; expected one or more finite numbers above 0.")
    return found


class _Fitter:
    """Fits layer by layer; layers that read the same parents are solved together."""

    def __init__(self, evidence: Evidence, solver: Solver) -> None:
        self._evidence, self._solver = evidence, solver
        self._readings = evidence.layout.readings

    def layers(self) -> Iterator[LayerEquations]:
        """Yield the equations of every layer that has parents; layers with the same parents side by side."""
        together: dict[object, list[str]] = {}
        for target, readings in self._readings.items():
            single = len(readings) == 1 and readings[0].n_groups == 1
            together.setdefault(readings[0].key if single else target, []).append(target)
        for targets in together.values():
            yield from self._solve_together(targets)

    def _solve_together(self, targets: list[str]) -> Iterator[LayerEquations]:
        if len(self._readings[targets[0]]) > 1:
            readings = self._readings[targets[0]]
            parts = [self._shared([reading], i)[0] for i, reading in enumerate(readings)]
            yield assemble(targets[0], parts, self._evidence)
            return
        for part in self._shared([self._readings[target][0] for target in targets], 0):
            yield assemble(part.reading.target, [part], self._evidence)

    def _shared(self, readings: list[Reading], index: int) -> list[Part]:
        """Solve readings of the same parents with one factorisation, judge them, and tell them apart."""
        normal = self._evidence.normal(readings, index)
        solved = self._solver(normal, self._evidence, readings, index)
        weighted = np.einsum("gp,gpc->gc", normal.parent_mean, solved.coefficients)
        intercept = normal.child_mean - weighted
        residual = normal.residual(solved.coefficients, intercept)
        del normal  # the held-out matrices are as large
        judged = {}
        for kind in KINDS:
            held = self._evidence.judge(kind, readings, index)
            if held is not None:
                judged[kind] = held.residual(solved.coefficients, intercept)
        whole = Part(
            readings[0],
            solved.coefficients,
            intercept,
            residual,
            solved.penalty,
            judged,
            solved.rank,
            solved.condition,
            solved.notes,
        )
        return _apart(whole, readings)


def _apart(whole: Part, readings: list[Reading]) -> list[Part]:
    """Cut children side by side into their readings."""
    parts, last = [], 0
    for reading in readings:
        cut = slice(last, last + reading.children.shape[1])
        last = cut.stop
        parts.append(
            replace(
                whole,
                reading=reading,
                coefficients=np.ascontiguousarray(whole.coefficients[:, :, cut]),
                intercept=whole.intercept[:, cut],
                residual=whole.residual[:, cut],
                penalty=whole.penalty[:, cut],
                judged={kind: found[:, cut] for kind, found in whole.judged.items()},
            )
        )
    return parts
