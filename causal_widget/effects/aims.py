"""How sure a plan is to be: on every image, on some, or until a precision or a ranking is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from causal_widget.effects.outcomes import Outcome
from causal_widget.effects.statistics.checks import check_positive, check_share, check_whole
from causal_widget.errors import ArgumentError, UnknownNameError, nearest

__all__ = ["Aims", "aims"]

_LEAST = 2


@dataclass(frozen=True)
class Aims:
    """What a run tries to reach.

    Attributes
    ----------
    precision : mapping of outcome name to float
        Largest half-width of each question's interval, in the outcome's unit.
    top : int or None
        How many first places are to be settled.
    by : (outcome name, order)
        Which outcome the places are about, and "abs", "high" or "low" of it first; empty without `top`.
    exact : int or None
        Exact effects on so many images.
    level : float
        Probability that all intervals hold at all looks.
    population : int, "given" or None
        Images that the mean is about: a number, those of the loader, or all there might ever be.
    """

    precision: Mapping[str, float] = field(default_factory=dict)
    top: int | None = None
    by: tuple[str, str] = ("", "")
    exact: int | None = None
    level: float = 0.95
    population: int | str | None = "given"

    @property
    def how(self) -> str:
        """Give the way to run: "exact", "controlled" or "adaptive"."""
        if self.precision or self.top is not None:
            return "adaptive"
        return "exact" if self.exact is None else "controlled"

    def settings(self) -> dict[str, Any]:
        """Give what was asked as plain values."""
        return {
            "precision": dict(self.precision),
            "top": self.top,
            "by": self.ranked,
            "exact": self.exact,
            "level": self.level,
            "population": self.population,
        }

    @property
    def ranked(self) -> str:
        """The ranking as it is asked for: "abs_loss", "loss" or "-loss"."""
        name, order = self.by
        return {"abs": "abs_", "low": "-"}.get(order, "") + name

    def columns(
        self, names: Sequence[str], outcomes: Sequence[Outcome], widths: Sequence[int]
    ) -> dict[int, float | None]:
        """Give the columns that are judged, each with its precision; None where only places count."""
        found: dict[int, float | None] = {}
        start = 0
        for one, width in zip(outcomes, widths, strict=True):
            if one.name in self.precision:
                found |= dict.fromkeys(range(start, start + width), self.precision[one.name])
            start += width
        if self.top is not None:
            found.setdefault(list(names).index(self.by[0]), None)
        return found

    def __repr__(self) -> str:
        words = [f"{name} to ±{width:g}" for name, width in self.precision.items()]
        if self.top is not None:
            words.append(f"the first {self.top:,} places by {self.ranked}")
        if self.exact is not None:
            words.append(f"exact on {self.exact:,} images")
        return " and ".join(words) or "exact on every image"


def aims(
    outcomes: Sequence[Outcome],
    columns: Sequence[str],
    *,
    precision: object = None,
    top: object = None,
    by: object = None,
    exact: object = None,
    level: float = 0.95,
    population: object = "given",
) -> Aims:
    """Check what a person asks for.

    Parameters
    ----------
    outcomes : sequence of Outcome
        What is measured.
    columns : sequence of str
        Names of the measured columns.
    precision, top, by, exact, level, population
        As for `plan_effects`.

    Raises
    ------
    ArgumentError
        If a number is outside its range, or things are asked for that exclude each other.
    UnknownNameError
        If an outcome was not asked for.
    """
    wanted = _precisions(outcomes, precision)
    first = None if top is None else check_whole(top, "top", 1)
    if exact is not None and (wanted or first is not None):
        raise ArgumentError(
            f"exact={exact!r:.40} fixes the number of images, precision and top let the results choose it: "
            "give one or the other"
        )
    if by is not None and first is None:
        raise ArgumentError(f"by={by!r:.40} says what the top is about: give top too")
    return Aims(
        wanted,
        first,
        ("", "") if first is None else _ranking(by, columns),
        None if exact is None else check_whole(exact, "exact (images)", _LEAST),
        check_share(level, "level"),
        _population(population),
    )


def _precisions(outcomes: Sequence[Outcome], precision: object) -> dict[str, float]:
    if precision is None:
        return {}
    names = [one.name for one in outcomes]
    asked = precision if isinstance(precision, Mapping) else {names[0]: precision}
    found = {}
    for name, width in asked.items():
        if name not in names:
            raise UnknownNameError(
                f'precision of outcome "{name}", which is not measured; those that are: '
                f"{', '.join(names)}.{nearest(str(name), names)}"
            )
        found[str(name)] = check_positive(width, f"the precision of {name}")
    if not found:
        raise ArgumentError("precision names no outcome")
    return found


def _ranking(by: object, columns: Sequence[str]) -> tuple[str, str]:
    """Read "abs_loss" (largest effect of either sign first), "loss" (largest), "-loss" (smallest)."""
    word = f"abs_{columns[0]}" if by is None else str(by)
    orders = {"abs_": "abs", "-": "low", "": "high"}
    for mark, order in orders.items():
        if word.startswith(mark) and word.removeprefix(mark) in columns:
            return word.removeprefix(mark), order
    known = [f"abs_{name}" for name in columns]
    raise UnknownNameError(
        f'by="{word}" is no ranking; expected {", ".join(known[:8])}, or one of these without "abs_" '
        f'(largest first) or with "-" for it (smallest first).{nearest(word, [*columns, *known])}'
    )


def _population(population: object) -> int | str | None:
    if population is None or population == "given":
        return population
    if isinstance(population, str):
        raise ArgumentError(f'population must be a whole number, "given" or None, got {population!r:.80}')
    return check_whole(population, "population (images)", 1)
