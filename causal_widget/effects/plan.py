"""Plan to measure effects of units or of any edits: check what is asked, cut the network, measure costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from causal_widget.devices import resolve_device
from causal_widget.effects.aims import aims
from causal_widget.effects.costs import Costs, measured_costs
from causal_widget.effects.cutting import BUDGET
from causal_widget.effects.effect_plan import EffectPlan
from causal_widget.effects.entries import Entries
from causal_widget.effects.forward import logits_of
from causal_widget.effects.outcomes import Outcome
from causal_widget.effects.outcomes import outcomes as outcomes_of
from causal_widget.effects.pool import digest
from causal_widget.effects.questions import Context, Questions, questions_of_edits, questions_of_units
from causal_widget.effects.work import Work
from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import SITES, FilterGraph, trace
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.interventions import Action, Zero, donors, means
from causal_widget.responses import Batch, batches, check_range, count_images

__all__ = ["EffectPlan", "plan_effects"]


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
        If the model is in training mode, a layer gives the classes, a path joins what is not parent and
        child, nothing is asked for, or what is asked for excludes each other.
    DataError
        If an outcome needs labels and there are none.
    UnsupportedModelError
        If the output is not (image, class), or an image's answer depends on the images beside it.
    """
    network, place = bare(model), resolve_device(device, bare(model))
    _check_mode(network)
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


def _check_mode(model: nn.Module) -> None:
    if model.training:
        raise ArgumentError(
            "the model is in training mode, in which dropout and batch statistics make an image's answer "
            "depend on chance and on the images beside it; call model.eval() first"
        )


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
