"""Effects that are measured once and looked up afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64, Int64

from causal_widget.effects.questions import Question
from causal_widget.effects.questions.entry import entry_of
from causal_widget.effects.questions.path_entry import PathEntry
from causal_widget.explanations.class_graphs.measuring import Measured
from causal_widget.interventions import Edits, PathEdit, UnitEdit
from causal_widget.jobs import Progress

__all__ = ["Memory", "Remembered"]

Key = UnitEdit | PathEdit | Edits
Effects = Float64[np.ndarray, " image"]


@dataclass(eq=False)
class Memory:
    """What is known of some images of a class.

    Attributes
    ----------
    measured : Measured
        All of the images.
    most : int
        Keep the effects of so many questions that were not asked for beforehand.
    known : dict of edit to array (image,)
        Effects.
    pairs : int
        Pairs of question and image measured so far.
    surprises : int
        Questions that had not been asked for beforehand.
    """

    measured: Measured
    most: int
    known: dict[Key, Effects] = field(default_factory=dict)
    pairs: int = 0
    surprises: int = 0
    _linear: dict[tuple[object, ...], bool] = field(default_factory=dict)

    def ask(self, questions: Iterable[Question], progress: Progress) -> None:
        """Measure what is not known yet."""
        new = {one.edit: one for one in questions if one.edit not in self.known}
        self.known |= self._measure(list(new.values()), progress)

    def forget(self) -> None:
        """Drop all that is known."""
        self.known.clear()

    def effects(self, questions: Sequence[Question]) -> dict[Key, Effects]:
        """Give effects by edit; what is not known is measured."""
        new = {one.edit: one for one in questions if one.edit not in self.known}
        if not new:
            return self.known
        self.surprises += len(new)
        found = self._measure(list(new.values()), Progress())
        if len(self.known) + len(found) <= self.most:
            self.known |= found
            return self.known
        return self.known | found

    def _measure(self, questions: list[Question], progress: Progress) -> dict[Key, Effects]:
        """Measure; what reaches the class's output by weights alone is measured at beta = 0 and scaled."""
        n = self.measured.n
        linear = {one.edit: _at_zero(one) for one in questions if self._is_linear(one)}
        bare = {one.edit: one for one in linear.values()}
        asked = [*bare.values(), *(one for one in questions if one.edit not in linear)]
        if not asked:
            return {}
        effects = self.measured.effects(asked, progress)
        self.pairs += n * len(asked)
        progress.advance(n * (len(linear) - len(bare)))
        found: dict[Key, Effects] = {one.edit: effects[:, k].copy() for k, one in enumerate(asked)}
        own = {
            edit: found[zero.edit] * (1 - edit.beta)
            for edit, zero in linear.items()
            if isinstance(edit, PathEdit)
        }
        kept = {one.edit for one in questions}
        return {edit: values for edit, values in found.items() if edit in kept} | own

    def _is_linear(self, question: Question) -> bool:
        """Whether the class's output is the weights' own: 1 - beta is then a factor of the effect."""
        edit, output = question.edit, self.measured.network.graph.output
        if not isinstance(edit, PathEdit) or edit.target != output.name or output.kind == "output":
            return False
        path = (*edit.source, edit.children)
        if path not in self._linear:
            entry = entry_of(self.measured.network.graph, edit)
            self._linear[path] = isinstance(entry, PathEntry) and entry.linear is not None
        return self._linear[path]


def _at_zero(question: Question) -> Question:
    assert isinstance(question.edit, PathEdit)
    return replace(question, edit=replace(question.edit, beta=0.0))


@dataclass(frozen=True, eq=False)
class Remembered(Measured):
    """As `Measured`, with answers from memory.

    Attributes
    ----------
    memory : Memory
        Of all images.
    rows : int64 array (image,)
        Which of these are meant.
    """

    memory: Memory | None = None
    rows: Int64[np.ndarray, " image"] = field(default_factory=lambda: np.zeros(0, np.int64))

    @staticmethod
    def of(memory: Memory) -> Remembered:
        """Give all images of a memory."""
        m = memory.measured
        return Remembered(m.network, m.images, m.index, m.column, memory, np.arange(m.n))

    def take(self, rows: Int64[np.ndarray, " image"]) -> Remembered:
        """Give the same for some of the images."""
        return replace(self, images=self.images[rows.tolist()], index=self.index[rows], rows=self.rows[rows])

    def effects(
        self, questions: Iterable[Question], progress: Progress
    ) -> Float64[np.ndarray, "image question"]:
        """Give the class's output under each question's edit minus that without, image by image."""
        asked = list(questions)
        assert self.memory is not None
        known = self.memory.effects(asked)
        if not asked:
            return np.zeros((self.n, 0))
        return np.stack([known[one.edit][self.rows] for one in asked], axis=1)
