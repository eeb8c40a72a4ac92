"""What a widget is made of, and the ways back to it, which do not keep it alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from causal_widget.errors import ArgumentError
from causal_widget.explainer import CausalCNNExplainer
from causal_widget.guard import bare
from causal_widget.widget.backend import Send
from causal_widget.widget.data import ImageData

if TYPE_CHECKING:
    from causal_widget.widget.widget import CausalWidget


def sender(reference: weakref.ref[CausalWidget]) -> Send:
    """Give a way to send that does not keep the widget alive."""

    def send(content: dict[str, Any], buffers: list[memoryview]) -> None:
        widget = reference()
        if widget is not None:
            widget.send(content, buffers or None)

    return send


def renewer(reference: weakref.ref[CausalWidget]) -> Callable[[], None]:
    """Give a way to renew the picture that does not keep the widget alive."""

    def renew() -> None:
        widget = reference()
        if widget is not None:
            widget.renew_still()

    return renew


def sources(
    shown: CausalCNNExplainer | nn.Module,
    images: Iterable[Any] | None,
    class_names: Sequence[str] | None,
    n_strip: int,
    n_effect: int | None,
) -> tuple[CausalCNNExplainer, ImageData]:
    """Give the explainer that is shown, made for a model, and its images.

    Raises
    ------
    ArgumentError
        If an explainer is given names of classes: it has its own.
    """
    if isinstance(shown, CausalCNNExplainer):
        if class_names is not None:
            raise ArgumentError(
                "class_names belong to the explainer: CausalCNNExplainer(model, class_names=...)"
            )
        loader = shown.loader if images is None else images
        return shown, ImageData(loader, bare(shown.model), n_strip, n_effect)
    data = ImageData(images, bare(shown), n_strip, n_effect)
    example = None if data.strip is None else data.strip.images
    return CausalCNNExplainer(shown, example=example, class_names=class_names), data
