"""What path edits change at some units of a layer."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.interventions.layer_part import channels_in, part
from causal_widget.interventions.path_plan import Piece

__all__ = ["piece_change"]


def piece_change(
    piece: Piece,
    module: nn.Module,
    own: Float[Tensor, "image ..."],
    other: Float[Tensor, "image ..."] | None = None,
) -> Float[Tensor, "image unit ..."]:
    """Give what path edits add to the output of the units: (beta - 1) times what the scaled weights give.

    Parameters
    ----------
    piece : Piece
        Which units see what of which channels.
    module : nn.Module
        The layer's module.
    own, other : Tensor
        The layer's whole input as it is, and as these units see it where they see it otherwise; for a piece
        without a shadow the second plays no part.
    """
    if not piece.shadow or other is None:
        return part(
            module, channels_in(module, own, piece.channels), piece.units, piece.channels, piece.factor - 1
        )
    channels, seen, factor = piece.channels, piece.shadowed, piece.factor
    ones = np.ones_like(factor)
    # What is seen otherwise, then what is only weighted otherwise.
    total = part(
        module, channels_in(module, other, channels[seen]), piece.units, channels[seen], factor[:, seen]
    )
    total = total - part(
        module, channels_in(module, own, channels[seen]), piece.units, channels[seen], ones[:, seen]
    )
    if not seen.all():
        rest = channels_in(module, own, channels[~seen])
        total = total + part(module, rest, piece.units, channels[~seen], factor[:, ~seen] - 1)
    return total
