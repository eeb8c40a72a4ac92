"""What a run has finished so far, in pieces that are whole or not there at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float64

from causal_widget.effects.evidence import Evidence
from causal_widget.effects.pool import Part
from causal_widget.effects.remembered import Remembered
from causal_widget.effects.statistics import EffectMoments

__all__ = ["Before", "Cost", "Evidence", "Finished", "Shards"]


@dataclass(frozen=True, eq=False)
class Finished:
    """The state of a run between two shards; a shard is one layer's questions on one part of the images.

    Attributes
    ----------
    seed : int
        Of the run.
    stage, part, layers : int, int, tuple of str
        How many stages, parts of the stage at hand, and layers of the part at hand are finished.
    evidence : dict of layer name to evidence
        What was measured.
    before, sizes : EffectMoments
        The outcomes without a change, and the sizes of the logits.
    open, judged : dict of layer name to array of bool, shape (question,), and int
        Which questions are not settled, as judged before a stage.
    counted, ran : int
        Units of progress of the stage at hand; pairs of question and image that were run in all.
    worked, seconds : float
        Work in forward passes of one image, and time.
    remembered : Remembered, optional
        First-order estimates that are needed again; it grows in place.
    """

    seed: int
    stage: int = 0
    part: int = 0
    layers: tuple[str, ...] = ()
    evidence: dict[str, Evidence] = field(default_factory=dict)
    before: EffectMoments | None = None
    sizes: EffectMoments = field(default_factory=lambda: EffectMoments.empty(()))
    open: dict[str, Bool[np.ndarray, " question"]] = field(default_factory=dict)
    judged: int = 0
    counted: int = 0
    ran: int = 0
    worked: float = 0.0
    seconds: float = 0.0
    remembered: Remembered | None = None

    @property
    def n_images(self) -> int | None:
        """How many images the loader gives; None before the first stage, which sees them all, is over."""
        return int(self.sizes.n) if self.stage else None

    @property
    def began(self) -> bool:
        """Whether anything is finished at all."""
        return bool(self.stage or self.part or self.layers)


@dataclass(frozen=True)
class Cost:
    """What a shard took: units of progress, pairs that were run, work in forward passes of one image."""

    counted: int
    ran: int
    worked: float


@dataclass(frozen=True, eq=False)
class Before:
    """What a part gives without a change: its outcomes, the sizes of its logits, how hard each image is."""

    outcomes: EffectMoments
    sizes: EffectMoments
    hardness: Float64[np.ndarray, " image"]


class Shards:
    """Goes through the stages of a run, and takes down what is finished.

    Parameters
    ----------
    finished : Finished
        Where to go on.
    note : callable (Finished, bool)
        Given each new state; True where a stage is over.
    """

    def __init__(self, finished: Finished, note: Callable[[Finished, bool], None]) -> None:
        self.now, self._note = finished, note

    def stage(self, number: int, parts: Callable[[], Iterable[Part]]) -> Iterator[Part]:
        """Give the parts of a stage that are not finished; a finished stage makes no pass."""
        if self.now.stage > number:
            return
        for part in parts():
            if part.number < self.now.part:
                continue
            yield part
            if self.now.part == part.number:
                self._to(replace(self.now, part=part.number + 1, layers=()))
        self._to(replace(self.now, stage=number + 1, part=0, layers=(), counted=0), over=True)

    def judge(self, stage: int, still: dict[str, Bool[np.ndarray, " question"]]) -> None:
        """Take down which questions are open before a stage."""
        self.now = replace(self.now, open=still, judged=stage)

    def remember(
        self,
        part: Part,
        cheap: dict[str, Float64[np.ndarray, "image question column"]],
        changed: dict[str, Bool[np.ndarray, "image question"]],
        hardness: Float64[np.ndarray, " image"],
        budget: int,
        images: int | None,
    ) -> None:
        """Remember estimates of a part, of so many images in all; one that comes again changes nothing."""
        known = self.now.remembered
        if known is None:
            shapes = {layer: one.shape[1:] for layer, one in cheap.items()}
            known = Remembered.empty(self.now.seed, shapes, budget, images)
            self.now = replace(self.now, remembered=known)
        known.see(part.index.cpu().numpy(), cheap, changed, hardness)

    def group(self, evidence: dict[str, Evidence]) -> None:
        """Put evidence in strata; made of what is remembered, and so the same each time."""
        self.now = replace(self.now, evidence=evidence)

    def has(self, layer: str) -> bool:
        """Whether a layer is finished in the part at hand."""
        return layer in self.now.layers

    def layer(self, layer: str, evidence: Evidence, cost: Cost, before: Before | None = None) -> None:
        """Take down a layer that is finished in the part at hand.

        Parameters
        ----------
        layer, evidence : str, evidence
            Whose, and what is known now.
        cost : Cost
            What it took.
        before : Before, optional
            What the part gives without a change; counted with the first layer of a part alone.
        """
        found = self._plus(cost, before if not self.now.layers else None)
        layers = (*self.now.layers, layer)
        self._to(replace(found, layers=layers, evidence={**found.evidence, layer: evidence}))

    def part(self, part: Part, evidence: dict[str, Evidence], cost: Cost, before: Before) -> None:
        """Take down a part that is finished for all layers at once."""
        found = self._plus(cost, before)
        merged = {**found.evidence, **evidence}
        self._to(replace(found, part=part.number + 1, layers=(), evidence=merged))

    def _plus(self, cost: Cost, before: Before | None) -> Finished:
        now = replace(
            self.now,
            counted=self.now.counted + cost.counted,
            ran=self.now.ran + cost.ran,
            worked=self.now.worked + cost.worked,
        )
        if before is None:
            return now
        outcomes = before.outcomes if now.before is None else now.before.merge(before.outcomes)
        return replace(now, before=outcomes, sizes=now.sizes.merge(before.sizes))

    def _to(self, state: Finished, over: bool = False) -> None:
        self.now = state
        self._note(state, over)
