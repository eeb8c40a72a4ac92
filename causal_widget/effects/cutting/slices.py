"""A batch that differs from kept values in a few channels of each image only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Items", "Slices", "as_parameter"]


@dataclass(frozen=True, eq=False)
class Items:
    """The interventions that run in one batch: each is one unit's, on one of the kept images.

    Attributes
    ----------
    rows : int tensor (item,)
        The kept image of each.
    blocks : tuple of (first, end)
        Runs of items in which the same unit is changed.
    every : bool
        Whether the items are all kept images in order, each once: then nothing need be copied.
    """

    rows: Int[Tensor, " item"]
    blocks: tuple[tuple[int, int], ...]
    every: bool = False

    @property
    def n(self) -> int:
        """Number of items."""
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Slices:
    """What differs from the kept value: some channels, along axis 1.

    Attributes
    ----------
    channels : int tensor (item, slice)
        Which channels; the same within a block of items.
    values : tensor (item, slice, ...)
        What they hold now.
    """

    channels: Int[Tensor, "item slice"]
    values: Float[Tensor, "item slice ..."]

    def of(self, kept: Tensor, items: Items) -> Tensor:
        """Give these channels of a kept value (image, channel, ...) as they were: (item, slice, ...)."""
        if items.every and len(items.blocks) == 1:
            return kept if kept.shape[1] == 1 else kept.index_select(1, self.channels[0])
        if kept.shape[1] == 1:
            return kept[items.rows]
        return kept[items.rows[:, None], self.channels]

    def into(self, kept: Tensor, rows: Int[Tensor, " item"]) -> Tensor:
        """Give the whole value: that which was kept, with these channels replaced."""
        whole = kept.index_select(0, rows)
        if kept.ndim == 4 and not kept.is_contiguous():
            whole = whole.contiguous(memory_format=torch.channels_last)
        items = torch.arange(len(rows), device=rows.device)
        whole[items[:, None], self.channels] = self.values.to(whole.dtype)
        return whole


def as_parameter(parameter: Tensor, like: Slices) -> Tensor:
    """Gather a parameter of one number a channel, shaped to broadcast over the slices' maps."""
    gathered = parameter[like.channels]
    return gathered.reshape(*gathered.shape, *[1] * (like.values.ndim - 2))
