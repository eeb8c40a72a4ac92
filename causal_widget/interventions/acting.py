"""An action on the maps of units of one layer: the one way in which edits change maps."""

from __future__ import annotations

from zlib import crc32

from jaxtyping import Float, Int
from torch import Tensor

from causal_widget.errors import ArgumentError
from causal_widget.graph import Layer
from causal_widget.interventions.actions import Action
from causal_widget.interventions.seen_maps import Donors, MeanMaps

__all__ = ["acted"]


def acted(
    action: Action,
    layer: Layer,
    site: str,
    maps: Float[Tensor, "image unit ..."],
    units: Int[Tensor, " unit"],
    index: Int[Tensor, " image"],
    means: MeanMaps | None = None,
    donors: Donors | None = None,
) -> Float[Tensor, "image unit ..."]:
    """Give what an action makes of the maps of some units of a layer.

    Parameters
    ----------
    action, layer, site : Action, Layer, str
        What is done, and at which of the layer's own sites.
    maps : Tensor, shape (image, unit, ...)
        The maps of these units alone.
    units : int Tensor, shape (unit,)
        Their numbers.
    index : int64 Tensor, shape (image,)
        Numbers of the images, by which random actions draw.
    means, donors : MeanMaps, Donors, optional
        What `Mean` and `Resample` take.

    Raises
    ------
    ArgumentError
        If means are needed and missing, or were taken elsewhere.
    """
    mean = given = None
    if action.needs_means:
        if means is None:
            raise ArgumentError(f"{action} of {layer.name} needs means=means(model, graph, images, {site!r})")
        mean = means.at(layer, site)[units.cpu()]
    if action.random and donors is not None:
        given = donors.at(layer, site)[:, units.cpu()]
    changed = action.apply(
        maps,
        mean,
        index if action.random else None,
        units=units,
        donors=given,
        donor_index=None if donors is None else donors.index,
        salt=crc32(f"{layer.name} {site}".encode()),
    )
    return changed.to(maps.dtype)
