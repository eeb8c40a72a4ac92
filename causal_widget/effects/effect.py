"""The effect of an intervention, as a result that says itself."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.errors import DataError
from causal_widget.interventions import Intervention
from causal_widget.responses.evaluation import Evaluation
from causal_widget.responses.paired import Paired, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ClassEffect", "Effect"]


@dataclass(frozen=True)
class ClassEffect:
    """What an intervention does to one class.

    Attributes
    ----------
    name : str
        The class.
    n : int or None
        Images of the class; None without labels.
    accuracy : Paired or None
        Share of the images of this class that are classified rightly.
    logit, probability : Paired
        The class's logit and probability, over all images.
    """

    name: str
    n: int | None
    accuracy: Paired | None
    logit: Paired
    probability: Paired


@dataclass(frozen=True, repr=False, eq=False)
class Effect:
    """What an intervention does to the network's answers, image by image.

    Attributes
    ----------
    intervention : Intervention
        What was set.
    before, after : Evaluation
        The network without and under do(), on the same images in the same order, by the same code path.
    """

    intervention: Intervention
    before: Evaluation
    after: Evaluation

    def __post_init__(self) -> None:
        _same_images(self.before, self.after)

    @property
    def n(self) -> int:
        """Number of images."""
        return self.before.n

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.after.seconds

    @cached_property
    def accuracy(self) -> Paired | None:
        """Share of images classified rightly; None without labels."""
        if self.before.correct is None or self.after.correct is None:
            return None
        return paired(self.before.correct.astype(np.float64), self.after.correct.astype(np.float64))

    @cached_property
    def loss(self) -> Paired | None:
        """Cross-entropy in nats; None without labels."""
        if self.before.losses is None or self.after.losses is None:
            return None
        return paired(self.before.losses, self.after.losses)

    @cached_property
    def flipped(self) -> int:
        """How many predictions changed."""
        return int((self.before.predictions != self.after.predictions).sum())

    @cached_property
    def classes(self) -> tuple[ClassEffect, ...]:
        """One entry a class."""
        return tuple(self._class_effect(k, name) for k, name in enumerate(self.before.class_names))

    def _class_effect(self, k: int, name: str) -> ClassEffect:
        before, after = self.before, self.after
        logit = paired(before.logits[:, k], after.logits[:, k])
        probability = paired(before.probabilities[:, k], after.probabilities[:, k])
        if before.labels is None or before.correct is None or after.correct is None:
            return ClassEffect(name, None, None, logit, probability)
        own = before.labels == k
        accuracy = paired(before.correct[own].astype(np.float64), after.correct[own].astype(np.float64))
        return ClassEffect(name, int(own.sum()), accuracy, logit, probability)

    def table(self) -> pd.DataFrame:
        """Give one row a class: accuracy before, after and change, changes of logit and probability.

        Each change has its standard error.
        """
        rows = []
        for one in self.classes:
            row: dict[str, object] = {"class": one.name}
            if one.accuracy is not None:
                row |= {"images": one.n, "before": one.accuracy.before, "after": one.accuracy.after}
                row |= {"change": one.accuracy.change, "change s.e.": one.accuracy.se}
            row |= {"logit change": one.logit.change, "logit s.e.": one.logit.se}
            row |= {"probability change": one.probability.change, "probability s.e.": one.probability.se}
            rows.append(row)
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """One row a measure of the whole network: before, after, change and its standard error."""
        rows = {"accuracy": self.accuracy, "loss": self.loss}
        kept = {name: pair for name, pair in rows.items() if pair is not None}
        values = {name: (pair.before, pair.after, pair.change, pair.se) for name, pair in kept.items()}
        return pd.DataFrame.from_dict(values, orient="index", columns=["before", "after", "change", "s.e."])

    def plot(self, figsize: tuple[float, float] = (9, 4.2)) -> Figure:
        """Show each class's change of mean logit and of accuracy, with 95 % intervals."""
        from causal_widget.plots import effect_bars

        names = [one.name for one in self.classes]
        panels = {"change of mean logit": _bars([one.logit for one in self.classes])}
        accuracies = [one.accuracy for one in self.classes if one.accuracy is not None]
        if accuracies:
            changes, halves = _bars(accuracies)
            panels["change of accuracy (points)"] = (100 * changes, 100 * halves)
        return effect_bars(names, panels, repr(self.intervention), figsize)

    def __repr__(self) -> str:
        lines = [
            f"Effect of {self.intervention!r} on {self.n:,} images: {self.flipped:,} predictions changed"
        ]
        if self.accuracy is not None:
            a = self.accuracy
            lines.append(
                f"  accuracy {a.before:.2%} -> {a.after:.2%}, "
                f"change {100 * a.change:+.2f} +- {100 * a.se:.2f} points"
            )
        if self.loss is not None:
            c = self.loss
            lines.append(f"  loss     {c.before:.4f} -> {c.after:.4f}, change {c.change:+.4f} +- {c.se:.4f}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = f"<p>Effect of <code>{html.escape(repr(self.intervention))}</code> on {self.n:,} images: "
        head += f"{self.flipped:,} predictions changed</p>"
        tables = [self.summary()] if self.accuracy is not None else []
        tables.append(self.table())
        return head + "".join(
            table.to_html(float_format="{:.4f}".format, escape=True, max_rows=40) for table in tables
        )


def _bars(
    pairs: list[Paired],
) -> tuple[Float64[np.ndarray, " class"], Float64[np.ndarray, " class"]]:
    """Give the changes and the half-widths of their 95 % intervals."""
    changes = np.array([pair.change for pair in pairs])
    return changes, np.array([pair.interval()[1] - pair.change for pair in pairs])


def _same_images(before: Evaluation, after: Evaluation) -> None:
    if before.logits.shape != after.logits.shape:
        raise DataError(
            f"the baseline has {before.logits.shape} (images, classes), "
            f"the network under do() {after.logits.shape}: both must see the same images"
        )
    if (before.labels is None) != (after.labels is None):
        raise DataError("the baseline and the network under do() must both have labels, or both none")
    if (
        before.labels is not None
        and after.labels is not None
        and not np.array_equal(before.labels, after.labels)
    ):
        raise DataError(
            "the baseline saw other labels than the network under do(): give a loader that does not shuffle, "
            "or leave the baseline out"
        )
