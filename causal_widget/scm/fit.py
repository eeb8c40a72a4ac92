"""Fit the structural equations of a network from moments alone."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from causal_widget.errors import ArgumentError, OrderError, UnknownNameError, nearest
from causal_widget.jobs import Progress
from causal_widget.responses import Collection, Moments, Reading
from causal_widget.scm.assemble import Part, assemble, unexplained
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.model import StructuralCausalModel
from causal_widget.scm.solve import solve, solve_stack

ESTIMATORS = ("ridge", "linear")
# On a CIFAR-10 ResNet-20, mean held-out R2 was best at a hundredth of the parents' variance with 3,200
# images, and with 400 far better there than with 1e-6 (.58 against .49).
RIDGE = 1e-2
Array = NDArray[np.float64]


def fit(
    collection: Collection,
    estimator: str = "ridge",
    ridge: float = RIDGE,
    progress: Progress | None = None,
) -> StructuralCausalModel:
    """Fit every unit's response as a linear function of its parents' responses.

    Parameters
    ----------
    collection
        Moments of the network's responses.
    estimator
        "linear": least squares, the minimum-norm solution where parents are collinear. "ridge": with a
        penalty.
    ridge
        The penalty of "ridge" as a share of each parent's variance, so that the scale of a parent's response
        does not matter: the coefficients b of a unit minimise mean squared residual + ridge x sum(variance_p
        x b_p**2).
    progress
        Told the number of layers done; asked whether to stop.

    Raises
    ------
    OrderError
        The collection holds fewer than 2 training images.
    UnknownNameError
        No estimator has that name.
    ArgumentError
        The ridge is negative or not finite.
    """
    penalty = _penalty(estimator, ridge)
    moments = collection.train
    if moments.count < 2:
        raise OrderError(
            f"The collection has {moments.count} training image(s); collect at least 2 before fitting."
        )
    told = progress or Progress()
    fitter = _Fitter(moments, collection.heldout, penalty)
    told.start(len(moments.layout.readings), "layers", "fitting")
    try:
        equations = {}
        for found in fitter.layers():
            equations[found.layer] = found
            told.advance(1)
    finally:
        told.finish()
    names = list(moments.layout.widths)
    return StructuralCausalModel(
        graph=collection.graph,
        transform=collection.transform,
        site=collection.site,
        estimator=estimator,
        ridge=penalty,
        n_images=moments.count,
        equations={name: equations[name] for name in names if name in equations},
        means={name: moments.mean(name) for name in names},
        deviations={name: np.sqrt(moments.variance(name)) for name in names},
    )


def _penalty(estimator: str, ridge: float) -> float:
    if estimator not in ESTIMATORS:
        raise UnknownNameError(
            f"There is no estimator {estimator!r} (known: {', '.join(ESTIMATORS)})."
            f"{nearest(estimator, ESTIMATORS)}"
        )
    if not (isinstance(ridge, Real) and np.isfinite(ridge) and ridge >= 0):
        raise ArgumentError(
            f"ridge is {ridge!r:.80}; expected a finite share of the parents' variance, 0 or more."
        )
    return float(ridge) if estimator == "ridge" else 0.0


class _Fitter:
    """Fits layer by layer; layers that read the same parents are solved together."""

    def __init__(self, train: Moments, heldout: Moments | None, penalty: float) -> None:
        self._train, self._heldout, self._penalty = train, heldout, penalty
        self._layout = train.layout

    def layers(self) -> Iterator[LayerEquations]:
        """Yield the equations of every layer that has parents; layers with the same parents side by side."""
        together: dict[object, list[str]] = {}
        for target, readings in self._layout.readings.items():
            single = len(readings) == 1 and readings[0].n_groups == 1
            together.setdefault(readings[0].key if single else target, []).append(target)
        for targets in together.values():
            yield from self._solve_together(targets)

    def _solve_together(self, targets: list[str]) -> Iterator[LayerEquations]:
        readings = [self._layout.readings[target] for target in targets]
        if len(targets) == 1 and (len(readings[0]) > 1 or readings[0][0].n_groups > 1):
            parts = [self._group(targets[0], i) for i in range(len(readings[0]))]
            yield assemble(targets[0], parts, self._train, self._heldout)
            return
        for part in self._shared([one[0] for one in readings]):
            yield assemble(part.reading.target, [part], self._train, self._heldout)

    def _shared(self, readings: list[Reading]) -> list[Part]:
        """Solve readings of the same parents with one factorisation, then judge each."""
        first = readings[0]
        gram = self._train.among(first)
        crosses = [self._train.across(reading) for reading in readings]
        dead = self._dead(first)[first.parents[0]]
        solution = solve(gram, np.concatenate(crosses, axis=1), dead, self._penalty)
        ends = np.cumsum([cross.shape[1] for cross in crosses])
        coefficients = np.split(solution.coefficients, ends[:-1], axis=1)
        residual = [unexplained(gram, c, b) for c, b in zip(crosses, coefficients, strict=True)]
        held = self._judge(readings, coefficients)
        return [
            Part(
                reading,
                np.ascontiguousarray(coefficients[i])[None],
                residual[i][None],
                None if held is None else held[i][None],
                np.array([solution.rank]),
                np.array([solution.condition]),
            )
            for i, reading in enumerate(readings)
        ]

    def _judge(self, readings: list[Reading], coefficients: list[Array]) -> list[Array] | None:
        if self._heldout is None:
            return None
        gram = self._heldout.among(readings[0])
        pairs = zip(readings, coefficients, strict=True)
        return [unexplained(gram, self._heldout.across(reading), found) for reading, found in pairs]

    def _group(self, target: str, index: int) -> Part:
        reading = self._layout.readings[target][index]
        if reading.n_groups == 1:
            return self._shared([reading])[0]
        gram, cross = self._train.stack(target, index)
        dead = self._dead(reading)[reading.parents]
        found, rank, condition = solve_stack(gram, cross, dead, self._penalty)
        held = None if self._heldout is None else unexplained(*self._heldout.stack(target, index), found)
        return Part(reading, found, unexplained(gram, cross, found), held, rank, condition)

    def _dead(self, reading: Reading) -> Bool[np.ndarray, " column"]:
        return np.concatenate([self._train.dead(source) for source in reading.sources])
