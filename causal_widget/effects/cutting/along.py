"""What a layer reads when some units are changed on the way to it, and to no other layer."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causal_widget.effects.cutting.again import Again, Kept
from causal_widget.effects.cutting.region import Region
from causal_widget.effects.cutting.slices import Items, Slices

__all__ = ["along", "replaced"]


def along(
    state: Kept, region: Region, units: Int[Tensor, " unit"], maps: Float[Tensor, "row unit ..."], axis: int
) -> Tensor | Slices:
    """Run a route again on all rows of a state.

    Parameters
    ----------
    state, region : Kept, Region
        What is known without the change, and the nodes on the way.
    units : int Tensor, shape (unit,)
        Which units are changed.
    maps : Tensor, shape (row, unit, ...)
        What their maps become.
    axis : int
        Where the units are, from the end.
    """
    whole = state.kept(region.start)
    rows, many = torch.arange(len(maps), device=whole.device), units.expand(len(maps), -1)
    run = Again(state, region, Items(rows, ((0, len(maps)),), every=True))
    return run.end(Slices(many, maps) if whole.ndim + axis == 1 else replaced(whole, axis, many, maps, rows))


@torch.no_grad()
def replaced(whole: Tensor, axis: int, units: Tensor, maps: Tensor, rows: Tensor) -> Tensor:
    """Give kept values of some images, with the maps of some units (item, unit) replaced in each."""
    tensor = whole.index_select(0, rows)
    moved = tensor.movedim(axis, 1)
    moved[torch.arange(len(rows), device=rows.device)[:, None], units] = maps.to(tensor.dtype)
    return tensor
