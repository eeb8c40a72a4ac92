"""Fit nonlinear equations from the raw table of responses, layer by layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from causal_widget.errors import ArgumentError, OrderError
from causal_widget.responses import Collection, RawResponses, Reading
from causal_widget.scm.estimators.functions import Function
from causal_widget.scm.estimators.learners import Learner, are_bits
from causal_widget.scm.evidence import KINDS, Evidence
from causal_widget.scm.judged import JudgedEquations
from causal_widget.scm.learned import Group, LearnedEquations
from causal_widget.scm.notes import common_notes, few_images

Array = NDArray[np.float64]
# A bit that is the other one in fewer images than this is too rare to be learned: its mean is the equation.
RARE = 5


@dataclass(frozen=True, eq=False)
class Rows:
    """Parents and children of some images.

    Attributes
    ----------
    x
        (image, column), the parents' actual responses.
    y
        (image, row), the natural responses of the layer's units.
    """

    x: NDArray[np.floating]
    y: Array


def rows_of(raw: RawResponses, kind: str, sources: Sequence[str], target: str, heldout: bool) -> Rows | None:
    """Return the training or held-out rows of one arm; None where it has none."""
    chosen = np.flatnonzero(raw.heldout == heldout)
    table = raw.observational if kind == "observational" else raw.interventional
    if table is None or not len(chosen):
        return None
    children = raw.observational[target] if kind == "observational" else raw.natural(target)
    x = np.concatenate([table[source][chosen] for source in sources], axis=1)
    return Rows(x, np.asarray(children[chosen], dtype=np.float64))


class RawFitter:
    """Learns layer by layer from a collection's raw table.

    Parameters
    ----------
    collection, evidence
        What was collected, and which part of it is fitted on.
    learner
        How.
    seed
        Of everything random.
    linear
        Gives the linear equations of the layers that a classifier cannot: the logits.
    check
        Called before each piece of work; may raise to stop.

    Raises
    ------
    OrderError
        The raw table was not collected.
    """

    def __init__(
        self,
        collection: Collection,
        evidence: Evidence,
        learner: Learner,
        seed: int,
        linear: Callable[[str], JudgedEquations],
        check: Callable[[], None],
    ) -> None:
        if collection.raw is None:
            raise OrderError(
                f'The estimator "{learner.name}" needs every image\'s responses, not their moments alone: '
                "collect(..., raw=True)."
            )
        self._raw, self._evidence, self._learner = collection.raw, evidence, learner
        self._output, self._transform = collection.graph.output.name, collection.transform
        self._seed, self._linear, self._check = seed, linear, check
        self._kinds = [kind for kind in KINDS if evidence.data in (kind, "both")]

    def layers(self) -> Iterator[JudgedEquations]:
        """Yield the equations of every layer that has parents."""
        for target in self._evidence.layout.readings:
            yield self._layer(target)

    def _layer(self, target: str) -> JudgedEquations:
        if self._learner.bits_only and target == self._output:
            return self._linear(target)
        sources = self._evidence.layout.readings[target][0].sources
        train = self._training(sources, target)
        bits = target != self._output and are_bits(train.y)
        if self._learner.bits_only and not bits:
            raise ArgumentError(
                f'The estimator "{self._learner.name}" classifies, and the responses of layer {target!r} '
                f'({self._transform}) are not 0 or 1: collect with transform="binary", or take an estimator '
                "that regresses."
            )
        return self._equations(target, train, bits)

    def _training(self, sources: Sequence[str], target: str) -> Rows:
        found = [rows_of(self._raw, kind, sources, target, heldout=False) for kind in self._kinds]
        parts = [part for part in found if part is not None]
        return Rows(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))

    def _equations(self, target: str, train: Rows, bits: bool) -> LearnedEquations:
        readings, layout = self._evidence.layout.readings[target], self._evidence.layout
        mean, columns = train.y.mean(axis=0), self._evidence.children(target)
        alive = ~columns.dead
        if bits:
            alive &= np.minimum(train.y.sum(axis=0), (1 - train.y).sum(axis=0)) >= RARE
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            groups = tuple(
                group for reading in readings for group in self._groups(reading, train, alive, bits)
            )
        unfinished = sum(issubclass(one.category, ConvergenceWarning) for one in caught)
        answer = _answers(groups, mean)
        quality = {"train": _quality(answer, train, columns.dead, bits)}
        sources = readings[0].sources
        for kind in KINDS:
            rows = rows_of(self._raw, kind, sources, target, heldout=True)
            quality[kind] = _quality(answer, rows, columns.dead, bits)
        return LearnedEquations(
            layer=target,
            parents=sources,
            widths=tuple(layout.widths[source] for source in sources),
            components=layout.components[target],
            parent_components=tuple(layout.components[source] for source in sources),
            r2=quality["train"].r2,
            noise=quality["train"].mse,
            accuracy=quality["train"].accuracy,
            heldout_r2=quality["observational"].r2,
            heldout_mse=quality["observational"].mse,
            heldout_accuracy=quality["observational"].accuracy,
            interventional_r2=quality["interventional"].r2,
            interventional_mse=quality["interventional"].mse,
            n_parents=_n_parents(readings, len(mean)),
            dead=np.flatnonzero(columns.dead),
            notes=self._notes(target, quality, alive | columns.dead, bits, unfinished),
            data=self._evidence.data,
            estimator=self._learner.name,
            mean=mean,
            groups=groups,
        )

    def _groups(self, reading: Reading, train: Rows, alive: NDArray[np.bool_], bits: bool) -> Iterator[Group]:
        for parents, children in zip(reading.parents, reading.children, strict=True):
            kept = children[alive[children]]
            if len(kept):
                y = train.y[:, kept]
                whole = len(parents) == train.x.shape[1]
                x = np.asarray(train.x if whole else train.x[:, parents], dtype=np.float64)
                function = self._learner.learn(x, y, bits, self._seed, self._check)
                yield Group(parents, kept, function)

    def _notes(
        self,
        target: str,
        quality: dict[str, _Quality],
        common: NDArray[np.bool_],
        bits: bool,
        unfinished: int,
    ) -> tuple[str, ...]:
        evidence = self._evidence
        columns, readings = evidence.children(target), evidence.layout.readings[target]
        judged = {kind: (quality[kind].r2, quality[kind].mse) for kind in KINDS}
        notes = common_notes(evidence, columns, evidence.dead_parents(readings[0].sources), judged)
        most = max(reading.parents.shape[1] for reading in readings)
        if evidence.count <= most:
            notes.append(few_images(evidence.count, most, None))
        rare = int((~common).sum())
        if bits and rare:
            notes.append(f"{rare} unit(s) change in fewer than {RARE} images: their mean is their equation.")
        if unfinished:
            notes.append(f"{unfinished} fit(s) stopped before they had converged.")
        return tuple(notes)


@dataclass(frozen=True, eq=False)
class _Quality:
    r2: Array
    mse: Array
    accuracy: Array


def _answers(groups: Sequence[Group], mean: Array) -> Callable[[NDArray[Any]], Array]:
    def answer(x: NDArray[Any]) -> Array:
        found = np.tile(mean, (len(x), 1))
        for group in groups:
            function: Function = group.function
            found[:, group.children] = function(np.asarray(x[:, group.parents], dtype=np.float64))
        return found

    return answer


def _quality(
    answer: Callable[[NDArray[Any]], Array], rows: Rows | None, dead: NDArray[np.bool_], bits: bool
) -> _Quality:
    nothing = np.full(len(dead), np.nan)
    if rows is None:
        return _Quality(nothing, nothing, nothing)
    found = answer(rows.x)
    mse, variance = ((found - rows.y) ** 2).mean(axis=0), rows.y.var(axis=0)
    undefined = dead | (variance <= (1e-7 * rows.y.mean(axis=0)) ** 2)
    r2 = np.where(undefined, np.nan, 1 - mse / np.where(undefined, 1.0, variance))
    return _Quality(r2, mse, ((found > 0.5) == (rows.y > 0.5)).mean(axis=0) if bits else nothing)


def _n_parents(readings: Sequence[Reading], n_rows: int) -> NDArray[np.intp]:
    answer = np.zeros(n_rows, dtype=np.intp)
    for reading in readings:
        answer[reading.children] = reading.parents.shape[1]
    return answer
