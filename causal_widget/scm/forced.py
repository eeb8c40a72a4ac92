"""What an intervention does to responses: which columns it sets, and to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int

from causal_widget.errors import OrderError
from causal_widget.graph import Layer, as_maps
from causal_widget.interventions import Intervention

if TYPE_CHECKING:
    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["Forced", "columns_of", "descendants", "forced"]


@dataclass(frozen=True, eq=False)
class Forced:
    """An intervention in columns of responses.

    Attributes
    ----------
    columns
        By layer in forward order: the columns that are set; all components of a unit move together.
    values
        By layer: (chosen column,), the response of the constant that the maps are set to.
    scale
        The response becomes value + scale x (its own under what is done to the layers before - value): 0
        sets it, 1 leaves it.
    """

    columns: Mapping[str, Int[np.ndarray, " chosen"]]
    values: Mapping[str, Float64[np.ndarray, " chosen"]]
    scale: float

    def applied(
        self, layer: str, natural: Float64[np.ndarray, "image chosen"]
    ) -> Float64[np.ndarray, "image chosen"]:
        """Give the responses that a layer's chosen columns have instead of their natural ones."""
        values = self.values[layer]
        if self.scale == 0:
            return np.broadcast_to(values, natural.shape)
        return np.asarray(natural + (1 - self.scale) * (values - natural))


def columns_of(units: Int[np.ndarray, " unit"], components: int) -> Int[np.ndarray, " column"]:
    """Give the columns of some units of a layer: column = unit x components + component."""
    return (np.asarray(units, dtype=np.intp)[:, None] * components + np.arange(components)).ravel()


def forced(model: StructuralCausalModel, intervention: Intervention) -> Forced:
    """Put an intervention that was checked against the model's graph in columns of responses.

    Raises
    ------
    OrderError
        If the value is not zero and the transform, which would say its response, is not known.
    """
    columns, values = {}, {}
    for layer in model.graph.layers:
        if layer.name in intervention.units:
            units = np.array(tuple(intervention.units[layer.name]))
            columns[layer.name] = columns_of(units, model.components[layer.name])
            values[layer.name] = _constant(model, layer, intervention.value)[columns[layer.name]]
    return Forced(columns, values, 0.0 if intervention.scale is None else intervention.scale)


def _constant(model: StructuralCausalModel, layer: Layer, value: float) -> Float64[np.ndarray, " column"]:
    """Give the response of a layer's units to maps that are `value` everywhere."""
    if value == 0:
        return model.silent[layer.name]
    if model.phi is None:
        raise OrderError(
            f"the response of a map that is {value:g} everywhere is the transform's to say, which is not "
            "known here; attach(model, transform=...) first, or set to 0"
        )
    transform = model.phi.at(layer.name)
    maps = as_maps(layer, torch.full((1, *layer.shape), value))
    return np.asarray(transform(maps).double().numpy().ravel())


def descendants(model: StructuralCausalModel, chosen: Forced) -> dict[str, Bool[np.ndarray, " column"]]:
    """Say by layer which columns an intervention can reach through the graph.

    A unit that is set is among them only where another one that is set comes before it. Layers without any
    are left out.
    """
    moved: dict[str, Bool[np.ndarray, " unit"]] = {}
    reached: dict[str, Bool[np.ndarray, " unit"]] = {}
    for layer in model.graph.layers:
        hit = np.zeros(layer.units, dtype=bool)
        for wiring in model.graph.parents(layer.name):
            if wiring.source in moved:
                hit |= True if wiring.is_full else wiring.mask()[:, moved[wiring.source]].any(axis=1)
        if hit.any():
            reached[layer.name] = hit
        if layer.name in chosen.columns:
            hit = hit.copy()
            hit[chosen.columns[layer.name] // model.components[layer.name]] = True
        if hit.any():
            moved[layer.name] = hit
    return {name: np.repeat(hit, model.components[name]) for name, hit in reached.items()}
