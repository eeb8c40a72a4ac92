"""Whole passes under edits, for what cannot be entered in the middle."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causal_widget.effects.forward import in_halves
from causal_widget.errors import OrderError
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Donors, Edits, MeanMaps, edited

__all__ = ["logits_under"]


def logits_under(
    model: nn.Module,
    graph: FilterGraph,
    images: Float[Tensor, "image channel height width"] | None,
    edits: Edits,
    index: Int[Tensor, " image"],
    means: MeanMaps | None,
    donors: Donors | None,
) -> Float[Tensor, "image class"]:
    """Run a network once under edits.

    Raises
    ------
    OrderError
        If the images are no longer there, because the block of their run is over.
    """
    if images is None:
        raise OrderError("the run is over: use the state within its with block")

    def run(rows: Tensor) -> Tensor:
        given = {"means": means, "donors": donors, "index": index.cpu()[rows.cpu()]}
        with edited(model, graph, edits, **given), torch.no_grad():  # type: ignore[arg-type]
            return model(images.detach()[rows])  # type: ignore[no-any-return]

    return in_halves(run, torch.arange(len(images), device=images.device))
