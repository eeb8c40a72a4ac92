"""The structural causal model: a graph with its equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.errors import UnknownNameError, nearest
from causal_widget.graph import FilterGraph
from causal_widget.responses import ResponseSet
from causal_widget.scm.counterfactual import Counterfactual, counterfactual
from causal_widget.scm.do import Chosen, Submodel, do
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.images import responses_of
from causal_widget.scm.silencing import SilencingLosses, silencing_losses
from causal_widget.scm.total import TotalEffects, total_effects

if TYPE_CHECKING:
    from causal_widget.responses.source import Source


@dataclass(frozen=True, eq=False)
class StructuralCausalModel:
    """A filter graph whose units follow structural equations.

    Attributes
    ----------
    graph
        Layers and wirings.
    transform, site
        What a response is: the transform's name, and where activations were read.
    estimator, ridge
        How the equations were fitted; the ridge is a share of each parent's variance, 0 for least squares.
    n_images
        Images that the equations were fitted on.
    equations
        The equations of each layer that has parents, in forward order.
    means, deviations
        Of each unit's response on the training images, by layer: (column,).
    data
        Which images the equations were fitted on: "observational", "interventional" or "both".
    components
        Columns that a unit's response has, by layer; where left out, 1.
    silent
        The response of a map of zeros, by layer: (column,); where left out, 0.
    source
        The network and its images, from which responses are read; None where it is not attached.
    remembered
        What was computed once and is asked for again: held-out responses, total derivatives.
    """

    graph: FilterGraph = field(repr=False)
    transform: str
    site: str
    estimator: str
    ridge: float
    n_images: int
    equations: Mapping[str, LayerEquations] = field(repr=False)
    means: Mapping[str, Float64[np.ndarray, " unit"]] = field(repr=False)
    deviations: Mapping[str, Float64[np.ndarray, " unit"]] = field(repr=False)
    data: str = "observational"
    components: Mapping[str, int] = field(default_factory=dict, repr=False)
    silent: Mapping[str, Float64[np.ndarray, " column"]] = field(default_factory=dict, repr=False)
    source: Source | None = field(default=None, repr=False)
    remembered: dict[str, Any] = field(default_factory=dict, repr=False, init=False)

    def __post_init__(self) -> None:
        components = {layer.name: int(self.components.get(layer.name, 1)) for layer in self.graph.layers}
        silent = {
            layer.name: np.asarray(
                self.silent.get(layer.name, np.zeros(layer.units * components[layer.name])), dtype=np.float64
            )
            for layer in self.graph.layers
        }
        object.__setattr__(self, "components", components)
        object.__setattr__(self, "silent", silent)

    def __getitem__(self, layer: str) -> LayerEquations:
        """Return the equations of a layer.

        Raises
        ------
        UnknownNameError
            The layer does not exist or has no parents, so no equation.
        """
        if layer not in self.equations:
            why = "has no parents, so no equation" if layer in self.graph.names else "does not exist"
            raise UnknownNameError(f"Layer {layer!r} {why}.{nearest(layer, self.equations)}")
        return self.equations[layer]

    def coefficients(self, source: str, target: str) -> Float64[np.ndarray, "target_unit source_unit"]:
        """Return the coefficients of one layer's units on a parent layer's; zero where not a parent."""
        equations = self[target]
        return equations.coefficients[:, equations.columns(source)]

    def standardised(self, source: str, target: str) -> Float64[np.ndarray, "target_unit source_unit"]:
        """Return the standardised coefficients of one layer's units on a parent layer's."""
        equations = self[target]
        return equations.standardised[:, equations.columns(source)]

    def predict(
        self, layer: str, responses: Mapping[str, Float64[np.ndarray, "image unit"]]
    ) -> Float64[np.ndarray, "image unit"]:
        """Return the expected responses of a layer's units, given those of all its parent layers."""
        return self[layer].predict(responses)

    def width(self, layer: str) -> int:
        """Return how many columns a layer's responses have: units times components."""
        return self.graph.layer(layer).units * self.components[layer]

    def responses(self, images: Any = None) -> ResponseSet:
        """Return the responses of some images, read from the attached network.

        Parameters
        ----------
        images
            A tensor of images or a single one, a loader, responses that were read before, or None: the
            held-out images, which are read once.

        Raises
        ------
        OrderError
            If images must be read and no network is attached.
        DataError
            If the responses are not those of this model's layers.
        """
        return responses_of(self, images)

    def do(
        self, units: Chosen, value: float = 0.0, *, scale: float | None = None, by: str = "equations"
    ) -> Submodel:
        """Return the model under do(); see `causal_widget.scm.do.do`."""
        return do(self, units, value, scale=scale, by=by)

    def counterfactual(
        self,
        image: Any,
        units: Chosen,
        value: float = 0.0,
        *,
        scale: float | None = None,
        by: str = "equations",
    ) -> Counterfactual:
        """Return what would have been; see `causal_widget.scm.counterfactual.counterfactual`."""
        return counterfactual(self, image, units, value, scale=scale, by=by)

    def total_effects(
        self, layer: str | None = None, outcome: str | None = None, images: Any = None
    ) -> TotalEffects:
        """Return the effects of all units at once; see `causal_widget.scm.total.total_effects`."""
        return total_effects(self, layer, outcome, images)

    def silencing_losses(self, images: Any = None, layer: str | None = None) -> SilencingLosses:
        """Return what every single silencing does; see `causal_widget.scm.silencing.silencing_losses`."""
        return silencing_losses(self, images, layer)

    def table(self) -> pd.DataFrame:
        """Return a row an equation: layer, unit, parents, R2, held-out R2, noise, rank, condition, dead."""
        return pd.concat([one.table() for one in self.equations.values()], ignore_index=True)

    def summary(self) -> pd.DataFrame:
        """Return a row a layer: units, parents, median R2s, worst condition, dead units, notes."""
        return pd.DataFrame(
            [
                {
                    "layer": name,
                    "units": one.n_units,
                    "parents": int(one.n_parents.max(initial=0)),
                    "r2": _median(one.r2),
                    "heldout_r2": _median(one.heldout_r2),
                    "condition": float(one.condition.max(initial=0)),
                    "dead": len(one.dead),
                    "notes": " ".join(one.notes),
                }
                for name, one in self.equations.items()
            ]
        )

    def __repr__(self) -> str:
        """Say the size and the quality, then a line a layer."""
        return f"{self._headline()}\n{self.summary().to_string(index=False, max_colwidth=60)}"

    def _repr_html_(self) -> str:
        """Say the same as a table; names are escaped."""
        table = self.summary().to_html(index=False, escape=True, float_format=lambda x: f"{x:.4g}")
        return f"<p>{escape(self._headline())}</p>{table}"

    def _headline(self) -> str:
        units = sum(one.n_units for one in self.equations.values())
        return (
            f"StructuralCausalModel of {self.graph.model_name}: {units:,} equations in {len(self.equations)} "
            f"layers, {self.estimator} on {self.n_images:,} images, {self.transform} at {self.site}"
        )


def _median(values: Float64[np.ndarray, " unit"]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
