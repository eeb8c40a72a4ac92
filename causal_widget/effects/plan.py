"""What the effects of edits will cost to measure, before anything runs; and how it will run."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.effects.adaptive import least_images
from causal_widget.effects.aims import aims
from causal_widget.effects.costs import Costs, measured_costs
from causal_widget.effects.cutting import BUDGET
from causal_widget.effects.effects import Effects
from causal_widget.effects.entries import Entries
from causal_widget.effects.forward import logits_of
from causal_widget.effects.outcomes import Outcome
from causal_widget.effects.outcomes import outcomes as outcomes_of
from causal_widget.effects.pool import digest
from causal_widget.effects.questions import Context, Questions, questions_of_edits, questions_of_units
from causal_widget.effects.running_plan import Memory, run_plan
from causal_widget.effects.work import Settings, Work
from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import SITES, FilterGraph, trace
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.interventions import Action, Zero, donors, means
from causal_widget.jobs import Progress
from causal_widget.responses import Batch, batches, check_range, count_images

__all__ = ["EffectPlan", "plan_effects"]


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


def plan_effects(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    units: Mapping[str, Iterable[int]] | None = None,
    *,
    edits: object = None,
    intervention: Action | None = None,
    site: str = "activation",
    outcomes: object = None,
    precision: object = None,
    top: int | None = None,
    by: str | None = None,
    exact: int | None = None,
    level: float = 0.95,
    population: int | str | None = "given",
    graph: FilterGraph | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
    max_batches: int | None = None,
    autocast: torch.dtype | None = None,
) -> EffectPlan:
    """Plan to measure what edits do to a network's answers: each unit changed alone, or any edits.

    Without `precision`, `top` and `exact` every effect is measured on every image. With `exact` a cheap
    first-order estimate is made on all images, and the exact effect measured on so many, drawn at random.
    With `precision` or `top` more and more images are measured exactly, until each question is settled: its
    interval is narrow enough, or its place sure.

    Parameters
    ----------
    model : nn.Module
        The user's network; it is not changed.
    loader : iterable
        Images with or without labels, the same in each pass.
    layers : iterable of str, optional
        Whose units are changed; None: all hidden convolutions.
    units : mapping of layer name to units, optional
        Which units instead.
    edits : UnitEdit, PathEdit, Edits, Intervention, or several, optional
        What is asked instead of units, each alone; several in force together are one `Edits`.
    intervention : Action
        What is done to a unit's map; None: `Zero()`.
    site : {"conv", "norm", "activation"}
        Where; a layer without the site is changed at its last one before it.
    outcomes : str, callable, Outcome, or several
        What is measured; None: loss and correctness where there are labels, else the divergence "kl".
    precision : float, or mapping of outcome to float, optional
        Largest half-width of the interval of each mean effect, in the outcome's unit; a number is for the
        first outcome. The intervals hold for all questions together, at every look.
    top : int, optional
        Settle which questions have the largest effects.
    by : str, optional
        What `top` is about: "abs_loss" (largest effect of either sign), "loss" (largest), "-loss" (smallest).
        None: the first outcome's effect of either sign.
    exact : int, optional
        Exact effects on so many images.
    level : float
        Probability that all the intervals of an adaptive run hold.
    population : int, "given" or None
        Images that `precision` and `top` are about: so many, of which these are a random sample; just these;
        or all there might ever be.
    graph : FilterGraph, optional
        The network's graph; None: it is traced on the first image.
    device : str or torch.device, optional
        Where to run; None: where the model is.
    budget : int
        Bytes for what is kept, again for what runs, and again for images that are needed several times.
    max_batches : int, optional
        Stop after so many batches.
    autocast : torch.dtype, optional
        Compute in a narrower type such as ``torch.bfloat16``, for screening.

    Raises
    ------
    UnknownNameError
        If a layer, unit, child, site or outcome does not exist.
    ArgumentError
        If a layer gives the classes, a path joins what is not parent and child, nothing is asked for, or what
        is asked for excludes each other.
    DataError
        If an outcome needs labels and there are none.
    UnsupportedModelError
        If the output is not (image, class), or an image's answer depends on the images beside it.
    """
    network, place = bare(model), resolve_device(device, bare(model))
    action = _checked(intervention, site, autocast)
    with guarded(network, place) as guard:
        first = next(iter(batches(loader, guard.device, 1, dtype=floating_type(network))))
        logits = logits_of(network, first.images[:2])
        graph = trace(network, first.images[:1]) if graph is None else graph
        check_range(first.labels, 0, graph.output.units)
        asked = _questions(graph, layers, units, edits, action, site)
        chosen = _asked_outcomes(outcomes, first, graph)
        widths = _widths(chosen, logits, first)
        names = _columns(chosen, widths, graph)
        wanted = aims(
            chosen,
            names,
            precision=precision,
            top=top,
            by=by,
            exact=exact,
            level=level,
            population=population,
        )
        entries = Entries.of(network, graph, asked)
        work = Work(
            network, loader, graph, entries, chosen, names, widths, wanted, place, max_batches, digest(first),
            budget, autocast,
        )  # fmt: skip
        costs = _costs(work, first)
    return EffectPlan(work, costs, count_images(loader, max_batches))


def _checked(intervention: Action | None, site: str, autocast: torch.dtype | None) -> Action:
    action = Zero() if intervention is None else intervention
    if not isinstance(action, Action):
        raise ArgumentError(f"the intervention must be an action such as Zero(), got {action!r:.80}")
    if site not in SITES:
        raise UnknownNameError(
            f'site "{site}" does not exist; expected one of {SITES}.{nearest(site, SITES)}'
        )
    if autocast not in (None, torch.bfloat16, torch.float16):
        raise ArgumentError(f"autocast must be torch.bfloat16 or torch.float16, got {autocast!r:.80}")
    return action


def _costs(work: Work, first: Batch) -> Costs:
    """Measure, with what edits must know taken from the first batch."""
    mean = donor = None
    if work.questions.seen is not None:
        site, layers = work.questions.seen
        some = [torch.cat([first.images] * 2) if len(first.images) < 2 else first.images]
        mean = means(work.model, work.graph, some, site, layers) if work.questions.needs_means else None
        donor = donors(work.model, work.graph, some, site, layers) if work.questions.needs_donors else None
    index = first.first + torch.arange(len(first.images), device=first.images.device)
    estimate = None if work.aims.how == "exact" else work.first_order
    return measured_costs(
        work.entries, first, Context(index, mean, donor), estimate, work.budget, autocast=work.autocast
    )


def _questions(
    graph: FilterGraph,
    layers: Iterable[str] | None,
    units: Mapping[str, Iterable[int]] | None,
    edits: object,
    action: Action,
    site: str,
) -> Questions:
    given = [
        name for name, one in (("layers", layers), ("units", units), ("edits", edits)) if one is not None
    ]
    if len(given) > 1:
        raise ArgumentError(f"give layers, units or edits, not both {' and '.join(given)}")
    if edits is not None:
        return questions_of_edits(graph, edits)  # type: ignore[arg-type]  # it says itself what is none
    if isinstance(layers, str):
        layers = [layers]
    names = [layer.name for layer in graph.hidden_conv_layers] if layers is None else list(layers)
    chosen = {name: range(graph.layer(name).units) for name in names} if units is None else units
    return questions_of_units(graph, chosen, action, site)


def _asked_outcomes(asked: object, first: Batch, graph: FilterGraph) -> tuple[Outcome, ...]:
    if asked is None:
        asked = ("kl",) if first.labels is None else ("loss", "correct")
    return outcomes_of(asked, graph.output.units)


def _widths(chosen: tuple[Outcome, ...], logits: torch.Tensor, first: Batch) -> tuple[int, ...]:
    """Measure each outcome once, and count its columns."""
    labels = None if first.labels is None else first.labels[: len(logits)]
    return tuple(one.values(logits, labels).shape[1] for one in chosen)


def _columns(chosen: tuple[Outcome, ...], widths: tuple[int, ...], graph: FilterGraph) -> tuple[str, ...]:
    """Name the columns as `Effects.columns` does."""
    classes = [str(k) for k in range(graph.output.units)]
    names = [name for one in chosen for name in one.columns(classes)]
    return tuple(names) if len(names) == sum(widths) else tuple(f"column {k}" for k in range(sum(widths)))
