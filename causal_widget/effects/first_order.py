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
_ONE = ("logit", "probability", "loss", "margin")  # outcomes whose own gradient is the estimate

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

    One backward pass gives this for all edits together. Loss, margin, a class's logit or probability are such
    an F. "correct" follows from the margin: whether ``margin + its first-order change`` is above 0. "logits",
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
        """How each outcome is estimated: "gradient", "margin", "logits" or "" (not at all)."""
        wide = [one for one in self.outcomes if _word(one) not in (*_ONE, "correct")]
        every = self.classes <= MOST_CLASSES
        if wide and every:
            return {one.name: "logits" for one in self.outcomes}
        found = {one.name: "gradient" if _word(one) in _ONE else "" for one in self.outcomes}
        return {name: "margin" if name == "correct" else how for name, how in found.items()}

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
        """Outcomes of which a gradient is taken, each once."""
        names = [one.name for one in self.outcomes if self.how[one.name] == "gradient"]
        if "margin" in self.how.values() and "margin" not in names:
            names.append("margin")
        return tuple(names)

    def _gradients(
        self, state: Recorded, labels: Tensor | None, values: list[Tensor]
    ) -> list[tuple[Tensor | None, ...]]:
        """Gradients of each target with respect to the values; None where it does not depend on one."""
        if not values:
            return [()] * self.passes
        if "logits" in self.how.values():
            targets = list(state.logits.double().unbind(1))
        else:
            targets = [outcome(name).values(state.logits, labels)[:, 0] for name in self._targets]
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
            how = self.how[one.name]
            if how == "gradient":
                parts.append(moved[self._targets.index(one.name), :, :, None])
            elif how == "margin":
                change = moved[self._targets.index("margin")]
                margin = outcome("margin").values(logits, labels).to(change.device)
                parts.append(((margin + change > 0).double() - (margin > 0).double())[:, :, None])
            else:
                parts.append(moved.new_zeros(images, asked, width))
        return torch.cat(parts, 2)


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
