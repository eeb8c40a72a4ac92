"""What many runs of a class's graph cost, and the runs."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int8
from torch import nn

from causal_widget.evaluation.class_graphs.betas import RunSettings, Strengths
from causal_widget.evaluation.class_graphs.reliability_result import Reliability
from causal_widget.evaluation.class_graphs.remembered import Memory, Remembered
from causal_widget.explanations.class_graphs.asking import Asked
from causal_widget.explanations.class_graphs.finding import found_layers
from causal_widget.explanations.class_graphs.layer_units import NOT_ASKED, LayerUnits
from causal_widget.explanations.class_graphs.measuring import Measured
from causal_widget.explanations.class_graphs.settings import Settings
from causal_widget.guard import guarded
from causal_widget.jobs import Progress

__all__ = ["ReliabilityPlan"]


@dataclass(frozen=True, eq=False, repr=False)
class ReliabilityPlan:
    """Many runs of `explain_class` on the same images, each with betas of its own.

    Attributes
    ----------
    model : nn.Module
        The network.
    device : torch.device
        Where it runs.
    measured : Measured
        The class's images.
    name : str
        Of the class.
    settings : Settings
        As of one graph; of mode, alpha, halves.
    min_effect : float
        Least effect, in units of the class's output.
    strengths : Strengths
        The betas of all runs.
    layers : tuple of LayerUnits
        The graph at the middle of b's range, by which the work is foreseen.
    pace : float
        Seconds for a pair of unit and image, as finding that graph took.
    """

    model: nn.Module
    device: torch.device
    measured: Measured
    name: str
    settings: Settings
    min_effect: float
    strengths: Strengths
    layers: tuple[LayerUnits, ...]
    pace: float

    @property
    def units(self) -> int:
        """How many units lead to the class."""
        return sum(int((one.verdict != NOT_ASKED).sum()) for one in self.layers)

    @property
    def pairs(self) -> int:
        """Pairs of unit and image to be measured, if every run finds the targets that this graph has."""
        return self._foreseen(np.arange(self.strengths.runs)) * self.measured.n

    def _foreseen(self, rows: np.ndarray) -> int:
        """How many pairs of unit and beta some runs have."""
        asked = (
            (self._drawn[one.layer][rows], np.flatnonzero(one.verdict != NOT_ASKED)) for one in self.layers
        )
        return sum(len(np.unique(betas[:, unit])) for betas, units in asked for unit in units)

    @property
    def most_pairs(self) -> int:
        """The same, if no run finds them."""
        return self.pairs + self.units * self.strengths.runs * self.measured.n

    @property
    def seconds(self) -> float:
        """About how long it takes if the targets stay."""
        return self.pairs * self.pace

    def run(self, progress: Progress | None = None) -> Reliability:
        """Do the runs.

        First each unit's effects are measured at all its betas, through the targets of the graph at the
        middle of b's range; then every run is judged as `explain_class` judges, and only where its targets
        differ is anything measured again.

        Parameters
        ----------
        progress : Progress, optional
            Counts pairs of unit and image, then runs; may cancel.

        Raises
        ------
        Cancelled
            If the progress was cancelled.
        """
        began, told = time.perf_counter(), progress or Progress()
        with guarded(self.model, self.device):
            return self._run(told, began)

    def _run(self, told: Progress, began: float) -> Reliability:
        parts = self._parts
        memory = Memory(self.measured, most=self._most)
        found: dict[str, list[Int8[np.ndarray, " unit"]]] = {one.layer: [] for one in self.layers}
        for rows in parts:
            memory.forget()
            with _counted(told, self._foreseen(rows) * self.measured.n, "pairs of unit and image"):
                self._foresee(memory, rows, told)
            with _counted(told, len(rows), "runs"):
                for run in rows.tolist():
                    for one in self._layers_of(memory, run):
                        found[one.layer].append(_signs(one))
                    told.advance()
        s = self.settings
        return Reliability(
            self.measured.column, self.name, s.mode, s.alpha, self.strengths.centres, self.strengths.ranges,
            {layer: np.stack(signs) for layer, signs in found.items()}, self.measured.n,
            self.strengths.different, self.strengths.seed, memory.pairs, memory.surprises,
            time.perf_counter() - began, self._choices,
        )  # fmt: skip

    @property
    def _choices(self) -> dict[str, str]:
        s = self.strengths
        pool = "drawn anew in each run"
        if s.different is not None:
            pool = f"one of {s.different:,} of that unit, drawn uniformly over all of b's range"
        return {
            **self.settings.choices,
            "intervention": f"beta drawn for every unit and run from U(b - 0.01, b + 0.01), {pool}",
            "runs": f"{s.runs:,}; b rises from {s.b[0]:g} to {s.b[1]:g}, every 10 runs, as in the paper",
            "images": "the same in all runs, and the same halves: runs differ by their betas alone",
        }

    @cached_property
    def _drawn(self) -> Mapping[str, np.ndarray]:
        """Betas (run, unit) by layer."""
        graph, strengths = self.measured.network.graph, self.strengths
        return {
            one.layer: np.stack(
                [strengths.of(graph.layer(one.layer).index, unit) for unit in range(len(one.verdict))], axis=1
            )
            for one in self.layers
        }

    @property
    def _most(self) -> int:
        """How many questions' effects are kept at once."""
        return max(1, self.measured.network.budget // (8 * self.measured.n))

    @property
    def _parts(self) -> list[np.ndarray]:
        """Runs that are foreseen together: betas rise with the runs, so that parts share few of them."""
        runs = self.strengths.runs
        parts = -(-self.pairs // (self._most * self.measured.n))
        return np.array_split(np.arange(runs), min(max(parts, 1), runs))

    def _foresee(self, memory: Memory, rows: np.ndarray, told: Progress) -> None:
        graph = self.measured.network.graph
        for one in reversed(self.layers):
            asked = Asked(one.layer, one.targets, one.reads)
            memory.ask(
                (
                    asked.question(graph, unit, float(beta))
                    for unit in asked.units
                    for beta in np.unique(self._drawn[one.layer][rows, unit])
                ),
                told,
            )

    def _layers_of(self, memory: Memory, run: int) -> tuple[LayerUnits, ...]:
        s = self.settings
        drawn = {layer: betas[run] for layer, betas in self._drawn.items()}
        settings = RunSettings(
            s.mode, s.alpha, s.level, float(self.strengths.centres[run]), s.min_effect, s.wrong, s.least,
            s.seed, drawn,
        )  # fmt: skip
        return found_layers(Remembered.of(memory), settings, self.min_effect, Progress(), lambda _: None)

    def __repr__(self) -> str:
        betas = "a beta of its own in each run"
        if self.strengths.different is not None:
            betas = f"at {min(self.strengths.different, self.strengths.runs):,} betas"
        return "\n".join(
            [
                f'ReliabilityPlan: {self.strengths.runs:,} runs of the graph of class "{self.name}", mode '
                f'"{self.settings.mode}", {self.measured.n:,} images',
                f"  {self.units:,} units, each {betas}: {self.pairs:,} pairs of unit and image if no run's "
                f"targets differ, at most {self.most_pairs:,}",
                f"  about {self.seconds:,.0f} s if they do not (a graph took {self.pace * 1e6:,.0f} \u00b5s "
                f"a pair)",
            ]
        )

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in repr(self).splitlines())


def _signs(one: LayerUnits) -> Int8[np.ndarray, " unit"]:
    signs = (one.verdict == "critical").astype(np.int8) - (one.verdict == "detrimental")
    return np.asarray(signs, dtype=np.int8)


@contextmanager
def _counted(told: Progress, total: int, unit: str) -> Iterator[None]:
    told.start(total, unit, "reliability")
    try:
        yield
    finally:
        told.finish()
