"""Which outcome each measured column is of, and from where on an effect on it matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from jaxtyping import Bool, Float64

from causal_widget.effects.outcomes import Outcome
from causal_widget.effects.statistics import minimum_effect
from causal_widget.errors import ArgumentError, UnknownNameError, nearest

__all__ = ["Columns", "columns_of", "largest_sizes"]

SMALL = 0.01
USUAL = ("loss", "kl", "correct", "probability")


@dataclass(frozen=True)
class Columns:
    """The measured columns.

    Attributes
    ----------
    names : tuple of str
        "loss", "logit:3", ...
    owners : tuple of Outcome
        The outcome of each.
    """

    names: tuple[str, ...]
    owners: tuple[Outcome, ...]

    @property
    def worse(self) -> Float64[np.ndarray, " column"]:
        """1 where larger is worse for the network, -1 where smaller is, 0 where that is not known."""
        return np.array([float(one.worse) for one in self.owners])

    def position(self, name: str) -> int:
        """Give the position of a column.

        Raises
        ------
        UnknownNameError
            If it was not measured.
        """
        if name not in self.names:
            known, hint = ", ".join(self.names), nearest(name, self.names)
            raise UnknownNameError(f'outcome "{name}" was not measured, only {known}.{hint}')
        return self.names.index(name)

    def order(self, by: str | None) -> tuple[int, str]:
        """Read what to rank by: column, and "abs", "high" or "low".

        Parameters
        ----------
        by : str, optional
            ``"abs_loss"``: largest effect of either sign first; ``"loss"``: largest; ``"-loss"``: smallest.
            None: the largest of either sign on the first column.

        Raises
        ------
        UnknownNameError
            If it names no column.
        """
        if by is None:
            return 0, "abs"
        for mark, order in (("", "high"), ("abs_", "abs"), ("-", "low")):
            if by.startswith(mark) and by.removeprefix(mark) in self.names:
                return self.names.index(by.removeprefix(mark)), order
        known = [f"abs_{name}" for name in self.names]
        raise UnknownNameError(
            f'by="{by}" is no ranking; expected {", ".join(known[:8])}, or one of these without "abs_" '
            f'(largest first) or with "-" for it (smallest first).{nearest(by, [*self.names, *known])}'
        )

    def least(
        self, asked: object, scale: float
    ) -> tuple[Float64[np.ndarray, " column"], Bool[np.ndarray, " column"]]:
        """Give the least effect that matters in each column, and where there is one.

        Parameters
        ----------
        asked : number, str or mapping, optional
            A number in the outcome's unit; a share like ``"2%"`` of the mean absolute logit, for outcomes
            that are logits; or one of these for some outcomes or columns. None: 0.01 for "loss", "kl",
            "correct" and "probability", 1 % of the mean absolute logit for logits and margins, none for a
            function of the user's.
        scale : float
            Mean absolute logit of the true class.

        Raises
        ------
        ArgumentError
            If it is none of these, or a share is asked for of what is no logit.
        UnknownNameError
            If a mapping names what was not measured.
        """
        given = asked if isinstance(asked, Mapping) else {}
        known = {*self.names, *(one.name for one in self.owners)}
        for name in given:
            if name not in known:
                raise UnknownNameError(
                    f'min_effect names "{name}", which was not measured, only {", ".join(self.names)}.'
                    f"{nearest(str(name), known)}"
                )
        common = None if isinstance(asked, Mapping) else asked
        found = [
            _least(given.get(name, given.get(owner.name, common)), owner, scale)
            for name, owner in zip(self.names, self.owners, strict=True)
        ]
        values = np.array([np.nan if one is None else one for one in found])
        return np.nan_to_num(values), ~np.isnan(values)


def columns_of(outcomes: Sequence[Outcome], width: int, classes: int) -> Columns:
    """Name the columns that outcomes have: their own names, or one a class for "logits".

    A function of the user's may give several columns; where it does, all are named by their numbers.
    """
    names = [one.columns([str(k) for k in range(classes)]) for one in outcomes]
    owners = [one for one, own in zip(outcomes, names, strict=True) for _ in own]
    if len(owners) == width:
        return Columns(tuple(name for own in names for name in own), tuple(owners))
    free = [one for one in outcomes if not one.unit]
    each = (width - len(owners)) // max(len(free), 1) + 1
    owners = [
        one
        for one, own in zip(outcomes, names, strict=True)
        for _ in range(each if one in free else len(own))
    ]
    return Columns(tuple(f"column {k}" for k in range(width)), tuple(owners[:width]))


def largest_sizes(
    sizes: Sequence[Float64[np.ndarray, " column"]], owners: Sequence[Outcome]
) -> Float64[np.ndarray, " column"]:
    """Give the largest of several groups' sizes of effects in each column.

    Where there was no effect at all, the largest that an outcome with bounds can have.
    """
    found = np.max(sizes, axis=0)
    reach = np.array([one.bounds[1] - one.bounds[0] for one in owners])
    return np.where((found == 0) & np.isfinite(reach), reach, found)


def _least(asked: object, owner: Outcome, scale: float) -> float | None:
    if asked is None:
        return _usual(owner, scale)
    if isinstance(asked, Real):
        return float(minimum_effect(asked))
    if owner.unit != "logit":
        raise ArgumentError(
            f'min_effect={asked!r:.40} is a share of the mean logit, and "{owner.name}" is measured in '
            f"{owner.unit or 'a unit of its own'}: give a number, or a mapping of outcomes"
        )
    return float(minimum_effect(asked, scale))


def _usual(owner: Outcome, scale: float) -> float | None:
    if owner.name.partition(":")[0] in USUAL:
        return SMALL
    return SMALL * scale if owner.unit == "logit" and np.isfinite(scale) else None
