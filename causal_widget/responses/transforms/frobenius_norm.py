"""The Frobenius norm of a map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causal_widget.responses.transforms.base import OneNumber, wide

__all__ = ["Frobenius"]


@dataclass(frozen=True)
class Frobenius(OneNumber):
    """The Frobenius norm of each map, ``sqrt(sum over positions of a**2)``.

    Source: Narendra et al. 2018, "Explaining Deep Learning Models using Causal Inference", section 3.
    """

    name: str = "frobenius"

    def __call__(self, maps: Float[Tensor, "image unit height width"]) -> Float[Tensor, "image unit"]:
        """Return the norms, in float32 for half precision maps."""
        norms: Tensor = torch.linalg.vector_norm(maps, dim=(2, 3), dtype=wide(maps))
        return norms
