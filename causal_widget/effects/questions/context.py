"""What questions need to know beside the network: the images' numbers, units' means, other images' maps."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from causal_widget.interventions import Donors, MeanMaps

__all__ = ["Context"]


@dataclass(frozen=True, eq=False)
class Context:
    """What is known of the images that a state holds.

    Attributes
    ----------
    index : int64 Tensor, shape (image,)
        Numbers of the images in the data, by which random actions draw.
    means : MeanMaps, optional
        For `Mean`.
    donors : Donors, optional
        For `Resample`.
    """

    index: Int[Tensor, " image"]
    means: MeanMaps | None = None
    donors: Donors | None = None
