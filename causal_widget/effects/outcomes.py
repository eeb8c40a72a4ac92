"""What is measured of a network's answer, one number an image: a logit, the loss, whether it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pandas as pd
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from causal_widget.errors import ArgumentError, DataError, UnknownNameError, nearest

__all__ = ["OUTCOMES", "Outcome", "OutcomeKind", "logit_sizes", "outcome", "outcomes", "outcomes_table"]

Measure = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]


@dataclass(frozen=True)
class OutcomeKind:
    """One way to make a number of an image's logits.

    Attributes
    ----------
    name : str
        The word before the colon.
    meaning, unit : str
        What the number is, and in what it is measured.
    worse : int
        1 where larger is worse for the network, -1 where smaller is.
    of_class : bool
        Whether a class must be named: ``"logit:3"``.
    needs_labels, needs_baseline : bool
        Whether the true classes, or the logits without an intervention, must be known.
    bounds : pair of float
        Least and largest value; infinite where there is none. An effect lies within plus or minus their
        distance.
    """

    name: str
    meaning: str
    unit: str
    worse: int
    of_class: bool = False
    needs_labels: bool = False
    needs_baseline: bool = False
    bounds: tuple[float, float] = (-torch.inf, torch.inf)


_KINDS = (
    OutcomeKind("logits", "every class's logit, one number a class", "logit", -1),
    OutcomeKind("logit", "the logit of class K", "logit", -1, of_class=True),
    OutcomeKind(
        "probability", "softmax probability of class K", "share", -1, of_class=True, bounds=(0.0, 1.0)
    ),
    OutcomeKind(
        "loss", "cross-entropy with the true class", "nat", 1, needs_labels=True, bounds=(0.0, torch.inf)
    ),
    OutcomeKind("margin", "true class's logit minus the largest other", "logit", -1, needs_labels=True),
    OutcomeKind(
        "correct", "1 where the answer is the true class", "share", -1, needs_labels=True, bounds=(0.0, 1.0)
    ),
    OutcomeKind(
        "kl",
        "Kullback-Leibler divergence from the answer without the intervention",
        "nat",
        1,
        needs_baseline=True,
        bounds=(0.0, torch.inf),
    ),
)
OUTCOMES: dict[str, OutcomeKind] = {kind.name: kind for kind in _KINDS}


@dataclass(frozen=True)
class Outcome:
    """A number, or several, of each image's answer.

    Attributes
    ----------
    name : str
        ``"loss"``, ``"logit:3"``, or the name of a callable.
    needs_labels, needs_baseline : bool
        Whether the true classes, or the logits without an intervention, must be known.
    worse : int
        1 where larger is worse, -1 where smaller is, 0 where that is not known (a callable).
    unit : str
        In what it is measured; empty for a callable.
    bounds : pair of float
        Least and largest value.
    """

    name: str
    needs_labels: bool
    needs_baseline: bool
    worse: int
    unit: str
    bounds: tuple[float, float]
    _measure: Measure = field(repr=False, compare=False)

    def values(
        self,
        logits: Float[Tensor, "image class"],
        labels: Int[Tensor, " image"] | None = None,
        baseline: Float[Tensor, "image class"] | None = None,
    ) -> Float64[Tensor, "image column"]:
        """Measure each image.

        Parameters
        ----------
        logits
            The network's answers, under the intervention or without it.
        labels
            The true classes.
        baseline
            The answers to the same images without the intervention. None: these are they.

        Returns
        -------
        Tensor, shape (image, column)
            In float64 on the logits' device (on the CPU where the device has no float64), differentiable but
            for "correct". One column, or one a class for "logits".

        Raises
        ------
        DataError
            If labels are needed and missing, a label is no class, the logits are no (image, class), or a
            callable gave something else than (image,) or (image, column).
        """
        _check_logits(self.name, logits, baseline)
        if self.needs_labels:
            _check_labels(self.name, logits, labels)
        exact = _float64(logits)
        labels = None if labels is None else labels.to(exact.device)
        unperturbed = exact.detach() if baseline is None else _float64(baseline)
        measured = self._measure(exact, labels, unperturbed)
        return _columns(self.name, measured, len(logits))

    def effects(
        self,
        logits: Float[Tensor, "image class"],
        baseline: Float[Tensor, "image class"],
        labels: Int[Tensor, " image"] | None = None,
    ) -> Float64[Tensor, "image column"]:
        """Measure each image's effect: the outcome under do() minus the outcome without."""
        return self.values(logits, labels, baseline) - self.values(baseline, labels, baseline)

    @property
    def effect_bounds(self) -> tuple[float, float]:
        """Least and largest possible effect; infinite where there is none."""
        if self.name == "kl":
            return self.bounds
        width = self.bounds[1] - self.bounds[0]
        return -width, width

    def columns(self, class_names: Iterable[str] = ()) -> tuple[str, ...]:
        """Name the columns of `values`: the outcome's own name, or one a class for "logits"."""
        return tuple(f"logit:{name}" for name in class_names) if self.name == "logits" else (self.name,)


def outcome(asked: object, classes: int | None = None, *, worse: int = 0) -> Outcome:
    """Give an outcome by name, or make one of a callable.

    Parameters
    ----------
    asked : str, callable or Outcome
        ``"logits"``, ``"logit:K"``, ``"probability:K"`` (K a class number), ``"loss"``, ``"margin"``,
        ``"correct"``, ``"kl"``, or ``f(logits, labels, baseline_logits)`` giving (image,) or (image, column);
        labels are None where there are none.
    classes : int, optional
        How many there are, to check K.
    worse : int
        For a callable: 1 where larger is worse, -1 where smaller is, 0 where neither (then its
        effects have no verdict).

    Raises
    ------
    UnknownNameError
        If there is no such outcome.
    ArgumentError
        If it is neither name nor callable, or K is missing, not wanted, or no class.
    """
    if isinstance(asked, Outcome):
        return asked
    if isinstance(asked, str):
        return _named(asked, classes)
    if not callable(asked):
        raise ArgumentError(f"an outcome must be a name or a callable, got {asked!r:.80}")
    if worse not in (-1, 0, 1):
        raise ArgumentError(f"worse must be -1, 0 or 1, got {worse!r:.80}")
    name = getattr(asked, "__name__", type(asked).__name__)
    return Outcome(name, False, False, worse, "", (-torch.inf, torch.inf), asked)


def outcomes(asked: object, classes: int | None = None) -> tuple[Outcome, ...]:
    """Give one outcome or several, each once; see `outcome`.

    Raises
    ------
    ArgumentError
        If there is none, or one comes twice.
    """
    single = isinstance(asked, str | Outcome) or callable(asked) or not isinstance(asked, Iterable)
    several: Iterable[object] = (asked,) if single else asked  # type: ignore[assignment]
    found = tuple(outcome(one, classes) for one in several)
    if not found or len({one.name for one in found}) < len(found):
        raise ArgumentError(f"outcomes must be one or more, each name once, got {asked!r:.80}")
    return found


def logit_sizes(
    logits: Float[Tensor, "image class"], labels: Int[Tensor, " image"] | None = None
) -> Float64[Tensor, " image"]:
    """Give the absolute logit of each image's true class, without labels of its answer.

    What a least effect on a logit is a share of.
    """
    classes = logits.argmax(dim=1) if labels is None else labels.to(logits.device)
    return _float64(logits.gather(1, classes[:, None])[:, 0]).abs()


def outcomes_table() -> pd.DataFrame:
    """One row an outcome: its name, what it means, its unit, and what it needs."""
    rows = [
        {
            "outcome": f"{kind.name}:K" if kind.of_class else kind.name,
            "meaning": kind.meaning,
            "unit": kind.unit,
            "labels": kind.needs_labels,
            "worse": "larger" if kind.worse > 0 else "smaller",
        }
        for kind in OUTCOMES.values()
    ]
    return pd.DataFrame(rows)


def _named(asked: str, classes: int | None) -> Outcome:
    word, colon, number = asked.partition(":")
    kind = OUTCOMES.get(word)
    if kind is None:
        known = [f"{one.name}:K" if one.of_class else one.name for one in OUTCOMES.values()]
        hint = nearest(word, OUTCOMES)
        raise UnknownNameError(f'outcome "{asked}" does not exist; expected one of {", ".join(known)}.{hint}')
    if kind.of_class != bool(colon):
        wanted = f'"{word}:K" with K a class number' if kind.of_class else f'"{word}" alone'
        raise ArgumentError(f'outcome "{asked}" must be {wanted}')
    measure = _of_class(word, _class_number(asked, number, classes)) if kind.of_class else MEASURES[word]
    return Outcome(asked, kind.needs_labels, kind.needs_baseline, kind.worse, kind.unit, kind.bounds, measure)


def _class_number(asked: str, number: str, classes: int | None) -> int:
    known = "0 and on" if classes is None else f"0 to {classes - 1}"
    if not (number.isascii() and number.isdigit()) or (classes is not None and int(number) >= classes):
        raise ArgumentError(
            f'outcome "{asked}": class {number!r:.40} does not exist; the classes are {known}'
        )
    return int(number)


def _of_class(word: str, k: int) -> Measure:
    def logit(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
        if k >= logits.shape[1]:
            raise DataError(f'outcome "{word}:{k}": the network has classes 0 to {logits.shape[1] - 1}')
        return logits[:, k] if word == "logit" else torch.softmax(logits, dim=1)[:, k]

    return logit


def _logits(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
    return logits


def _loss(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
    assert labels is not None
    return -torch.log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]


def _margin(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
    assert labels is not None
    true = logits.gather(1, labels[:, None])[:, 0]
    return true - logits.scatter(1, labels[:, None], -torch.inf).max(dim=1).values


def _correct(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
    assert labels is not None
    return torch.eq(logits.argmax(dim=1), labels).to(torch.float64)


def _kl(logits: Tensor, labels: Tensor | None, baseline: Tensor | None) -> Tensor:
    """Give sum(p * (log p - log q)) with p without and q under the intervention; never below 0."""
    assert baseline is not None
    before, after = torch.log_softmax(baseline, dim=1), torch.log_softmax(logits, dim=1)
    return (before.exp() * (before - after)).sum(dim=1).clamp_min(0.0)


MEASURES: dict[str, Measure] = {
    "logits": _logits,
    "loss": _loss,
    "margin": _margin,
    "correct": _correct,
    "kl": _kl,
}


def _float64(logits: Tensor) -> Tensor:
    return (logits.cpu() if logits.device.type == "mps" else logits).to(torch.float64)


def _check_logits(name: str, logits: Tensor, baseline: Tensor | None) -> None:
    if logits.ndim != 2:
        raise DataError(f'outcome "{name}": logits must be (image, class), got {tuple(logits.shape)}')
    if baseline is not None and baseline.shape != logits.shape:
        raise DataError(
            f'outcome "{name}": the baseline has {tuple(baseline.shape)} (images, classes), '
            f"the network under do() {tuple(logits.shape)}: both must see the same images"
        )


def _check_labels(name: str, logits: Tensor, labels: Tensor | None) -> None:
    if labels is None:
        free = ", ".join(f'"{k.name}:K"' if k.of_class else f'"{k.name}"' for k in _without_labels())
        raise DataError(f'outcome "{name}" needs labels: give (images, labels), or ask for one of {free}')
    if labels.shape != logits.shape[:1]:
        raise DataError(
            f'outcome "{name}": {tuple(labels.shape)} labels for {logits.shape[0]} images; expected one each'
        )
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        wrong = int(labels.max()) if int(labels.min()) >= 0 else int(labels.min())
        raise DataError(f'outcome "{name}": label {wrong} is no class; they are 0 to {logits.shape[1] - 1}')


def _without_labels() -> list[OutcomeKind]:
    return [kind for kind in OUTCOMES.values() if not kind.needs_labels]


def _columns(name: str, measured: object, images: int) -> Tensor:
    if not isinstance(measured, Tensor) or measured.ndim not in (1, 2) or len(measured) != images:
        got = tuple(measured.shape) if isinstance(measured, Tensor) else type(measured).__name__
        raise DataError(
            f'outcome "{name}" must give a tensor (image,) or (image, column) for {images} images, got {got}'
        )
    return _float64(measured).reshape(images, -1)
