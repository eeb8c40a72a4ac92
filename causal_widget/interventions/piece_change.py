"""What path edits change at some units of a layer."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.interventions.layer_part import part
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
    own : Tensor
        The piece's channels of the layer's input as it is, from `channels_in`.
    other : Tensor, optional
        Those of them that these units see otherwise (`Piece.shadowed`), as they see them.
    """
    channels, factor, seen = piece.channels, piece.factor, piece.shadowed
    if other is None:
        return part(module, own, piece.units, channels, factor - 1)
    axis = -1 if isinstance(module, nn.Linear) else 1
    columns = [np.flatnonzero(seen), np.flatnonzero(~seen)]
    shared, rest = (own.index_select(axis, _index(own, chosen)) for chosen in columns)
    # What is seen otherwise, then what is only weighted otherwise.
    if (factor[:, seen] == 1).all():
        total = part(module, other - shared, piece.units, channels[seen], factor[:, seen])
    else:
        total = part(module, other, piece.units, channels[seen], factor[:, seen])
        total = total - part(module, shared, piece.units, channels[seen], np.ones_like(factor[:, seen]))
    if len(columns[1]):
        total = total + part(module, rest, piece.units, channels[~seen], factor[:, ~seen] - 1)
    return total


def _index(like: Tensor, chosen: np.ndarray) -> Tensor:
    return torch.as_tensor(chosen, device=like.device)
