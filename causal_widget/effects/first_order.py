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

__all__ = ["MOST_CLASSES", "Change", "Changes", "FirstOrder", "Recorded"]

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
        changes: Changes,
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
        changes : callable (state, question) -> list of (place, units (k,), delta (image, k, ...))
            What a question changes at which places; an empty list where that is not known.

        Returns
        -------
        dict of group to (estimates, changed)
            An estimate is 0 where there is none, or where nothing changes; "changed" says in which images
            something does, and is True where that is not known.
        """
        with torch.no_grad():
            known = {group: [changes(state, one) for one in asked] for group, asked in questions.items()}
        places = sorted({place for group in known.values() for found in group for place, _, _ in found})
        values = [state.value(*place) for place in places]
        gradients = self._gradients(state, labels, values)
        slopes = [dict(zip(places, grads, strict=True)) for grads in gradients]
        found = {}
        with torch.no_grad():
            for group, each in known.items():
                moved = _moved(state, each, slopes)
                columns = self._columns(state.logits.detach(), labels, moved)
                found[group] = columns.cpu().numpy(), _changed(state, each)
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
    state: Recorded, each: list[list[Change]], slopes: list[dict[Place, Tensor | None]]
) -> Float64[Tensor, "target image question"]:
    """First-order change of each target under each question."""
    device = torch.device("cpu") if state.logits.device.type == "mps" else state.logits.device
    moved = torch.zeros(len(slopes), state.n, len(each), dtype=torch.float64, device=device)
    for place, questions, units, delta in _together(each):
        axis = state.graph.layer(place[0]).unit_axis
        for target, slope in enumerate(slopes):
            found = slope[place]
            if found is not None:
                products = found.movedim(axis, 1)[:, units] * delta
                sums = products.reshape(*products.shape[:2], -1).sum(2).to(device, torch.float64)
                moved[target].index_add_(1, questions.to(device), sums)
    return moved


def _together(each: list[list[Change]]) -> list[tuple[Place, Tensor, Tensor, Tensor]]:
    """Put the changes of all questions at one place into one tensor, each unit's beside its question."""
    places: dict[Place, list[tuple[int, Tensor, Tensor]]] = {}
    for number, changes in enumerate(each):
        for place, units, delta in changes:
            places.setdefault(place, []).append((number, units, delta))
    found = []
    for place, parts in places.items():
        numbers = torch.tensor([number for number, units, _ in parts for _ in range(len(units))])
        units = torch.cat([units for _, units, _ in parts])
        delta = torch.cat([delta for _, _, delta in parts], 1)
        found.append((place, numbers, units, delta))
    return found


def _changed(state: Recorded, each: list[list[Change]]) -> Bool[np.ndarray, "image question"]:
    columns = []
    for changes in each:
        moved = [(delta != 0).flatten(1).any(1) for _, _, delta in changes]
        columns.append(torch.stack(moved).any(0) if moved else state.logits.new_ones(state.n).bool())
    return np.asarray(torch.stack(columns, 1).cpu().numpy())
