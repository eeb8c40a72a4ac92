"""`CausalCNNExplainer`: from a trained network to graph, importances, interventions and pictures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from causal_widget.effects import Effect, effect_of, evaluate
from causal_widget.errors import ArgumentError, DataError
from causal_widget.explainer.example import check_model
from causal_widget.explainer.measuring import Measurer
from causal_widget.explainer.pixels import Statistics
from causal_widget.explainer.views import Views
from causal_widget.explanations import difference, heatmap
from causal_widget.interventions import Intervention, Units, intervene
from causal_widget.jobs import Progress, bar
from causal_widget.pruning import (
    PruningCurve,
    lowest,
    pruning_curve,
    random_order,
    ranking,
    remove_filters,
)

__all__ = ["CausalCNNExplainer"]

RULES = ("coefficient", "standardised", "l1", "random")


class CausalCNNExplainer(Measurer, Views):
    """Explain a trained CNN by the causal graph of its filters.

    The model is never changed: mode, weights, buffers, hooks, device and random states are after every call
    what they were before it.

    Parameters
    ----------
    model : nn.Module
        A trained classifier with convolutions; its output is (image, class).
    device : str, torch.device or None
        Where computations run: "auto" (CUDA, else MPS, else the CPU), "cpu", "cuda:0", ...; None where the
        model is.
    example : tensor, shape (image, channel, height, width), optional
        Images as the network takes them, to read the graph with. Otherwise the first images collected, or
        before that a guess at the size.
    mean, std : sequence of float, optional
        The normalisation of the images, to show them as they were. Without it, each image is stretched to its
        range.
    class_names : sequence of str, optional
        One name a class; otherwise "0", "1", ...
    keep_responses : bool
        Keep every image's responses for `filter_outputs`; beyond 64 MB they are in memory-mapped files.

    Attributes
    ----------
    model : nn.Module
        The model as given.
    collection : Collection or None
        What `collect_data` found, also where it was cut short.
    scm : StructuralCausalModel or None
        What `learn_structural_equations` found.
    last_effects : Effects or None
        What `effects` measured last.
    loader : iterable or None
        The loader last collected from; the default of `effect_of` and `pruning_curve`.

    Raises
    ------
    UnsupportedModelError
        If the model is no module or has no convolution.
    DeviceError
        If the device is not there.
    ArgumentError
        If the normalisation is none.
    """

    def __init__(
        self,
        model: nn.Module,
        device: str | torch.device | None = "auto",
        *,
        example: Float[Tensor, "image channel height width"] | None = None,
        mean: Statistics = None,
        std: Statistics = None,
        class_names: Sequence[str] | None = None,
        keep_responses: bool = True,
    ) -> None:
        super().__init__(model, device, example, mean, std, class_names)
        self._keep = keep_responses

    def do(
        self, units: Units, value: float = 0.0, site: str = "activation", *, scale: float | None = None
    ) -> AbstractContextManager[nn.Module]:
        """Hold the network under do(units = value) within a ``with`` block, on this explainer's device.

        With `scale` the units' maps are multiplied by it instead: 1 changes nothing, 0 silences.

        Raises
        ------
        UnknownNameError
            If a layer, unit or site does not exist.
        ArgumentError
            If a unit is a class.
        """
        chosen = Intervention(units, value, site, scale).checked(self.graph)
        return intervene(self._network, self.graph, chosen, device=self.device)

    def effect_of(
        self,
        units: Units | Intervention,
        loader: Iterable[Any] | None = None,
        value: float = 0.0,
        site: str = "activation",
        progress: Progress | None = None,
        *,
        scale: float | None = None,
        max_batches: int | None = None,
    ) -> Effect:
        """Measure what do(units = value), or with `scale` do(units x scale), does to the answers.

        By default on the images collected. An `Intervention` brings its own value, site and scale.
        """
        chosen = units if isinstance(units, Intervention) else Intervention(units, value, site, scale)
        return effect_of(
            self._network,
            self.graph,
            chosen,
            self._need_loader(loader),
            progress or bar("effect"),
            class_names=self.class_names,
            device=self.device,
            max_batches=max_batches,
        )

    def pruning_curve(
        self,
        loader: Iterable[Any] | None = None,
        percents: Sequence[float] = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90),
        rules: Sequence[str] = RULES,
        repeats: int = 10,
        seed: int = 0,
        progress: Progress | None = None,
        *,
        max_batches: int | None = None,
    ) -> PruningCurve:
        """Measure the accuracy left when the least important filters are silent, for several rules."""
        names = [rules] if isinstance(rules, str) else list(rules)
        importances = {rule: {} if rule == "random" else self.importance(rule) for rule in names}
        return pruning_curve(
            self._network,
            self.graph,
            self._need_loader(loader),
            percents,
            importances,
            repeats=repeats,
            seed=seed,
            device=self.device,
            max_batches=max_batches,
            progress=progress or bar("pruning"),
        )

    def prune_filters_by_importance(self, percent: float, rule: str = "coefficient") -> nn.Module:
        """Give a copy without the least important filters: weights zero, silent after BatchNorm too."""
        order = ranking(self.graph, self.importance(rule))
        return self._without(lowest(order, percent))

    def prune_random_filters(self, percent: float, seed: int = 0) -> nn.Module:
        """Give a copy without as many filters of each layer, chosen at random by the seed."""
        return self._without(lowest(random_order(self.graph, seed), percent))

    def _without(self, filters: Mapping[str, tuple[int, ...]]) -> nn.Module:
        return remove_filters(self._network, self.graph, filters)

    def evaluate_model(self, model: nn.Module, data_loader: Iterable[Any]) -> float:
        """Give a model's accuracy, 0..1; its mode and everything else stay as they are.

        Raises
        ------
        DataError
            If the loader gives no labels.
        """
        found = evaluate(check_model(model), data_loader, device=self.device, progress=bar("evaluate"))
        if found.accuracy is None:
            raise DataError("accuracy needs labels; the loader gives images alone")
        return found.accuracy

    def heatmap(
        self,
        images: Float[Tensor, "image channel height width"],
        layer: str | int,
        unit: int | None = None,
        units_ablated: Units | None = None,
        *,
        rule: str = "coefficient",
        site: str = "activation",
    ) -> Float64[np.ndarray, "image height width"]:
        """Map a layer over images: weighted by importance, or one unit's activation.

        With `units_ablated`, what zeroing these units at `site` changes in that map: signed, after minus
        before.
        """
        name = self.graph.layer(layer).name
        weights = None if unit is not None else self._weights(name, rule)
        chosen = {"weights": weights, "unit": unit, "device": self.device}
        if units_ablated is None:
            return heatmap(self._network, self.graph, images, name, **chosen)  # type: ignore[arg-type]
        cut = Intervention(units_ablated, 0.0, site)
        return difference(self._network, self.graph, images, name, cut, **chosen)  # type: ignore[arg-type]

    def _weights(self, layer: str, rule: str) -> Float64[np.ndarray, " unit"]:
        values = self.importance(rule).get(layer)
        if values is None:
            raise ArgumentError(
                f'rule "{rule}" gives layer "{layer}" no importances: it is no inner convolution'
            )
        return values

    def __repr__(self) -> str:
        name = type(self._network).__name__
        if self._graph is None:
            return f"CausalCNNExplainer({name} on {self.device}, no images seen yet)"
        layers, filters = len(self._graph.conv_layers), self._graph.n_filters
        inside = f"{name} on {self.device}, {layers} convolutions, {filters:,} filters"
        seen = (
            "nothing collected"
            if self.collection is None
            else f"{self.collection.n_images:,} images collected"
        )
        learned = "" if self.scm is None else ", equations learned"
        return f"CausalCNNExplainer({inside}, {seen}{learned})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"
