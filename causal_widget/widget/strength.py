"""How strong the edges of a wiring are: standardised coefficients, or weight norms before there are any."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy import sparse
from torch import Tensor, nn

from causal_widget.graph import FilterGraph, Wiring

CHUNK = 256


def weight_of(model: nn.Module, graph: FilterGraph, layer: str) -> Float[Tensor, "unit ..."] | None:
    """Give the weight of a layer, shape (unit, input channel of its group, ...); None where it has none."""
    path = graph.layer(layer).module
    module = model.get_submodule(path) if graph.layer(layer).kind != "output" else None
    weight = getattr(module, "weight", None)
    return weight.detach() if isinstance(weight, Tensor) else None


def weight_norms(
    model: nn.Module, graph: FilterGraph, wiring: Wiring
) -> Float32[np.ndarray, "target_unit source_unit"]:
    """Give the Euclidean norm of the weights by which each target unit reads each source unit.

    Several input channels that carry one source unit (flattened maps) count together. Without weights (the
    model's own output) every edge counts 1.
    """
    weight = weight_of(model, graph, wiring.target)
    if weight is None:
        return wiring.mask().astype(np.float32)
    norms = np.zeros((wiring.target_units, wiring.source_units), dtype=np.float32)
    per_group = wiring.target_units // wiring.groups
    for group, carries in enumerate(_carriers(wiring)):
        for first in range(group * per_group, (group + 1) * per_group, CHUNK):
            last = min(first + CHUNK, (group + 1) * per_group)
            squares = (
                weight[first:last].float().flatten(2).square().sum(2)
                if weight.dim() > 2
                else weight[first:last].float().square()
            )
            norms[first:last] = np.sqrt((carries @ squares.cpu().numpy().T).T)
    return norms


def _carriers(wiring: Wiring) -> list[Any]:
    """Say which channel carries what: for each group a sparse 0/1 matrix (source unit, input channel)."""
    blocks = np.array_split(np.arange(len(wiring.row_of_channel)), wiring.groups)
    found = []
    for block in blocks:
        rows = [wiring.row(int(channel)) for channel in block]
        columns = np.repeat(np.arange(len(block)), [len(row) for row in rows])
        units = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        shape = (wiring.source_units, len(block))
        found.append(
            sparse.csr_matrix((np.ones(len(units), dtype=np.float32), (units, columns)), shape=shape)
        )
    return found


def quantised(
    strengths: Float[np.ndarray, "target_unit source_unit"], largest: float
) -> UInt8[np.ndarray, "target_unit source_unit"]:
    """Give 255 times the strength over the graph's largest, rounded."""
    if not largest > 0:
        return np.zeros(strengths.shape, dtype=np.uint8)
    return np.rint(np.clip(strengths / largest, 0, 1) * 255).astype(np.uint8)


def kernel_picture(weight: Tensor, unit: int, limit: int = 64) -> Float32[np.ndarray, "channel height width"]:
    """Give one unit's weights as (input channel, height, width), at most `limit` channels."""
    kernel = weight[unit].float().cpu()
    while kernel.dim() < 3:
        kernel = kernel.unsqueeze(-1)
    kernel = kernel.flatten(2) if kernel.dim() > 3 else kernel
    return np.ascontiguousarray(kernel[:limit].numpy(), dtype=np.float32)


__all__ = ["kernel_picture", "quantised", "weight_norms", "weight_of"]
