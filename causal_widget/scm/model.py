"""The structural causal model: a graph with its equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import nn

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import FilterGraph
from causal_widget.responses import ResponseSet
from causal_widget.responses.transforms import MapFunction, Transform
from causal_widget.scm.counterfactual import Counterfactual, counterfactual
from causal_widget.scm.do import Chosen, Submodel, do
from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.equations_table import Equations, median
from causal_widget.scm.images import responses_of
from causal_widget.scm.judged import JudgedEquations
from causal_widget.scm.local import LocalCoefficients
from causal_widget.scm.local.answering import local_of
from causal_widget.scm.ranking import Ranking, ranking
from causal_widget.scm.sanity import Sanity, sanity
from causal_widget.scm.saving import attach, load, save
from causal_widget.scm.silencing import SilencingLosses, silencing_losses
from causal_widget.scm.total import TotalEffects, total_effects

if TYPE_CHECKING:
    from causal_widget.responses.source import Source
    from causal_widget.responses.split import Split


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
        Images that the equations were fitted on; where they were fitted on both kinds of images, one counts
        twice: without and under its intervention.
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
    phi, split
        The transform itself, with what it learned from the images, and how those were split; where left out,
        the source's.
    remembered
        What was computed once and is asked for again: held-out responses, total derivatives.
    """

    graph: FilterGraph = field(repr=False)
    transform: str
    site: str
    estimator: str
    ridge: float
    n_images: int
    equations: Equations = field(repr=False)
    means: Mapping[str, Float64[np.ndarray, " unit"]] = field(repr=False)
    deviations: Mapping[str, Float64[np.ndarray, " unit"]] = field(repr=False)
    data: str = "observational"
    components: Mapping[str, int] = field(default_factory=dict, repr=False)
    silent: Mapping[str, Float64[np.ndarray, " column"]] = field(default_factory=dict, repr=False)
    source: Source | None = field(default=None, repr=False)
    phi: Transform | None = field(default=None, repr=False)
    split: Split | None = field(default=None, repr=False)
    remembered: dict[str, Any] = field(default_factory=dict, repr=False, init=False)

    def __post_init__(self) -> None:
        components = {layer.name: int(self.components.get(layer.name, 1)) for layer in self.graph.layers}
        silent = {
            layer.name: np.asarray(
                self.silent.get(layer.name, np.zeros(layer.units * components[layer.name])), dtype=np.float64
            )
            for layer in self.graph.layers
        }
        object.__setattr__(self, "equations", Equations(self.equations))
        object.__setattr__(self, "components", components)
        object.__setattr__(self, "silent", silent)
        if self.source is not None:
            object.__setattr__(self, "phi", self.phi or self.source.transform)
            object.__setattr__(self, "split", self.split or self.source.split)

    def __getitem__(self, layer: str) -> JudgedEquations:
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
        """Return the coefficients of one layer's units on a parent layer's; zero where not a parent.

        Where responses are vectors: the root of the sum of squares over the components of both units.

        Raises
        ------
        UnknownNameError
            The target has no equation, or the source is no parent of it.
        ArgumentError
            The target's equations are not linear, so they have no coefficients.
        """
        equations = self._linear(target)
        return self._by_unit(equations.coefficients[:, equations.columns(source)], source, target)

    def standardised(self, source: str, target: str) -> Float64[np.ndarray, "target_unit source_unit"]:
        """Return the standardised coefficients of one layer's units on a parent layer's, as above."""
        equations = self._linear(target)
        return self._by_unit(equations.standardised[:, equations.columns(source)], source, target)

    def _linear(self, layer: str) -> LayerEquations:
        equations = self[layer]
        if not isinstance(equations, LayerEquations):
            raise ArgumentError(
                f'the equations of layer "{layer}" are not linear ({self.estimator}), so they have no '
                "coefficients; fit with a linear estimator"
            )
        return equations

    def _by_unit(
        self, columns: Float64[np.ndarray, "row column"], source: str, target: str
    ) -> Float64[np.ndarray, "target_unit source_unit"]:
        """Keep a number for each pair of units."""
        into, out = self.components[target], self.components[source]
        if into == out == 1:
            return columns
        blocks = columns.reshape(len(columns) // into, into, columns.shape[1] // out, out)
        return np.asarray(np.sqrt((blocks**2).sum(axis=(1, 3))))

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
        self, units: Chosen, value: float = 0.0, *, scale: float | None = None, answer: str | None = None
    ) -> Submodel:
        """Return the model under do(); see `causal_widget.scm.do.do`."""
        return do(self, units, value, scale=scale, answer=answer)

    def counterfactual(
        self,
        image: Any,
        units: Chosen,
        value: float = 0.0,
        *,
        scale: float | None = None,
        answer: str | None = None,
    ) -> Counterfactual:
        """Return what would have been; see `causal_widget.scm.counterfactual.counterfactual`."""
        return counterfactual(self, image, units, value, scale=scale, answer=answer)

    def local(self, images: Any = None, outcomes: object = "all", **options: Any) -> LocalCoefficients:
        """Return coefficients local to each image; see `causal_widget.scm.local.answering.local_of`."""
        return local_of(self, images, outcomes, **options)

    def total_effects(
        self, layer: str | None = None, outcome: str | None = None, images: Any = None
    ) -> TotalEffects:
        """Return the effects of all units at once; see `causal_widget.scm.total.total_effects`."""
        return total_effects(self, layer, outcome, images)

    def silencing_losses(self, images: Any = None, layer: str | None = None) -> SilencingLosses:
        """Return what every single silencing does; see `causal_widget.scm.silencing.silencing_losses`."""
        return silencing_losses(self, images, layer)

    def ranking(
        self,
        layer: str | None = None,
        by: str = "accuracy",
        images: Any = None,
        *,
        bootstrap: int = 200,
        level: float = 0.95,
        seed: int = 0,
        effects: Mapping[str, Float64[np.ndarray, " unit"]] | None = None,
        answer: str | None = None,
    ) -> Ranking:
        """Return every unit's rank with its interval; see `causal_widget.scm.ranking.ranking`."""
        return ranking(
            self,
            layer,
            by,
            images,
            bootstrap=bootstrap,
            level=level,
            seed=seed,
            effects=effects,
            answer=answer,
        )

    def sanity(self, images: Any = None) -> Sanity:
        """Return how well the equations predict the network; see `causal_widget.scm.sanity.sanity`."""
        return sanity(self, images)

    def save(self, path: str | Path) -> Path:
        """Save to one safetensors file; see `causal_widget.scm.saving.save`."""
        return save(self, path)

    @staticmethod
    def load(path: str | Path, model: nn.Module | None = None, loader: Any = None) -> StructuralCausalModel:
        """Load what `save` wrote, and attach a network; see `causal_widget.scm.saving.load`."""
        return load(path, model, loader)

    def attach(
        self,
        model: nn.Module,
        loader: Any = None,
        *,
        transform: str | Transform | MapFunction | None = None,
        device: str | torch.device | None = None,
        max_batches: int | None = None,
    ) -> StructuralCausalModel:
        """Return the same with its network attached; see `causal_widget.scm.saving.attach`."""
        return attach(self, model, loader, transform=transform, device=device, max_batches=max_batches)

    def table(self) -> pd.DataFrame:
        """Return a row an equation: layer, unit, parents, R2, held-out R2, errors, condition, rank, dead."""
        return self.equations.table()

    def summary(self) -> pd.DataFrame:
        """Return a row a layer: units, parents, median R2s, worst condition, dead units, notes."""
        return pd.DataFrame(
            [
                {
                    "layer": name,
                    "units": one.n_units,
                    "parents": int(one.n_parents.max(initial=0)),
                    "r2": median(one.r2),
                    "heldout_r2": median(one.heldout_r2),
                    "condition": float(one.condition.max(initial=0))
                    if isinstance(one, LayerEquations)
                    else np.nan,
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
        kinds = {"both": " with and without interventions", "interventional": " under interventions"}
        return (
            f"StructuralCausalModel of {self.graph.model_name}: {self.equations.n_rows:,} equations "
            f"in {len(self.equations)} layers, {self.estimator} on {self.n_images:,} images"
            f"{kinds.get(self.data, '')}, {self.transform} at {self.site}"
        )
