"""The cheap estimate of every effect at once: the gradient of the outcome, times the change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from causal_widget.effects.cutting import Place
from causal_widget.effects.outcomes import Outcome, outcome
from causal_widget.graph import FilterGraph

__all__ = ["MOST_CLASSES", "Change", "Changes", "FirstOrder", "Joined", "Recorded", "one_by_one"]

MOST_CLASSES = 16  # up to here every class's own gradient is taken where an outcome needs it
_LINKS = {
    "logit": "gradient",
    "margin": "gradient",
    "correct": "margin",
    "loss": "odds",
    "probability": "odds",
}

Change = tuple[Place, Int[Tensor, " k"], Float[Tensor, "image k ..."]]
Changes = Callable[[Any, Any], list[Change]]


@dataclass(frozen=True, eq=False)
class Joined:
    """What some questions change at one place, one map of one question after another.

    Attributes
    ----------
    place : (layer, site)
    questions, units : int Tensor, shape (map,)
        Whose each map is, by position among those asked, and of which unit.
    delta : Tensor, shape (image, map, ...)
        What is added.
    """

    place: Place
    questions: Int[Tensor, " map"]
    units: Int[Tensor, " map"]
    delta: Float[Tensor, "image map ..."]


Join = Callable[[Any, Sequence[Any]], list[Joined]]


class Recorded(Protocol):
    """A run that was recorded: its logits have gradients with respect to its values."""

    graph: FilterGraph
    logits: Tensor

    @property
    def n(self) -> int:
        """Number of images."""

    def value(self, layer: str, site: str) -> Tensor:
        """Give the tensor at a site."""


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """How the effect on each outcome is estimated to first order.

    For an edit that changes the maps at some places by delta, and a function F of the logits,

        F(with the edit) - F(without) = sum over places of <dF / d maps, delta> + what is of second order.

    One backward pass gives this for all edits together. Margin and a class's logit are such an F. Others
    follow from one: "correct" from the margin, by whether ``margin + its first-order change`` is above 0; the
    loss and a class's probability p from the log-odds ``s = log(p / (1 - p))``, of the true class or of this
    one, by ``-log(sigmoid(s + change)) + log(sigmoid(s))`` and ``sigmoid(s + change) - sigmoid(s)``: the bend
    of these functions is then in the estimate, where most of what is of second order lies. "logits",
    "kl" and callables are computed of the logits, each changed to first order by its own gradient: as many
    backward passes as there are classes. Where these are made anyway, all other outcomes use them too.

    Parameters
    ----------
    outcomes : tuple of Outcome
        What is measured.
    classes : int
        How many the network has.
    widths : tuple of int
        Columns of each outcome.
    """

    outcomes: tuple[Outcome, ...]
    classes: int
    widths: tuple[int, ...]

    @cached_property
    def how(self) -> dict[str, str]:
        """How each outcome is estimated: "gradient", "margin", "odds", "logits" or "" (not at all)."""
        wide = [one for one in self.outcomes if _word(one) not in _LINKS]
        if self.classes == 1 or (wide and self.classes <= MOST_CLASSES):
            return {one.name: "logits" for one in self.outcomes}
        return {one.name: _LINKS.get(_word(one), "") for one in self.outcomes}

    @property
    def passes(self) -> int:
        """Backward passes."""
        if "logits" in self.how.values():
            return self.classes
        return len(self._targets)

    @property
    def usable(self) -> bool:
        """Whether there is an estimate of any outcome."""
        return any(self.how.values())

    def estimates(
        self,
        state: Recorded,
        labels: Int[Tensor, " image"] | None,
        questions: Mapping[str, Sequence[Any]],
        join: Join,
    ) -> dict[str, tuple[Float64[np.ndarray, "image question column"], Bool[np.ndarray, "image question"]]]:
        """Estimate the effects of all questions on the images of a run.

        Parameters
        ----------
        state : Recorded
            The run.
        labels : int Tensor, shape (image,), optional
            The images' classes.
        questions : mapping of group to sequence of questions
            What is asked.
        join : callable (state, sequence of question) -> list of Joined
            What a group's questions change at which places; a question that is in none is one of which that
            is not known. See `one_by_one`.

        Returns
        -------
        dict of group to (estimates, changed)
            An estimate is 0 where there is none, or where nothing changes; "changed" says in which images
            something does, and is True where that is not known.
        """
        with torch.no_grad():
            known = {group: join(state, asked) for group, asked in questions.items()}
        places = sorted({one.place for group in known.values() for one in group})
        values = [state.value(*place) for place in places]
        gradients = self._gradients(state, labels, values)
        slopes = [dict(zip(places, grads, strict=True)) for grads in gradients]
        found = {}
        with torch.no_grad():
            for group, each in known.items():
                moved = _moved(state, each, slopes, len(questions[group]))
                columns = self._columns(state.logits.detach(), labels, moved)
                found[group] = columns.cpu().numpy(), _changed(state, each, len(questions[group]))
        return found

    @cached_property
    def _targets(self) -> tuple[str, ...]:
        """Numbers of the logits of which a gradient is taken, each once: see `_target_of`."""
        return tuple(dict.fromkeys(name for one in self.outcomes if (name := self._target(one))))

    def _target(self, one: Outcome) -> str:
        """Name the number whose first-order change gives an outcome's; empty where none does."""
        how = self.how[one.name]
        if how == "odds":
            return one.name.replace("probability", "odds") if _word(one) == "probability" else "odds"
        return {"gradient": one.name, "margin": "margin"}.get(how, "")

    def _gradients(
        self, state: Recorded, labels: Tensor | None, values: list[Tensor]
    ) -> list[tuple[Tensor | None, ...]]:
        """Gradients of each target with respect to the values; None where it does not depend on one."""
        if not values:
            return [()] * self.passes
        if "logits" in self.how.values():
            targets = list(state.logits.double().unbind(1))
        else:
            targets = [_target_of(name, state.logits, labels) for name in self._targets]
        found: list[tuple[Tensor | None, ...]] = []
        for number, target in enumerate(targets):
            more = number + 1 < len(targets)
            found.append(torch.autograd.grad(target.sum(), values, retain_graph=more, allow_unused=True))
        return found

    def _columns(
        self, logits: Tensor, labels: Tensor | None, moved: Float[Tensor, "target image question"]
    ) -> Float64[Tensor, "image question column"]:
        """Make estimates of the outcomes from the first-order changes of the targets."""
        images, asked = moved.shape[1:]
        if "logits" in self.how.values():
            after = (logits.double()[:, None] + moved.movedim(0, 2)).flatten(0, 1)
            before = logits.repeat_interleave(asked, 0)
            told = None if labels is None else labels.repeat_interleave(asked)
            parts = [one.effects(after, before, told) for one in self.outcomes]
            return torch.cat(parts, 1).reshape(images, asked, -1)
        parts = []
        for one, width in zip(self.outcomes, self.widths, strict=True):
            name = self._target(one)
            if not name:
                parts.append(moved.new_zeros(images, asked, width))
                continue
            change = moved[self._targets.index(name)]
            before = _target_of(name, logits, labels).to(change.device)[:, None]
            parts.append(_linked(_word(one), before, change)[:, :, None])
        return torch.cat(parts, 2)


def _target_of(
    name: str, logits: Float[Tensor, "image class"], labels: Int[Tensor, " image"] | None
) -> Float64[Tensor, " image"]:
    """Give "margin", "logit:K", or the log-odds of class K ("odds:K") or of the true class ("odds")."""
    word, _, number = name.partition(":")
    if word != "odds":
        return outcome(name).values(logits, labels)[:, 0]
    if not number:  # checks the labels, too
        outcome("loss").values(logits.detach(), labels)
    exact = logits.to(torch.float64) if logits.device.type != "mps" else logits.cpu().double()
    which = torch.full((len(exact), 1), int(number)) if number else labels[:, None]  # type: ignore[index]
    which = which.to(exact.device)
    others = exact.scatter(1, which, -torch.inf)
    return exact.gather(1, which)[:, 0] - torch.logsumexp(others, 1)


def _linked(
    word: str, before: Float64[Tensor, "image 1"], change: Float64[Tensor, "image question"]
) -> Float64[Tensor, "image question"]:
    """Give the change of an outcome that follows from a change of its target."""
    after = before + change
    if word == "correct":
        return (after > 0).double() - (before > 0).double()
    if word == "loss":
        return torch.nn.functional.softplus(-after) - torch.nn.functional.softplus(-before)
    if word == "probability":
        return torch.sigmoid(after) - torch.sigmoid(before)
    return change


def _word(one: Outcome) -> str:
    """Give the word of a named outcome, nothing for a callable, whatever its name."""
    return one.name.partition(":")[0] if one.unit else ""


def _moved(
    state: Recorded, each: list[Joined], slopes: list[dict[Place, Tensor | None]], asked: int
) -> Float64[Tensor, "target image question"]:
    """First-order change of each target under each question."""
    device = torch.device("cpu") if state.logits.device.type == "mps" else state.logits.device
    moved = torch.zeros(len(slopes), state.n, asked, dtype=torch.float64, device=device)
    for one in each:
        axis = state.graph.layer(one.place[0]).unit_axis
        for target, slope in enumerate(slopes):
            found = slope[one.place]
            if found is not None:
                products = _of_units(found.movedim(axis, 1), one.units) * one.delta
                sums = products.reshape(*products.shape[:2], -1).sum(2).to(device, torch.float64)
                moved[target].index_add_(1, one.questions.to(device), sums)
    return moved


def _of_units(maps: Tensor, units: Int[Tensor, " map"]) -> Tensor:
    """Take maps of units; where these are all in their order, nothing is copied."""
    every = len(units) == maps.shape[1] and bool((units[1:] > units[:-1]).all())
    return maps if every else maps[:, units]


def _changed(state: Recorded, each: list[Joined], asked: int) -> Bool[np.ndarray, "image question"]:
    """Say in which images a question changes anything; everywhere where that is not known."""
    moved = np.zeros((state.n, asked), bool)
    known = np.zeros(asked, bool)
    for one in each:
        size = one.delta.abs().flatten(2).amax(2) if one.delta.ndim > 2 else one.delta.abs()
        questions = one.questions.cpu().numpy()
        known[questions] = True
        # A map may be NaN, and is then not what it was. Several maps may be of one question.
        for question, other in zip(questions.tolist(), (size != 0).T.cpu().numpy(), strict=True):
            moved[:, question] |= other
    return moved | ~known


def one_by_one(changes: Changes) -> Join:
    """Join what each question changes by itself.

    Parameters
    ----------
    changes : callable (state, question) -> list of (place, units (k,), delta (image, k, ...))
        An empty list where it is not known.
    """

    def join(state: Any, questions: Sequence[Any]) -> list[Joined]:
        places: dict[Place, list[tuple[int, Tensor, Tensor]]] = {}
        for number, question in enumerate(questions):
            for place, units, delta in changes(state, question):
                places.setdefault(place, []).append((number, units, delta))
        return [_together(place, parts) for place, parts in places.items()]

    return join


def _together(place: Place, parts: list[tuple[int, Tensor, Tensor]]) -> Joined:
    units = torch.cat([units for _, units, _ in parts])
    numbers = torch.tensor([number for number, own, _ in parts for _ in range(len(own))])
    delta = torch.cat([delta for _, _, delta in parts], 1)
    return Joined(place, numbers.to(units.device), units, delta)
