"""How a kept value becomes that of another batch: some of the images, some of them several times."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["carry", "is_known", "size_in_bytes", "spec_of"]

Spec = Any  # "same", "images", "count", "unknown", or a tuple of such


def spec_of(two: Any, three: Any, from_images: bool = True) -> Spec:
    """Say how a value depends on the batch, from its values for two and for three images.

    Parameters
    ----------
    two, three : any
        The value of one node in two runs.
    from_images : bool
        Whether it was computed from the images at all.
    """
    if isinstance(two, Tensor):
        if not from_images:
            return "same"
        shapes = tuple(two.shape), tuple(three.shape)
        batched = two.ndim > 0 and (shapes[0][0], shapes[1][0]) == (2, 3) and shapes[0][1:] == shapes[1][1:]
        return "images" if batched else "unknown"
    if isinstance(two, tuple | list):
        return tuple(spec_of(a, b, from_images) for a, b in zip(two, three, strict=True))
    if isinstance(two, int) and (two, three) == (2, 3):
        return "count"
    return "same" if two == three else "unknown"


def is_known(spec: Spec) -> bool:
    """Whether a value can be carried to another batch."""
    return all(is_known(one) for one in spec) if isinstance(spec, tuple) else bool(spec != "unknown")


def is_plain(value: Any) -> bool:
    """Whether a value holds no tensor: a size, a number, a name."""
    if isinstance(value, tuple | list):
        return all(is_plain(one) for one in value)
    return not isinstance(value, Tensor)


def carry(value: Any, spec: Spec, rows: Tensor) -> Any:
    """Give a value as it would be for a batch of the kept images `rows`, shape (item,)."""
    if spec == "images":
        return value.index_select(0, rows)
    if spec == "count":
        return len(rows)
    if isinstance(spec, tuple):
        return type_of(value)(carry(one, s, rows) for one, s in zip(value, spec, strict=True))
    return value


def type_of(value: Any) -> type:
    """Give the type to rebuild a sequence with."""
    return tuple if isinstance(value, torch.Size | tuple) else list


def size_in_bytes(value: Any) -> int:
    """Bytes of all tensors in a value."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(size_in_bytes(one) for one in value) if isinstance(value, tuple | list) else 0
