"""The sanity check: whether the equations, given the first layers, answer as the network does."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import NDArray

from causal_widget.responses import Evaluation, ResponseSet
from causal_widget.scm.linear import derivatives, is_linear

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["Sanity", "sanity"]

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False, eq=False)
class Sanity:
    """How well the equations predict the network's answers, from every depth.

    Attributes
    ----------
    network
        What the network itself answers.
    depths
        How many layers are observed, ascending; all layers after them follow by their equations. At the
        largest depth only the classes do: the one-step check.
    layers
        The last observed layer of each depth.
    rolled
        What the equations answer from each depth.
    """

    network: Evaluation
    depths: tuple[int, ...]
    layers: tuple[str, ...]
    rolled: tuple[Evaluation, ...] = field(repr=False)

    @property
    def agreement(self) -> Float64[np.ndarray, " depth"]:
        """Share of images on which the equations predict the class that the network predicts."""
        return np.array([(one.predictions == self.network.predictions).mean() for one in self.rolled])

    @property
    def accuracy(self) -> Float64[np.ndarray, " depth"] | None:
        """Share of images on which the equations predict the true class; None without labels."""
        if self.network.labels is None:
            return None
        return np.array([one.accuracy for one in self.rolled], dtype=np.float64)

    @property
    def r2(self) -> Float64[np.ndarray, " depth"]:
        """Share of the variance of the logits, all classes together, that the equations explain."""
        logits = self.network.logits
        spread = ((logits - logits.mean(axis=0)) ** 2).sum()
        missed = [((one.logits - logits) ** 2).sum() for one in self.rolled]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(1 - np.array(missed) / spread)

    @property
    def one_step(self) -> Evaluation:
        """The equations' answers with the parents of the classes observed."""
        return self.rolled[-1]

    def table(self) -> pd.DataFrame:
        """Give one row a depth: layers observed, agreement with the network, accuracy, R2 of the logits."""
        columns: dict[str, object] = {"observed": self.depths, "last observed": self.layers}
        columns["agreement"] = self.agreement
        if self.accuracy is not None:
            columns["accuracy"] = self.accuracy
        return pd.DataFrame(columns | {"r2": self.r2})

    def plot(self, figsize: tuple[float, float] = (7.5, 4.4)) -> Figure:
        """Show agreement and accuracy over depth."""
        from causal_widget.plots.scm import depth_curve

        return depth_curve(
            self.depths,
            self.layers,
            self.agreement,
            self.accuracy,
            self.network.accuracy,
            self.network.n,
            figsize,
        )

    def __repr__(self) -> str:
        agreement, accuracy = self.agreement, self.accuracy
        lines = [f"Sanity of the causal model on {self.network.n:,} images (network: {self._known()})"]
        for at, name in ((-1, "one step"), (0, f'rolled out from "{self.layers[0]}"')):
            line = f"  {name}: agrees with the network on {agreement[at]:.1%}"
            lines.append(line if accuracy is None else f"{line}, accuracy {accuracy[at]:.1%}")
        return "\n".join(lines)

    def _known(self) -> str:
        return "no labels" if self.network.accuracy is None else f"accuracy {self.network.accuracy:.1%}"

    def _repr_html_(self) -> str:
        table = self.table().to_html(index=False, float_format="{:.4f}".format, escape=True, max_rows=60)
        return f"<pre>{html.escape(repr(self))}</pre>{table}"


def sanity(model: StructuralCausalModel, images: Any = None) -> Sanity:
    """Predict the network's answers from its first layers alone, from every depth.

    Source: Narendra et al. 2018, "Sanity Check of the Causal Model" and table 6, which compares with the
    labels; here also with the network's own predictions, which is what a model of a network should match.

    Parameters
    ----------
    model
        The causal model.
    images
        As for `do`; None takes the held-out images. Accuracy needs labels, agreement none.

    Raises
    ------
    OrderError
        If images must be read and no network is attached.
    """
    responses = model.responses(images)
    network = responses.evaluation()
    names = model.graph.names[: model.graph.output.index]
    found = _linear(model, responses) if is_linear(model, responses.output) else _rolled(model, responses)
    rolled = [Evaluation(logits, network.labels, network.class_names) for logits in found]
    depths = tuple(range(1, len(names) + 1))
    return Sanity(network, depths, tuple(names), tuple(reversed(rolled)))


def _linear(model: StructuralCausalModel, responses: ResponseSet) -> Iterator[Array]:
    """Yield the logits from the largest depth to the smallest, one prediction a layer.

    To let a layer follow by its equations takes away what they miss on each image, and what that brings to
    the logits: z(k) = z(k + 1) - (r_k - f_k(parents)) T_k, with all parents observed and T_k the total
    derivatives. By linearity the sum over the layers is the same as rolling out.
    """
    output = model.graph.output
    logits, total = np.array(responses[output.name], dtype=np.float64), derivatives(model, output.name)
    for layer in reversed(model.graph.layers[1 : output.index + 1]):
        if layer.name in model.equations and layer.name in total:
            missed = responses[layer.name] - model.equations[layer.name].predict(responses)
            logits = logits - missed @ total[layer.name].T
        yield logits


def _rolled(model: StructuralCausalModel, responses: ResponseSet) -> Iterator[Array]:
    """Yield the same by letting the responses follow layer by layer, from every depth anew."""
    output = model.graph.output
    for first in range(output.index, 0, -1):
        now = {name: np.asarray(responses[name], dtype=np.float64) for name in model.graph.names}
        for layer in model.graph.layers[first : output.index + 1]:
            if layer.name in model.equations:
                now[layer.name] = model.equations[layer.name].predict(now)
        yield now[output.name]
