"""Interned sets of source units: one small integer stands for one set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

Codes = Int[np.ndarray, " code"]


class Sources:
    """All sets of units that occur while a model is traced.

    A unit is a code (the layer's offset plus the unit). A set of codes is a label; label 0 is the empty
    set, which parameters, constants and the input image carry.
    """

    def __init__(self) -> None:
        empty = np.empty(0, dtype=np.int64)
        self._members: list[Codes] = [empty]
        self._labels: dict[bytes, int] = {empty.tobytes(): 0}
        self._pairs: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self._members)

    def members(self, label: int) -> Codes:
        """Codes in a set, ascending."""
        return self._members[label]

    def singletons(self, first: int, count: int) -> Int[Tensor, " unit"]:
        """Labels of the sets {first}, {first + 1}, ..."""
        return torch.tensor([self._intern(np.array([code])) for code in range(first, first + count)])

    def union(self, a: int, b: int) -> int:
        """Label of the union of two sets."""
        if a == b or b == 0:
            return a
        if a == 0:
            return b
        key = (a, b) if a < b else (b, a)
        if key not in self._pairs:
            self._pairs[key] = self._intern(np.union1d(self._members[a], self._members[b]))
        return self._pairs[key]

    def union_all(self, labels: Int[Tensor, " label"]) -> int:
        """Label of the union of many sets."""
        distinct = torch.unique(labels).tolist()
        if len(distinct) == 1:
            return int(distinct[0])
        parts = [self._members[label] for label in distinct]
        return self._intern(np.unique(np.concatenate(parts)))

    def _intern(self, codes: Codes) -> int:
        codes = codes.astype(np.int64)
        key = codes.tobytes()
        if key not in self._labels:
            self._labels[key] = len(self._members)
            self._members.append(codes)
        return self._labels[key]

    def union_pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Union two label tensors element by element, with broadcasting.

        Parameters
        ----------
        a, b : Tensor of int
            Labels, of shapes that broadcast.

        Returns
        -------
        Tensor of int
            Labels, of the broadcast shape.
        """
        shape = torch.broadcast_shapes(a.shape, b.shape)
        if a.shape == b.shape and torch.equal(a, b):
            return a
        small_a, small_b = torch.broadcast_tensors(squeeze_constant(a), squeeze_constant(b))
        codes = small_a.to(torch.int64) * len(self) + small_b
        distinct, inverse = torch.unique(codes, return_inverse=True)
        width = len(self)
        merged = torch.tensor([self.union(code // width, code % width) for code in distinct.tolist()])
        return merged[inverse].reshape(small_a.shape).expand(shape)

    def union_over(self, labels: Tensor, dims: tuple[int, ...]) -> Tensor:
        """Union a label tensor over some axes, which stay with length 1.

        Parameters
        ----------
        labels : Tensor of int
            Labels.
        dims : tuple of int
            Axes to unite over.
        """
        dims = tuple(d % labels.ndim for d in dims)
        small = squeeze_constant(labels)
        varying = [d for d in dims if small.shape[d] > 1]
        if varying:
            small = _reduce_rows(small, varying, self.union_all)
        shape = [1 if d in dims else n for d, n in enumerate(labels.shape)]
        return small.expand(shape)


def squeeze_constant(labels: Tensor) -> Tensor:
    """Shorten to length 1 every axis along which a label tensor does not vary."""
    for d in range(labels.ndim):
        if labels.shape[d] > 1:
            first = labels.narrow(d, 0, 1)
            if labels.stride(d) == 0 or bool((labels == first).all()):
                labels = first
    return labels


def _reduce_rows(labels: Tensor, dims: list[int], reduce: Callable[[Tensor], int]) -> Tensor:
    """Reduce over some axes; equal rows are reduced once."""
    kept = [d for d in range(labels.ndim) if d not in dims]
    rows = labels.permute(*kept, *dims).reshape(int(np.prod([labels.shape[d] for d in kept], dtype=int)), -1)
    distinct, inverse = torch.unique(rows, dim=0, return_inverse=True)
    reduced = torch.tensor([reduce(row) for row in distinct])[inverse]
    return reduced.reshape([1 if d in dims else n for d, n in enumerate(labels.shape)])
