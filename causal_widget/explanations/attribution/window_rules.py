"""Which input positions an output position of a windowed operation reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from causal_widget.explanations.attribution.hulls import moved
from causal_widget.graph.rules import RULES, Read, Rule, first_operand, words

__all__ = ["WINDOWS"]

Span = tuple[Int[Tensor, " output"], Int[Tensor, " output"]]


def windows(outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Span:
    """Give the first and last input position of every output position of a convolution or pooling."""
    first = torch.arange(outputs) * stride - padding
    return first, first + dilation * (kernel - 1)


def transposed_windows(outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Span:
    """Do the same for a transposed convolution: input i reaches ``i * stride - padding + dilation * tap``."""
    place = torch.arange(outputs) + padding
    first = -torch.div(dilation * (kernel - 1) - place, stride, rounding_mode="floor")
    last = torch.div(place, stride, rounding_mode="floor")
    return torch.minimum(first, last), last


def adaptive_windows(outputs: int, inputs: int) -> Span:
    """Do the same for adaptive pooling."""
    place = torch.arange(outputs) * inputs
    first = torch.div(place, outputs, rounding_mode="floor")
    return first, torch.div(place + inputs + outputs - 1, outputs, rounding_mode="floor") - 1


def resized_windows(outputs: int, inputs: int, align_corners: bool = False) -> Span:
    """Do the same for interpolation, whose output lies between its two nearest inputs."""
    place = torch.arange(outputs, dtype=torch.float64)
    if align_corners:
        at = place * ((inputs - 1) / max(outputs - 1, 1))
    else:
        at = ((place + 0.5) * (inputs / outputs) - 0.5).clamp(0, inputs - 1)
    return at.floor().long(), at.ceil().long()


def nearest_windows(outputs: int, inputs: int) -> Span:
    """Do the same for interpolation by the nearest input, the one to the left."""
    place = torch.div(torch.arange(outputs) * inputs, outputs, rounding_mode="floor")
    return place, place


def convolution(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Any
) -> Tensor:
    """Convolution in two dimensions: the window, over a group's channels."""
    if out.ndim != 4:
        return RULES["convolution"](func, args, kwargs, out, read, s)
    weight, stride, padding, dilation, transposed, groups = args[1], *args[3:7], args[8]
    labels = read(args[0])
    n, channels = labels.shape[:2]
    grouped = s.union_over(labels.reshape(n, groups, channels // groups, *labels.shape[2:]), (2,))[:, :, 0]
    span = transposed_windows if transposed else windows
    for axis in (-2, -1):
        kernel = weight.shape[axis]
        numbers = (_at(values, axis) for values in (stride, padding, dilation))
        grouped = moved(grouped, axis, *span(out.shape[axis], kernel, *numbers))
    united = grouped[:, :, None].expand(n, groups, out.shape[1] // groups, *out.shape[2:])
    return torch.as_tensor(united.reshape(out.shape))


def pooling(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Any
) -> Tensor:
    """Pooling in two dimensions, channel by channel."""
    given = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | kwargs
    labels = read(args[0])
    for axis in (-2, -1):
        kernel = _at(given["kernel_size"], axis)
        stride = _at(given.get("stride") or given["kernel_size"], axis)
        padding, dilation = _at(given.get("padding", 0), axis), _at(given.get("dilation", 1), axis)
        labels = moved(labels, axis, *windows(out.shape[axis], kernel, stride, padding, dilation))
    return labels


def resizing(span: Callable[[int, int], Span]) -> Rule:
    """Give the rule of an operation that brings maps to a size."""

    def rule(
        func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Any
    ) -> Tensor:
        labels = read(args[0])
        aligned = {"align_corners": True} if len(args) > 2 and args[2] is True else {}
        for axis in (-2, -1):
            labels = moved(labels, axis, *span(out.shape[axis], labels.shape[axis], **aligned))
        return labels

    return rule


def padding(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, read: Read, s: Any
) -> Tensor:
    """Pad by a constant or the image's own pixels: over the last two axes the image goes on."""
    labels = read(args[0])
    for k in range(math.ceil(len(args[1]) / 2)):
        before, axis = args[1][2 * k], -1 - k
        if k < 2:
            place = torch.arange(out.shape[axis]) - before
            labels = moved(labels, axis, place, place)
        else:
            labels = torch.nn.functional.pad(labels, [0, 0] * k + list(args[1][2 * k : 2 * k + 2]), value=0)
    return labels


def _at(values: Any, axis: int) -> int:
    """Give the number of one axis, of one number for all or one an axis."""
    if isinstance(values, int):
        return values
    return int(values[axis] if len(values) > 1 else values[0])


WINDOWS: dict[str, Rule] = {
    name: rule
    for rule, names in {
        convolution: "convolution _convolution cudnn_convolution mkldnn_convolution",
        pooling: "max_pool2d max_pool2d_with_indices mkldnn_max_pool2d avg_pool2d",
        resizing(adaptive_windows): """
            _adaptive_avg_pool2d mkldnn_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d
        """,
        resizing(nearest_windows): "upsample_nearest2d",
        resizing(resized_windows): """
            _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa
            _upsample_bicubic2d_aa
        """,
        padding: "constant_pad_nd reflection_pad2d replication_pad2d",
        first_operand: "native_group_norm",
    }.items()
    for name in words(names)
}
