"""Windows of pixels as labels: which rectangle of the image a number was computed from."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from causal_widget.graph.sources import squeeze_constant

__all__ = ["LIMIT", "REACH", "Hulls", "image_labels", "moved", "unpacked"]

BITS = 13
MIDDLE = 1 << (BITS - 1)
LIMIT = 3000  # pixels a side: leaves room for windows that reach beyond the image
REACH = MIDDLE - 1  # what a label can hold
FAR = 1 << 30
SHIFTS = (3 * BITS, 2 * BITS, BITS, 0)

Labels = Int[Tensor, "*shape"]


class Hulls:
    """The lattice of rectangles, with the surface of `graph.sources.Sources`, so that its flow carries them.

    A rectangle is four numbers, ``(top, -bottom, left, -right)``, each smaller where the rectangle is wider:
    the smallest rectangle around two is the minimum of the four. A label packs them into one integer below
    2**52 (what moves labels may take them through float64); 0 is no pixel at all.
    """

    def union_pairwise(self, a: Labels, b: Labels) -> Labels:
        """Unite two label tensors element by element, with broadcasting."""
        shape = torch.broadcast_shapes(a.shape, b.shape)
        if a.shape == b.shape and torch.equal(a, b):
            return a
        small = torch.minimum(*(unpacked(squeeze_constant(x.expand(shape))) for x in (a, b)))
        return packed(small).expand(shape)

    def union_over(self, labels: Labels, dims: tuple[int, ...]) -> Labels:
        """Unite over some axes, which stay with length 1."""
        axes = tuple(d % labels.ndim for d in dims)
        small = packed(unpacked(squeeze_constant(labels)).amin([d + 1 for d in axes], keepdim=True))
        return small.expand([1 if d in axes else n for d, n in enumerate(labels.shape)])

    def union_all(self, labels: Labels) -> int:
        """Give the label of the smallest rectangle around all."""
        return int(packed(unpacked(squeeze_constant(labels)).flatten(1).amin(1)))


def image_labels(shape: tuple[int, ...]) -> Labels:
    """Give each pixel of images (..., height, width) the label of itself."""
    rows = torch.arange(shape[-2])[:, None].expand(shape[-2:])
    columns = torch.arange(shape[-1]).expand(shape[-2:])
    return packed(torch.stack([rows, -rows, columns, -columns])).expand(shape)


def unpacked(labels: Labels) -> Int[Tensor, "4 *shape"]:
    """Give the four numbers of each label, all far above any pixel where there is none."""
    parts = torch.stack([(labels >> shift) & ((1 << BITS) - 1) for shift in SHIFTS]) - MIDDLE
    return torch.where(labels == 0, FAR, parts)


def packed(parts: Int[Tensor, "4 *shape"]) -> Labels:
    """Give the labels of four numbers each."""
    kept = parts.clamp(-REACH, REACH) + MIDDLE
    labels = sum(part << shift for part, shift in zip(kept, SHIFTS, strict=True))
    return torch.where(parts[0] >= FAR // 2, 0, torch.as_tensor(labels))


def moved(labels: Labels, axis: int, first: Int[Tensor, " output"], last: Int[Tensor, " output"]) -> Labels:
    """Let every output position along an axis read the input positions from `first` to `last`.

    Positions outside the input are padding: there the rectangles go on as they do at the edge, so that a
    window over the edge keeps its size and its centre.
    """
    parts = unpacked(labels)
    at_first, at_last = (_continued(parts, axis, index) for index in (first, last))
    return packed(torch.minimum(at_first, at_last))


def _continued(
    parts: Int[Tensor, "4 *shape"], axis: int, index: Int[Tensor, " output"]
) -> Int[Tensor, "4 *shape"]:
    n = parts.shape[axis]
    inside = index.clamp(0, n - 1)
    found = parts.index_select(axis, inside)
    beyond = index - inside
    if n == 1 or not beyond.any():
        return found
    edge = torch.where(beyond < 0, torch.zeros_like(index), torch.full_like(index, n - 2))
    step = parts.index_select(axis, edge + 1) - parts.index_select(axis, edge)
    return found + step * beyond.reshape(-1, *[1] * (-1 - axis))
