"""Counterfactuals: what the network would have answered on these images, had some units been set."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.interventions import Intervention
from causal_widget.responses import Evaluation
from causal_widget.scm.do import Chosen, do

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["Counterfactual", "counterfactual"]


@dataclass(frozen=True, repr=False, eq=False)
class Counterfactual:
    """Some images' answers as they are, and as they would have been.

    Attributes
    ----------
    intervention
        What would have been set.
    factual
        What the network answers.
    counterfactual
        What it would have answered, with what is particular to the image kept.
    """

    intervention: Intervention
    factual: Evaluation
    counterfactual: Evaluation

    @property
    def n(self) -> int:
        """Number of images."""
        return self.factual.n

    @property
    def change(self) -> Float64[np.ndarray, "image class"]:
        """Change of the logits."""
        return np.asarray(self.counterfactual.logits - self.factual.logits)

    @property
    def probability_change(self) -> Float64[np.ndarray, "image class"]:
        """Change of the probabilities."""
        return np.asarray(self.counterfactual.probabilities - self.factual.probabilities)

    def table(self) -> pd.DataFrame:
        """Give one row an image and class: logit and probability as they are and as they would have been."""
        n, classes = self.factual.logits.shape
        table = pd.DataFrame(
            {
                "image": np.repeat(np.arange(n), classes),
                "class": list(self.factual.class_names) * n,
                "logit": self.factual.logits.ravel(),
                "logit had it been": self.counterfactual.logits.ravel(),
                "change": self.change.ravel(),
                "probability": self.factual.probabilities.ravel(),
                "probability had it been": self.counterfactual.probabilities.ravel(),
            }
        )
        return table.drop(columns="image") if n == 1 else table

    def plot(self, image: int = 0, figsize: tuple[float, float] = (8, 4.2)) -> Figure:
        """Show one image's logits and probabilities, as they are and as they would have been."""
        from causal_widget.plots.scm import counterfactual_dots

        panels = {
            "logit": (self.factual.logits[image], self.counterfactual.logits[image]),
            "probability": (self.factual.probabilities[image], self.counterfactual.probabilities[image]),
        }
        return counterfactual_dots(self.factual.class_names, panels, repr(self.intervention), figsize)

    def __repr__(self) -> str:
        head = f"Counterfactual under {self.intervention!r}: "
        flipped = self.factual.predictions != self.counterfactual.predictions
        if self.n > 1:
            return f"{head}{self.n:,} images, {int(flipped.sum()):,} would have been predicted otherwise"
        before, after = (_said(one) for one in (self.factual, self.counterfactual))
        verb = "would have become" if flipped[0] else "would have stayed"
        return f"{head}{before} {verb} {after}"

    def _repr_html_(self) -> str:
        table = self.table().to_html(index=False, float_format="{:.4f}".format, max_rows=40)
        return f"<p>{html.escape(repr(self))}</p>{table}"


def _said(one: Evaluation) -> str:
    winner = int(one.predictions[0])
    return f"class {one.class_names[winner]} ({one.probabilities[0, winner]:.1%})"


def counterfactual(
    model: StructuralCausalModel,
    image: Any,
    units: Chosen,
    value: float = 0.0,
    *,
    scale: float | None = None,
    answer: str | None = None,
) -> Counterfactual:
    """Ask what the network would have answered on an image, had some units been set.

    Abduction: what each equation misses on this image is its noise, or, where coefficients local to the image
    answer, they are those of its own activations. Action: the units are set. Prediction: their descendants
    follow. Without an intervention the answer is the
    network's own, bit for bit.

    Source: Pearl 2009, "Causality", theorem 7.1.7.

    Parameters
    ----------
    model
        The causal model.
    image
        One image, a batch, a loader, or responses that were read before.
    units, value, scale, answer
        As for `do`.

    Raises
    ------
    OrderError
        If an image must be read and no network is attached.
    UnknownNameError, ArgumentError
        As for `do`.
    """
    submodel = do(model, units, value, scale=scale, answer=answer)
    return Counterfactual(submodel.intervention, *submodel.both(image))
