"""Where in the image the positions of a layer's maps look: read from the network as it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, UnsupportedModelError
from causal_widget.explanations.attribution.hulls import LIMIT, REACH, Hulls, image_labels, unpacked
from causal_widget.explanations.attribution.window_rules import WINDOWS
from causal_widget.graph import FilterGraph, Layer, as_maps
from causal_widget.graph.calls import call_name, on_calls
from causal_widget.graph.flow import Flow
from causal_widget.guard import bare, floating_type, guarded

__all__ = ["Axis", "ReceptiveField", "feature_places", "receptive_fields"]


@dataclass(frozen=True, repr=False, eq=False)
class Axis:
    """What the positions of a map read along one axis of the image.

    Attributes
    ----------
    first, last : int array (position,)
        Pixels from which to which a position reads, both inclusive. Windows that reach into padding are
        not cut: pixel -2 lies two before the first.
    pixels : int
        The image's length.
    """

    first: Int64[np.ndarray, " position"]
    last: Int64[np.ndarray, " position"]
    pixels: int

    @property
    def centres(self) -> Float64[np.ndarray, " position"]:
        """Middle of each position's window, in pixels."""
        return np.asarray((self.first + self.last) / 2)

    @property
    def offset(self) -> float:
        """Middle of the first position's window, in pixels."""
        return float(self.centres[0])

    @property
    def stride(self) -> float:
        """Pixels from one position to the next (the median); 0 where there is one position."""
        return float(np.median(np.diff(self.centres))) if len(self.first) > 1 else 0.0

    @property
    def size(self) -> int:
        """Pixels that a position reads (the largest number, padding included)."""
        return int((self.last - self.first).max()) + 1

    def weights(self) -> Float64[np.ndarray, "pixel position"]:
        """Interpolate linearly between the positions' centres; beyond the outermost, their values hold."""
        pixels, eye = np.arange(self.pixels), np.eye(len(self.first))
        order = np.argsort(self.centres, kind="stable")
        columns = [np.interp(pixels, self.centres[order], column[order]) for column in eye]
        return np.asarray(np.stack(columns, axis=1))


@dataclass(frozen=True, repr=False, eq=False)
class ReceptiveField:
    """Where in the image the positions of one layer's maps look.

    Attributes
    ----------
    layer : str
    rows, columns : Axis
    """

    layer: str
    rows: Axis = field(repr=False)
    columns: Axis = field(repr=False)

    def upsampled(
        self, maps: Float64[np.ndarray, "*batch h w"]
    ) -> Float64[np.ndarray, "*batch height width"]:
        """Lay maps over the image: each value at the centre of what it looked at, linear between them."""
        return np.asarray(self.rows.weights() @ maps @ self.columns.weights().T)

    def __repr__(self) -> str:
        r, c = self.rows, self.columns
        return (
            f"ReceptiveField of {self.layer}: {len(r.first)} x {len(c.first)} positions, each of "
            f"{r.size} x {c.size} pixels, {r.stride:g} x {c.stride:g} apart, the first at "
            f"({r.offset:g}, {c.offset:g})"
        )


def receptive_fields(
    model: nn.Module, graph: FilterGraph, images: Tensor, layers: Sequence[str] | None = None
) -> dict[str, ReceptiveField]:
    """Find for every layer with maps which pixels each of its positions reads, in one run on one image.

    Beside every number that the network computes stands the smallest rectangle of pixels that it comes from.
    Each operation carries these rectangles along: windows (convolutions, pooling) by their kernel, stride,
    dilation and padding, additions and concatenations by uniting them, everything that only moves numbers by
    moving them. So the answer holds for padding on one side, slices with a step and unequal branches, and
    takes no formula of the architecture. Gates (one number a channel, computed from the whole image) and
    statistics of GroupNorm say nothing about a place and are left out.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network, which is not changed, and its graph.
    images : Tensor, shape (image, channel, height, width)
        Of the size that is meant; one is enough.
    layers : sequence of str, optional
        Which; None: every layer with maps.

    Returns
    -------
    dict of layer to ReceptiveField
        Of the layer's output.

    Raises
    ------
    ArgumentError
        If an asked layer has no maps, or the image is larger than 3,000 pixels.
    UnsupportedModelError
        If an operation is not one whose window is known.
    """
    asked = [layer for layer in graph.layers if layers is None or layer.name in layers]
    mapped = {layer.name: layer for layer in asked if len(layer.shape) == 3}
    bare_of_maps = [layer.name for layer in asked if layer.name not in mapped]
    if layers is not None and bare_of_maps:
        raise ArgumentError(f'layer "{bare_of_maps[0]}" has no maps: its units have no place in the image')
    height, width = (int(side) for side in images.shape[-2:])
    found: dict[str, ReceptiveField] = {}

    def after(name: str, labels: Tensor) -> None:
        if name in mapped:
            parts = unpacked(as_maps(mapped[name], labels))
            found[name] = _field(name, parts.amin((1, 2)), height, width)

    _followed(model, images, None, after)
    return found


def feature_places(
    model: nn.Module, layer: Layer, images: Tensor
) -> tuple[ReceptiveField, Int64[np.ndarray, " feature"], Int64[np.ndarray, " feature"]]:
    """Find where each feature that a linear layer reads comes from, as maps that were flattened do.

    Returns
    -------
    ReceptiveField, int array (feature,), int array (feature,)
        The grid of the features' windows, and each feature's row and column in it.

    Raises
    ------
    ArgumentError
        If all features come from the same window: then none has a place of its own.
    UnsupportedModelError
        As for `receptive_fields`.
    """
    height, width = (int(side) for side in images.shape[-2:])
    seen: list[Tensor] = []

    def before(name: str, labels: Tensor) -> None:
        if name == layer.name:
            seen.append(unpacked(labels.reshape(-1)))

    _followed(model, images, before, None)
    top, bottom, left, right = seen[0].numpy() * np.array([[1], [-1], [1], [-1]])
    rows, row = np.unique(np.stack([top, bottom]), axis=1, return_inverse=True)
    columns, column = np.unique(np.stack([left, right]), axis=1, return_inverse=True)
    if rows.shape[1] == columns.shape[1] == 1:
        raise ArgumentError(
            f'layer "{layer.name}" has no maps: each of its {len(row)} features is read from the same pixels'
        )
    field = ReceptiveField(layer.name, Axis(rows[0], rows[1], height), Axis(columns[0], columns[1], width))
    return field, row.reshape(-1), column.reshape(-1)


Told = Callable[[str, Tensor], None]


def _followed(model: nn.Module, images: Tensor, before: Told | None, after: Told | None) -> None:
    """Run the network on one image, and tell the rectangles of layers' inputs and outputs."""
    if max(images.shape[-2:]) > LIMIT:
        raise ArgumentError(f"images must have at most {LIMIT} pixels a side, got {tuple(images.shape[-2:])}")
    flow, network = _Flow(), bare(model)

    def enter(path: str, call: int, given: Tensor) -> None:
        if before is not None:
            before(call_name(path, call), flow.shadow.read(given))

    def leave(path: str, call: int, output: Tensor) -> None:
        if after is not None:
            after(call_name(path, call), flow.shadow.read(output))

    with guarded(network) as guard:
        image = images[:1].detach().to(guard.device, floating_type(network))
        # A copy, for the rectangles are kept beside the memory, which would hold the other images too.
        image = image.clone()
        flow.shadow.write(image, image_labels(tuple(image.shape)))
        with flow, on_calls(network, enter, leave):
            network(image)


class _Flow(Flow):
    """Carries rectangles of pixels where the graph's flow carries sets of units."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = Hulls()  # type: ignore[assignment]  # all that a flow asks of its sources

    def _rule(self, func: Any) -> Callable[..., Tensor]:
        name = func._schema.name.split("::")[-1]
        found = WINDOWS.get(name.rstrip("_") if func._schema.is_mutable else name)
        return found or gated(super()._rule(func))


def gated(rule: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Leave out, of an operation's operands, those that are the same all over the image."""

    def apply(
        func: Any, args: Any, kwargs: Any, out: Tensor, read: Callable[[Tensor], Tensor], s: Any
    ) -> Any:
        def local(tensor: Tensor) -> Tensor:
            labels = read(tensor)
            return torch.zeros_like(labels) if _is_gate(tensor, out) else labels

        operands = [t for t in args if isinstance(t, Tensor)]
        beside = any(not _is_gate(t, out) and bool(read(t).any()) for t in operands)
        return rule(func, args, kwargs, out, local if beside and len(operands) > 1 else read, s)

    return apply


def _is_gate(tensor: Tensor, out: Tensor) -> bool:
    """Whether an operand is spread over two axes or more of the result."""
    padded = (None,) * (out.ndim - tensor.ndim) + tuple(zip(tensor.shape, tensor.stride(), strict=True))
    spread = [
        size > 1 and (own is None or (own[0] == 1 or own[1] == 0))
        for size, own in zip(out.shape, padded, strict=False)
    ]
    return tensor.ndim <= out.ndim and sum(spread) > 1


def _field(name: str, merged: Tensor, height: int, width: int) -> ReceptiveField:
    """Give the field of windows (4, h, w), which are those of all units together."""
    if int(merged.max()) > 2 * LIMIT:
        raise UnsupportedModelError(f'layer "{name}" has positions that do not come from the image')
    if int(merged.min()) <= -REACH:
        raise UnsupportedModelError(f'layer "{name}" reads windows of more than {REACH} pixels')
    rows, columns = merged[:2].amin(2).numpy(), merged[2:].amin(1).numpy()
    return ReceptiveField(name, Axis(rows[0], -rows[1], height), Axis(columns[0], -columns[1], width))
