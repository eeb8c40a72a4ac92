"""The responses that a question to a causal model is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from causal_widget.errors import DataError, OrderError
from causal_widget.responses import ResponseSet

if TYPE_CHECKING:
    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["responses_of"]


def responses_of(model: StructuralCausalModel, images: Any = None) -> ResponseSet:
    """Give the responses of some images, read from the attached network where they are not given.

    Parameters
    ----------
    model
        Whose network is asked.
    images
        A tensor of images or a single one, a loader, responses that were read before, or None: the held-out
        images, which are read once.

    Raises
    ------
    OrderError
        If images must be read and no network is attached, or none were held out.
    DataError
        If the responses are not those of this model's layers.
    """
    if images is None:
        known = model.remembered
        if "heldout" not in known:
            source = _source(model, "the held-out images")
            if source.loader is None:
                raise OrderError(
                    "the network was attached without a loader: attach(model, loader), or give images"
                )
            if not source.holdout:
                raise OrderError(
                    "no images were held out when this model's were collected (holdout=0): give images"
                )
            known["heldout"] = _checked(model, source.read(part="heldout"))
        found: ResponseSet = known["heldout"]
        return found
    if isinstance(images, ResponseSet):
        return _checked(model, images)
    if isinstance(images, Mapping):
        return _checked(model, ResponseSet(images, model.graph.output.name))
    return _checked(model, _source(model, "images").read(images))


def _source(model: StructuralCausalModel, what: str) -> Any:
    if model.source is None:
        raise OrderError(
            f"no network is attached to this causal model, so {what} cannot be read: attach(model, loader) "
            "first, or give responses"
        )
    return model.source


def _checked(model: StructuralCausalModel, responses: ResponseSet) -> ResponseSet:
    for layer in model.graph.layers:
        if layer.name not in responses.layers:
            raise DataError(f'the responses have no layer "{layer.name}", which the model has')
        shape, width = responses[layer.name].shape, model.width(layer.name)
        if len(shape) != 2 or shape[1] != width:
            raise DataError(
                f'layer "{layer.name}" has responses of shape {tuple(shape)}; the model expects '
                f"(image, {width})"
            )
    if not responses.n_images:
        raise DataError("there are no images; expected at least one")
    return responses
