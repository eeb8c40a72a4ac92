"""What a sweep over units will cost, before anything runs; and how it will run."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.effects.costs import Costs, measured_costs
from causal_widget.effects.cutting import CutModel, WholeModel
from causal_widget.effects.cutting.pace import BUDGET
from causal_widget.effects.effects import Effects
from causal_widget.effects.outcomes import Outcome, outcomes
from causal_widget.effects.sweep import Sweep, sweep
from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import SITES, FilterGraph, trace
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.interventions import Action, Zero
from causal_widget.jobs import Progress
from causal_widget.responses import Batch, batches, count_images

__all__ = ["EffectPlan", "plan_effects"]


@dataclass(frozen=True, eq=False, repr=False)
class EffectPlan:
    """A sweep over single units, and its cost.

    Attributes
    ----------
    sweep : Sweep
        What will run.
    n_images : int or None
        How many images the loader tells of; None where it does not.
    seconds : float
        Expected time; NaN where the number of images is not known.
    forwards : float
        The work in forward passes of the whole network over one image, as a short measurement found it.
    loop_forwards : float
        The same for a loop of whole passes: one for each unit and image, and one for each image.
    kept_bytes : int
        Most memory for what is kept between the runs of one batch.
    reasons : mapping of layer name to str
        Layers for which the whole network runs again, and why.
    """

    sweep: Sweep
    n_images: int | None
    seconds: float
    forwards: float
    loop_forwards: float
    kept_bytes: int
    reasons: Mapping[str, str]

    @property
    def n_units(self) -> int:
        """How many units are changed, one at a time."""
        return sum(len(units) for units in self.sweep.units.values())

    def run(self, progress: Progress | None = None, seed: int = 0) -> Effects:
        """Measure every unit's effect on every image.

        Parameters
        ----------
        seed : int
            Of the halves and the bootstrap of the images.
        progress : Progress, optional
            Told of pairs of unit and image; may cancel.

        Returns
        -------
        Effects
            Mean, standard deviation and number of images of each unit's effect on each outcome.
        """
        return sweep(self.sweep, progress or Progress(), seed)

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in self._lines())

    def _lines(self) -> list[str]:
        units, what, images = self.n_units, self.sweep, "?" if self.n_images is None else f"{self.n_images:,}"
        cost = (
            f"the work of {self.forwards:,.0f} forward passes of one image; "
            f"a loop of whole passes would be {self.loop_forwards:,.0f}"
        )
        if math.isnan(self.seconds):
            cost = "the loader does not tell how many images it has"
        lines = [
            f"EffectPlan: {what.action!r} at {what.site}, {units:,} units of {len(what.units)} layers, "
            f"{images} images, outcomes {', '.join(one.name for one in what.outcomes)}",
            f"  {cost}",
            f"  about {_duration(self.seconds)}; {self.kept_bytes / 2**20:,.0f} MB kept a batch",
        ]
        if not self.reasons:
            return [*lines, "  only what lies below a layer runs again"]
        names, reason = list(self.reasons), next(iter(self.reasons.values()))
        shown = "every layer" if len(names) == len(what.units) else ", ".join(names[:3])
        return [*lines, f"  whole forward passes for {shown}, because {reason}"]


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plan_effects(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    units: Mapping[str, Iterable[int]] | None = None,
    *,
    intervention: Action | None = None,
    site: str = "activation",
    outcomes: object = None,
    graph: FilterGraph | None = None,
    device: str | torch.device | None = None,
    budget: int = BUDGET,
    max_batches: int | None = None,
) -> EffectPlan:
    """Plan a sweep: each unit changed alone, on every image.

    Parameters
    ----------
    model : nn.Module
        The user's network; it is not changed.
    loader : iterable
        Images with or without labels.
    layers : iterable of str, optional
        Whose units are changed; None: all hidden convolutions.
    units : mapping of layer name to units, optional
        Which units instead.
    intervention : Action
        What is done to a unit's map; None: `Zero()`.
    site : {"conv", "norm", "activation"}
        Where; a layer without the site is changed at its last one before it.
    outcomes : str, callable, Outcome, or several
        What is measured; None: loss and correctness where there are labels, else the divergence "kl".
    graph : FilterGraph, optional
        The network's graph; None: it is traced on the first image.
    device : str or torch.device, optional
        Where to run; None: where the model is.
    budget : int
        Bytes for what is kept, and again for what runs.
    max_batches : int, optional
        Stop after so many batches.

    Raises
    ------
    UnknownNameError
        If a layer, unit, site or outcome does not exist.
    ArgumentError
        If a layer gives the classes, nothing is asked for, or the intervention is no action.
    UnsupportedModelError
        If an image's answer depends on the images beside it.
    """
    network, place = bare(model), resolve_device(device, bare(model))
    action = Zero() if intervention is None else intervention
    if not isinstance(action, Action):
        raise ArgumentError(f"the intervention must be an action such as Zero(), got {action!r:.80}")
    if site not in SITES:
        raise UnknownNameError(
            f'site "{site}" does not exist; expected one of {SITES}.{nearest(site, SITES)}'
        )
    with guarded(network, place) as guard:
        first = next(iter(batches(loader, guard.device, 1, dtype=floating_type(network))))
        graph = trace(network, first.images[:1]) if graph is None else graph
        chosen = _chosen_units(graph, layers, units)
        asked = _asked_outcomes(outcomes, first, graph)
        entries = _Entries.of(network, graph, [(name, graph.layer(name).site(site)) for name in chosen])
        costs = measured_costs(entries.entry, graph, chosen, site, first.images, budget)
    work = Sweep(
        network, loader, graph, chosen, action, site, asked, place, max_batches,
        entries.cut, entries.whole, costs.images, costs.groups(entries.cut, budget), costs.items,
        costs.channels_last,
    )  # fmt: skip
    return _plan(work, entries, costs, count_images(loader, max_batches))


@dataclass(frozen=True, eq=False)
class _Entries:
    """The network cut where it can be, and as a whole where it cannot."""

    cut: CutModel | None
    whole: WholeModel | None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(model: nn.Module, graph: FilterGraph, places: list[tuple[str, str]]) -> _Entries:
        cut = CutModel.of(model, graph)
        if isinstance(cut, str):
            return _Entries(None, WholeModel(model, graph, cut), {layer: cut for layer, _ in places})
        regions = {layer: cut.region(layer, site) for layer, site in places}
        reasons = {layer: region for layer, region in regions.items() if isinstance(region, str)}
        whole = WholeModel(model, graph, next(iter(reasons.values()))) if reasons else None
        return _Entries(cut, whole, reasons)

    def entry(self, layer: str) -> CutModel | WholeModel:
        """Give what enters the network at a layer."""
        found = self.whole if layer in self.reasons else self.cut
        if found is None:
            raise ArgumentError(f'layer "{layer}" is not part of the plan')
        return found


def _chosen_units(
    graph: FilterGraph, layers: Iterable[str] | None, units: Mapping[str, Iterable[int]] | None
) -> dict[str, tuple[int, ...]]:
    if layers is not None and units is not None:
        raise ArgumentError("give layers or units, not both")
    if isinstance(layers, str):
        layers = [layers]
    names = [layer.name for layer in graph.hidden_conv_layers] if layers is None else list(layers)
    asked = {name: range(graph.layer(name).units) for name in names} if units is None else units
    chosen = graph.check_units(asked)
    if graph.output.name in chosen:
        raise ArgumentError(
            f'"{graph.output.name}" gives the classes: the outcome cannot be intervened on; '
            "choose an earlier layer"
        )
    if not chosen:
        raise ArgumentError("no units to change: name at least one layer with units")
    return chosen


def _asked_outcomes(asked: object, first: Batch, graph: FilterGraph) -> tuple[Outcome, ...]:
    if asked is None:
        asked = ("kl",) if first.labels is None else ("loss", "correct")
    return outcomes(asked, graph.output.units)


def _plan(work: Sweep, entries: _Entries, costs: Costs, n_images: int | None) -> EffectPlan:
    sizes: Callable[[str], int] = lambda name: len(work.units[name])  # noqa: E731
    each = sum(sizes(name) * costs.seconds_per_unit_image(name) for name in work.units)
    runs = len(work.groups) + len(entries.reasons)
    n = math.nan if n_images is None else n_images
    seconds = n * (each + runs * costs.forward)
    kept = max((costs.kept(entries.cut, group) for group in work.groups), default=0)
    total = sum(sizes(name) for name in work.units)
    return EffectPlan(
        work, n_images, seconds, seconds / costs.forward, n * (total + 1), kept, entries.reasons
    )
