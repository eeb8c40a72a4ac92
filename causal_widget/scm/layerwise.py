"""Linear equations layer by layer; layers that read the same parents are solved together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from causal_widget.responses import Reading
from causal_widget.scm.assemble import Part, assemble
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.evidence import KINDS, Evidence
from causal_widget.scm.solvers import Solver


class LinearFitter:
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

    def layer(self, target: str) -> LayerEquations:
        """Return the equations of one layer."""
        return next(self._solve_together([target]))

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
