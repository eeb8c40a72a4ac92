"""What silencing each unit alone does to loss, accuracy and margin, for thousands of units at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from causal_widget.errors import DataError
from causal_widget.responses import ResponseSet
from causal_widget.scm.do import do
from causal_widget.scm.linear import derivatives, is_linear
from causal_widget.scm.total import layers_before

if TYPE_CHECKING:
    from causal_widget.scm.local.coefficients import LocalCoefficients
    from causal_widget.scm.model import StructuralCausalModel

__all__ = [
    "MEASURES",
    "Measured",
    "SilencingLosses",
    "as_is",
    "labels_of",
    "measured",
    "silenced",
    "silenced_locally",
    "silencing_losses",
]

MEASURES = ("accuracy", "loss", "margin")
BLOCK = 1 << 19  # numbers of a block of logits, 4 MB: a last-level cache holds it, and calls are few
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Loss, margin and rightness of logits: one number an image, or a unit and image.

    The margin is the true logit minus the largest other.
    """

    loss: Float64[Tensor, "*unit image"]
    margin: Float64[Tensor, "*unit image"]
    accuracy: Float64[Tensor, "*unit image"]


@dataclass(frozen=True, eq=False)
class SilencingLosses:
    """Mean loss, accuracy and margin under every single-unit silencing.

    Attributes
    ----------
    baseline
        By measure, of the network as it is.
    by_measure
        By measure and layer: (unit,).
    n
        Number of images.
    """

    baseline: Mapping[str, float]
    by_measure: Mapping[str, Mapping[str, Float64[np.ndarray, " unit"]]]
    n: int

    @property
    def accuracy(self) -> Mapping[str, Float64[np.ndarray, " unit"]]:
        """Share of images predicted rightly, by layer."""
        return self.by_measure["accuracy"]

    @property
    def loss(self) -> Mapping[str, Float64[np.ndarray, " unit"]]:
        """Mean cross-entropy in nats, by layer."""
        return self.by_measure["loss"]

    @property
    def margin(self) -> Mapping[str, Float64[np.ndarray, " unit"]]:
        """Mean margin, by layer."""
        return self.by_measure["margin"]


def silencing_losses(
    model: StructuralCausalModel, images: Any = None, layer: str | None = None, block: int = BLOCK
) -> SilencingLosses:
    """Give loss, accuracy and margin under the silencing of every unit of a layer, or of all layers.

    Linear equations: the logits of image i under do(u) are logits_i + (silent_u - r_iu) T_u, which is rank
    one, so there is no loop over units: they are computed in blocks that stay in the cache. Memory grows with
    neither units nor images.

    Parameters
    ----------
    model
        The causal model.
    images
        As for `do`; they need labels.
    layer
        Whose units; None takes every layer before the classes.
    block
        How many logits are computed at a time.

    Raises
    ------
    DataError
        If the images have no labels.
    """
    responses = model.responses(images)
    own = as_is(responses)
    baseline = {name: float(getattr(own, name).mean()) for name in MEASURES}
    sums: dict[str, dict[str, Array]] = {name: {} for name in MEASURES}
    for name, units, _, found in silenced(model, responses, layer, block):
        for measure in MEASURES:
            total = sums[measure].setdefault(name, np.zeros(model.graph.layer(name).units))
            total[units] += getattr(found, measure).sum(dim=1).numpy()
    n = responses.n_images
    means = {measure: {name: total / n for name, total in by.items()} for measure, by in sums.items()}
    return SilencingLosses(baseline, means, n)


def as_is(responses: ResponseSet) -> Measured:
    """Measure the network's own logits: (1, image)."""
    return measured(_logits(responses)[None], labels_of(responses))


def silenced(
    model: StructuralCausalModel, responses: ResponseSet, layer: str | None = None, block: int = BLOCK
) -> Iterator[tuple[str, slice, slice, Measured]]:
    """Yield layer, units, images and what is measured under the silencing of each of these units alone.

    Blocks cover every unit with every image once, layer by layer.
    """
    layers, labels = layers_before(model, responses.output, layer), labels_of(responses)
    if not is_linear(model, responses.output):
        yield from _by_propagation(model, responses, layers, labels)
        return
    logits = _logits(responses)
    total = derivatives(model, responses.output)
    for name in layers:
        found = torch.as_tensor(np.array(responses[name].T, order="C"))
        silent = torch.as_tensor(model.silent[name])
        k, units = model.components[name], model.graph.layer(name).units
        none = np.zeros((logits.shape[0], len(silent)))
        slopes = torch.as_tensor(np.ascontiguousarray(total.get(name, none).T)).reshape(units, k, -1)
        for some, images in _blocks(units, logits.shape[1], logits.shape[0], block):
            columns = slice(some.start * k, some.stop * k)
            off = (silent[columns, None] - found[columns, images]).reshape(some.stop - some.start, k, -1)
            yield name, some, images, measured(_moved(logits[:, images], slopes[some], off), labels[images])


def silenced_locally(
    local: LocalCoefficients, layers: list[str], labels: Int64[Tensor, " image"], block: int = BLOCK
) -> Iterator[tuple[str, slice, slice, Measured]]:
    """Yield the same, where coefficients local to each image foresee the logits of all classes."""
    logits = torch.as_tensor(np.ascontiguousarray(local.logits.T))
    for name in layers:
        change = torch.as_tensor(local.effects(name)).permute(1, 2, 0).contiguous()
        for some, images in _blocks(len(change), logits.shape[1], logits.shape[0], block):
            yield name, some, images, measured(logits[:, images] + change[some][:, :, images], labels[images])


def _moved(
    logits: Float64[Tensor, "klass image"],
    slopes: Float64[Tensor, "unit component klass"],
    off: Float64[Tensor, "unit component image"],
) -> Float64[Tensor, "unit klass image"]:
    """Add to the logits what each unit's components bring."""
    moved = torch.addcmul(logits[None], slopes[:, 0, :, None], off[:, 0, None, :])
    for component in range(1, off.shape[1]):
        moved.addcmul_(slopes[:, component, :, None], off[:, component, None, :])
    return moved


def _blocks(units: int, images: int, classes: int, block: int) -> Iterator[tuple[slice, slice]]:
    """Cut units x images so that a block has at most `block` logits, long in images."""
    width = max(1, min(images, block // classes, 2048))
    height = max(1, block // (classes * width))
    for first in range(0, units, height):
        for start in range(0, images, width):
            yield slice(first, min(first + height, units)), slice(start, min(start + width, images))


def measured(logits: Float64[Tensor, "unit klass image"], labels: Int64[Tensor, " image"]) -> Measured:
    """Measure logits against labels; the logits of the true class are overwritten.

    Cross-entropy is log(sum over classes of exp(z)) - z_true, shifted by the largest logit so that nothing
    overflows. A prediction is the class with the largest logit, the first of equals.
    """
    at = labels.expand(logits.shape[0], 1, -1)
    own = logits.gather(1, at)
    logits.scatter_(1, at, -torch.inf)
    other = logits.amax(dim=1, keepdim=True)
    margin = (own - other)[:, 0]
    accuracy = (margin > 0).double()
    ties = margin == 0
    if ties.any():
        accuracy[ties] = _first(logits, other, labels)[ties].double()
    top = torch.maximum(own, other)
    rest = logits.sub_(top).exp_().sum(dim=1)
    top, own = top[:, 0], own[:, 0]
    loss = (top - own) + torch.log(rest + torch.exp(own - top))
    return Measured(loss, margin, accuracy)


def _first(logits: Tensor, other: Tensor, labels: Tensor) -> Bool[Tensor, "unit image"]:
    """Say where the true class comes before every other class with the largest logit."""
    classes = torch.arange(logits.shape[1])[None, :, None]
    equals = torch.where(logits == other, classes, logits.shape[1])
    return equals.amin(dim=1) > labels


def _by_propagation(
    model: StructuralCausalModel, responses: ResponseSet, layers: list[str], labels: Tensor
) -> Iterator[tuple[str, slice, slice, Measured]]:
    everything = slice(0, responses.n_images)
    for name in layers:
        for unit in range(model.graph.layer(name).units):
            after = do(model, {name: [unit]}, answer="equations").predict(responses).logits
            logits = torch.as_tensor(np.ascontiguousarray(after.T))[None]
            yield name, slice(unit, unit + 1), everything, measured(logits, labels)


def _logits(responses: ResponseSet) -> Float64[Tensor, "klass image"]:
    return torch.as_tensor(np.array(responses[responses.output].T, dtype=np.float64, order="C"))


def labels_of(responses: ResponseSet) -> Int64[Tensor, " image"]:
    """Give the true classes.

    Raises
    ------
    DataError
        If they are not known.
    """
    if responses.labels is None:
        raise DataError("the images have no labels; loss, accuracy and margin need them")
    return torch.as_tensor(np.asarray(responses.labels, dtype=np.int64))
