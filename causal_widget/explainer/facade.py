"""`CausalCNNExplainer`: from a trained network to its causal graph, importances, interventions and pictures."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from causal_widget.devices import resolve_device
from causal_widget.effects import Effect, effect_of, evaluate
from causal_widget.errors import ArgumentError, CausalWidgetError, DataError, OrderError
from causal_widget.explainer.example import check_model, guess_example
from causal_widget.explainer.pixels import Statistics, check_statistics, denormalise
from causal_widget.explainer.tables import (
    Dag,
    FilterOutputs,
    ParentOutputs,
    conv_layers,
    conv_position,
    dag_of,
)
from causal_widget.explainer.views import Views
from causal_widget.explanations import difference, heatmap
from causal_widget.graph import FilterGraph, trace
from causal_widget.importance import importance
from causal_widget.interventions import Intervention, Units, intervene
from causal_widget.jobs import Progress, bar
from causal_widget.pruning import (
    PruningCurve,
    lowest,
    prunable,
    pruning_curve,
    random_order,
    ranking,
    remove_filters,
)
from causal_widget.responses import Collection, ResponseTable, collect
from causal_widget.scm import StructuralCausalModel, fit

__all__ = ["CausalCNNExplainer"]

PhiFunction = Callable[[Tensor], Tensor]
Importance = dict[str, Float64[np.ndarray, " unit"]]
RULES = ("coefficient", "standardised", "l1", "random")


class CausalCNNExplainer(Views):
    """Explain a trained CNN by the causal graph of its filters.

    The model is never changed: mode, weights, buffers, hooks, device and random states are after every call what they
    were before it.

    Parameters
    ----------
    model : nn.Module
        A trained classifier with convolutions; its output is (image, class).
    device : str, torch.device or None
        Where computations run: "auto" (CUDA, else MPS, else the CPU), "cpu", "cuda:0", ...; None where the model is.
    example : tensor, shape (image, channel, height, width), optional
        Images as the network takes them, to read the graph with. Otherwise the first images collected, or before
        that a guess at the size.
    mean, std : sequence of float, optional
        The normalisation of the images, to show them as they were. Without it, each image is stretched to its range.
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
        self._network = check_model(model)
        self.model = model
        self.device = resolve_device(device, self._network)
        self.mean, self.std = check_statistics(mean, std)
        self.collection: Collection | None = None
        self.scm: StructuralCausalModel | None = None
        self.loader: Iterable[Any] | None = None
        self._names = None if class_names is None else tuple(map(str, class_names))
        self._graph = None if example is None else trace(self._network, example)
        self._keep = keep_responses
        self._responses: ResponseTable | None = None
        self._importances: dict[str, Importance] = {}

    @property
    def graph(self) -> FilterGraph:
        """The graph of the network, read on an image of guessed size where none was seen yet."""
        if self._graph is None:
            self._graph = trace(self._network, guess_example(self._network))
        return self._graph

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class."""
        classes = self.graph.output.units
        names = tuple(map(str, range(classes))) if self._names is None else self._names
        if len(names) != classes:
            raise ArgumentError(
                f"there are {len(names)} class names for the {classes} classes of the network"
            )
        return names

    @property
    def conv_layers(self) -> list[tuple[str, nn.Module]]:
        """The convolutions as (name, module), in forward order."""
        return conv_layers(self._network, self.graph)

    @property
    def dag(self) -> Dag:
        """By the number of each convolution: ``name``, ``layer``, ``filters``, ``parents``, ``children``."""
        return dag_of(self._network, self.graph)

    @property
    def filter_outputs(self) -> Mapping[int, Float[np.ndarray, "image unit"]]:
        """Raw responses by the number of each convolution; empty before `collect_data`.

        Raises
        ------
        OrderError
            If images were collected with ``keep_responses=False``.
        """
        if self._responses is None and self.collection is not None:
            raise OrderError(
                "raw responses were not kept: construct with keep_responses=True and collect again"
            )
        return {} if self._responses is None else FilterOutputs(self._responses, self.graph)

    @property
    def parent_outputs(self) -> Mapping[int, Float[np.ndarray, "image unit"] | None]:
        """Raw responses of each convolution's parents, side by side; None without; empty before `collect_data`."""
        outputs = self.filter_outputs
        return ParentOutputs(outputs, self.dag) if outputs else {}

    @property
    def filter_importances(self) -> dict[int, Float64[np.ndarray, " unit"]]:
        """Importances by the number of each convolution; empty before `learn_structural_equations`."""
        return {} if self.scm is None else self.get_filter_importances()

    def collect_data(
        self,
        data_loader: Iterable[Any],
        frobenius_norm_func: PhiFunction | None = None,
        *,
        max_batches: int | None = None,
        holdout: float = 0.2,
        site: str = "activation",
        progress: Progress | None = None,
    ) -> Collection:
        """Run the network once over the images and keep what the equations need.

        Parameters
        ----------
        data_loader : iterable
            Batches ``(images, labels)``, ``(images, labels, ...)``, ``{"image": ..., "label": ...}`` or images alone.
        frobenius_norm_func : callable, optional
            From a layer's maps (image, unit, height, width) to responses (image, unit); otherwise the Frobenius norm.
        max_batches : int, optional
            Stop after so many batches.
        holdout : float
            Share of the images on which the equations are judged and not fitted.
        site : str
            Where activations are read.
        progress : Progress, optional
            Otherwise a bar.

        Raises
        ------
        DataError, NonFiniteError
            If the loader is empty or raises, or images or activations are not what was expected. What was collected
            until then stays in `collection`.
        """
        self.collection, self.scm, self._responses, self._importances = None, None, None, {}
        table = ResponseTable() if self._keep else None
        try:
            self._collected(
                collect(
                    self._network,
                    data_loader,
                    transform=frobenius_norm_func or "frobenius",
                    site=site,
                    holdout=holdout,
                    max_batches=max_batches,
                    device=self.device,
                    sinks=() if table is None else (table,),
                    progress=progress or bar("collect"),
                ),
                table,
            )
        except (CausalWidgetError, KeyboardInterrupt, RuntimeError) as error:
            partial = getattr(error, "partial", None)
            if partial is not None and partial.n_images:
                self._collected(partial, table)
            raise
        finally:
            self.loader = data_loader
        return self._need_collection()

    def _collected(self, collection: Collection, table: ResponseTable | None) -> None:
        self.collection, self._graph, self._responses = collection, collection.graph, table

    def learn_structural_equations(
        self, estimator: str = "ridge", *, progress: Progress | None = None
    ) -> StructuralCausalModel:
        """Fit each unit's response as a linear function of its parents' responses.

        Raises
        ------
        OrderError
            If nothing was collected.
        """
        self._importances = {}
        self.scm = fit(self._need_collection(), estimator, progress=progress)
        return self.scm

    def importance(self, rule: str = "coefficient", *, seed: int = 0) -> Importance:
        """Give one non-negative number a filter, that sums to 1 in each layer.

        Raises
        ------
        UnknownNameError
            If there is no such rule.
        OrderError
            If the rule needs images collected, or equations learned.
        """
        known = self._importances.get(f"{rule} {seed}")
        if known is None:
            known = importance(
                rule,
                graph=self.graph,
                scm=self.scm,
                collection=self.collection,
                model=self._network,
                seed=seed,
            )
            self._importances[f"{rule} {seed}"] = known
        return dict(known)

    def get_filter_importances(self, rule: str = "coefficient") -> dict[int, Float64[np.ndarray, " unit"]]:
        """Give the importances by the number of each convolution in forward order.

        A convolution whose filters are the classes has none.
        """
        position = conv_position(self.graph)
        return {position[name]: values for name, values in self.importance(rule).items() if name in position}

    def do(
        self, units: Units, value: float = 0.0, site: str = "activation"
    ) -> AbstractContextManager[nn.Module]:
        """Hold the network under do(units = value) within a ``with`` block, on this explainer's device.

        Raises
        ------
        UnknownNameError
            If a layer, unit or site does not exist.
        ArgumentError
            If a unit is a class.
        """
        chosen = Intervention(units, value, site).checked(self.graph)
        return intervene(self._network, self.graph, chosen, device=self.device)

    def effect_of(
        self,
        units: Units | Intervention,
        loader: Iterable[Any] | None = None,
        value: float = 0.0,
        site: str = "activation",
        progress: Progress | None = None,
        *,
        max_batches: int | None = None,
    ) -> Effect:
        """Measure what do(units = value) does to the answers, image by image; by default on the images collected."""
        chosen = units if isinstance(units, Intervention) else Intervention(units, value, site)
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
        """Give a copy without the least important filters: weights exactly zero, silent after BatchNorm too."""
        order = ranking(self.graph, self.importance(rule))
        return self._without(lowest(order, percent))

    def prune_random_filters(self, percent: float, seed: int = 0) -> nn.Module:
        """Give a copy without as many filters of each layer, chosen at random; the same seed, the same filters."""
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

        With `units_ablated`, what zeroing these units at `site` changes in that map: signed, after minus before.
        """
        name = self.graph.layer(layer).name
        weights = None if unit is not None else self._weights(name, rule)
        chosen = {"weights": weights, "unit": unit, "device": self.device}
        if units_ablated is None:
            return heatmap(self._network, self.graph, images, name, **chosen)  # type: ignore[arg-type]
        cut = Intervention(units_ablated, 0.0, site)
        return difference(self._network, self.graph, images, name, cut, **chosen)  # type: ignore[arg-type]

    def denormalise(
        self, images: Float[Tensor, "image channel height width"]
    ) -> Float[np.ndarray, "image height width rgb"]:
        """Turn images as the network takes them into pictures in 0..1 with three colours."""
        return denormalise(images, self.mean, self.std)

    def _weights(self, layer: str, rule: str) -> Float64[np.ndarray, " unit"]:
        values = self.importance(rule).get(layer)
        if values is None:
            raise ArgumentError(
                f'rule "{rule}" gives layer "{layer}" no importances: it is no inner convolution'
            )
        return values

    def _need_collection(self) -> Collection:
        if self.collection is None:
            raise OrderError("collect first: call collect_data(loader)")
        return self.collection

    def _need_loader(self, loader: Iterable[Any] | None) -> Iterable[Any]:
        if loader is not None:
            return loader
        if self.loader is None:
            raise OrderError("collect first, or give a loader")
        return self.loader

    def __repr__(self) -> str:
        name = type(self._network).__name__
        if self._graph is None:
            return f"CausalCNNExplainer({name} on {self.device}, no images seen yet)"
        inside = f"{name} on {self.device}, {len(self._graph.conv_layers)} convolutions, {self._graph.n_filters:,} filters"
        seen = (
            "nothing collected"
            if self.collection is None
            else f"{self.collection.n_images:,} images collected"
        )
        learned = "" if self.scm is None else ", equations learned"
        return f"CausalCNNExplainer({inside}, {seen}{learned})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"
