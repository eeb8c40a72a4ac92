"""A plan to measure effects: what it will cost, before anything runs; and its run."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from causal_widget.effects.adaptive import least_images
from causal_widget.effects.costs import Costs
from causal_widget.effects.effects import Effects
from causal_widget.effects.questions import Questions
from causal_widget.effects.running_plan import Memory, run_plan
from causal_widget.effects.work import Settings, Work
from causal_widget.jobs import Progress

__all__ = ["EffectPlan"]


@dataclass(frozen=True, eq=False, repr=False)
class EffectPlan:
    """Questions to a network, how they will be answered, and what that costs.

    Attributes
    ----------
    work, costs : Work, Costs
        What will run, and what a short measurement found of it.
    n_images : int or None
        How many images the loader tells of; None where it does not.
    """

    work: Work
    costs: Costs
    n_images: int | None
    _memory: Memory = field(default_factory=Memory)

    @property
    def questions(self) -> Questions:
        """What is asked."""
        return self.work.questions

    @property
    def n_units(self) -> int:
        """How many questions there are: units that are changed one at a time, or edits."""
        return self.work.n_questions

    @property
    def how(self) -> str:
        """Give the way to run: "exact", "controlled" or "adaptive"."""
        return self.work.aims.how

    @property
    def settings(self) -> Settings:
        """How the work is cut into pieces."""
        return self.costs.settings

    @property
    def reasons(self) -> Mapping[str, str]:
        """Layers, or single questions, that whole forward passes answer, and why."""
        return self.work.entries.told

    @property
    def seconds(self) -> float:
        """Expected time, for an adaptive run the least; NaN where the number of images is not known."""
        return self._seconds(self._least)

    @property
    def most_seconds(self) -> float:
        """The same if no question is settled before all images are measured."""
        return self._seconds(self._most)

    @property
    def forwards(self) -> float:
        """Expected work (the least) in forward passes of the whole network over one image."""
        return self.seconds / self.costs.forward

    @property
    def most_forwards(self) -> float:
        """The same if no question is settled before all images are measured."""
        return self.most_seconds / self.costs.forward

    @property
    def loop_forwards(self) -> float:
        """The work of a loop of whole passes over all images: one for each question, and one without."""
        return self._n * (self.n_units + 1)

    @property
    def kept_bytes(self) -> int:
        """Most memory for what is kept between the runs of one batch."""
        settings, entries = self.settings, self.work.entries
        return max(
            (
                entries.kept(group, settings.images)
                for group in settings.groups
                if group[0] not in entries.reasons
            ),
            default=0,
        )

    def run(
        self, seed: int = 0, progress: Progress | None = None, checkpoint: str | Path | None = None
    ) -> Effects:
        """Measure.

        Parameters
        ----------
        seed : int
            Of the order in which images are drawn, and of the halves and the bootstrap of the images.
        progress : Progress, optional
            Told of pairs of question and image, or of images; may cancel.
        checkpoint : str or Path, optional
            A file that what is finished is written to every few seconds, and when the run is cut short. If it
            is there, the run goes on from it, and gives the same bits as one without a break; of a finished
            run, it gives the result. Without it the plan itself remembers a run that was cut short, until
            it is run with another seed.

        Returns
        -------
        Effects
            Mean effect of each question on each outcome, and how sure it is.

        Raises
        ------
        ArgumentError
            If the checkpoint is of another run, there are fewer images than asked for, or the precision
            cannot be reached with them.
        DataError
            If the loader gives other images than when it was planned, or labels are no classes.
        NonFiniteError
            If an image or an outcome is NaN or infinite.
        Cancelled
            If the progress was cancelled.
        """
        return run_plan(self.work, self.settings, self._memory, seed, progress or Progress(), checkpoint)

    @property
    def _n(self) -> float:
        return math.nan if self.n_images is None else self.n_images

    @property
    def _least(self) -> float:
        if self.how == "exact" or math.isnan(self._n):
            return self._n
        return least_images(int(self._n), self.work.aims.exact)

    @property
    def _most(self) -> float:
        return self._n if self.how == "adaptive" else self._least

    def _seconds(self, exact: float) -> float:
        """Seconds with so many exact images for every question."""
        costs, groups = self.costs, self.work.groups
        pairs = sum(len(group) * costs.of_a_pair(layer) for layer, group in groups.items())
        each = pairs + len(self.settings.groups) * costs.forward
        if self.how == "exact":
            return exact * each
        return exact * (each + costs.recorded) + self._n * costs.recorded

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in self._lines())

    def _lines(self) -> list[str]:
        work, images = self.work, "?" if self.n_images is None else f"{self.n_images:,}"
        names = ", ".join(one.name for one in work.outcomes)
        lines = [
            f"EffectPlan: {_asked(work.questions)}, {images} images, outcomes {names}; {work.aims!r}",
            *self._cost_lines(),
            f"  {self.kept_bytes / 2**20:,.0f} MB kept a batch",
        ]
        if work.autocast is not None:
            kind = str(work.autocast).removeprefix("torch.")
            lines.append(f"  computed in {kind}, for screening: effects are of the network at that precision")
        return [*lines, *self._estimate_lines(), *_reason_lines(self.reasons, work)]

    def _cost_lines(self) -> list[str]:
        if math.isnan(self.seconds):
            return ["  the loader does not tell how many images it has: an unknown time"]
        least, most = self.forwards, self.most_forwards
        span = f"{least:,.0f}" if most <= least else f"{least:,.0f} to {most:,.0f}"
        time = _duration(self.seconds)
        if most > least:
            time = f"{time} to {_duration(self.most_seconds)}"
        lines = [
            f"  the work of {span} forward passes of one image; "
            f"a loop of whole passes would be {self.loop_forwards:,.0f}",
            f"  about {time}",
        ]
        if self.how == "adaptive":
            lines[-1] += f": exact effects on {int(self._least):,} images at least, on all at most"
        return lines

    def _estimate_lines(self) -> list[str]:
        if self.how == "exact":
            return []
        how = self.work.first_order.how
        without = [name for name, way in how.items() if not way]
        used = [name for name, way in how.items() if way]
        lines = [f"  first-order estimates on all images for {', '.join(used)}"] if used else []
        if without:
            lines.append(f"  no first-order estimate of {', '.join(without)}: its exact effects stand alone")
        return lines


def _asked(questions: Questions) -> str:
    units = [one for one in questions.all if one.unit is not None]
    if len(units) < len(questions):
        return repr(questions).removeprefix("Questions: ")
    edit = units[0].edit
    actions = {(repr(one.edit.action), one.edit.site) for one in units}  # type: ignore[union-attr]
    told = f"{edit.action!r} at {edit.site}" if len(actions) == 1 else "several actions"  # type: ignore[union-attr]
    return f"{told}, {len(units):,} units of {len(questions.groups)} layers"


def _reason_lines(reasons: Mapping[str, str], work: Work) -> list[str]:
    if not reasons:
        return ["  only what lies below a change runs again"]
    names, reason = list(reasons), next(iter(reasons.values()))
    everywhere = len(work.entries.reasons) == len(work.groups)
    shown = "every layer" if everywhere else ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return [f"  whole forward passes for {shown}, because {reason}"]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
