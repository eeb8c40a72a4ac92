"""Importance rules by name: each gives one non-negative number a unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import nn

from causal_widget.effects import Effects
from causal_widget.errors import (
    ArgumentError,
    NonFiniteError,
    OrderError,
    UnknownNameError,
    UnsupportedModelError,
    check_seed,
    nearest,
)
from causal_widget.graph import FilterGraph, Layer
from causal_widget.guard import bare
from causal_widget.responses import Collection
from causal_widget.scm import LayerEquations, StructuralCausalModel

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sources:
    """What a rule may look at; parts that have not been made are None."""

    graph: FilterGraph
    scm: StructuralCausalModel | None = None
    collection: Collection | None = None
    model: nn.Module | None = None
    seed: int = 0
    effects: Effects | None = None
    by: str | None = None

    def need_scm(self) -> StructuralCausalModel:
        """Return the equations, or say what to call."""
        if self.scm is None:
            raise OrderError(
                "This importance rule needs the structural equations: call collect_data, then fit."
            )
        return self.scm

    def need_collection(self) -> Collection:
        """Return the responses' moments, or say what to call."""
        if self.collection is None or not self.collection.train.count:
            raise OrderError(
                "This importance rule needs the responses: call collect_data (or collect) first."
            )
        return self.collection

    def need_effects(self) -> Effects:
        """Return what was measured of single units, or say what to call."""
        if self.effects is None:
            raise OrderError(
                "This importance rule needs measured effects: call effects() of the explainer, or give "
                "effects=plan_effects(...).run()."
            )
        return self.effects

    def need_model(self) -> nn.Module:
        """Return the network, or say what to give."""
        if self.model is None:
            raise OrderError("This importance rule reads the network's weights: give model=.")
        return bare(self.model)


@dataclass(frozen=True)
class Rule:
    """A named way to say how much each unit matters.

    Attributes
    ----------
    name
        Under which it is asked for.
    about
        What it computes, for a person.
    compute
        Raw non-negative numbers, a layer at a time, in the order of the layers.
    """

    name: str
    about: str
    compute: Callable[[Sources, tuple[Layer, ...]], list[Array]]


def importance(
    rule: str,
    *,
    graph: FilterGraph,
    scm: StructuralCausalModel | None = None,
    collection: Collection | None = None,
    model: nn.Module | None = None,
    seed: int = 0,
    effects: Effects | None = None,
    by: str | None = None,
) -> dict[str, Float64[np.ndarray, " unit"]]:
    """Return the importance of every unit that is no class: filters, and units of hidden linear layers.

    Numbers are non-negative and sum to 1 in each layer. Where a rule gives every unit of a layer zero (a
    layer that no other layer reads, for one), nothing tells its units apart and all get the same.

    Parameters
    ----------
    rule
        A name in `RULES`.
    graph
        The network's graph.
    scm, collection, model, effects
        What the rule may need: fitted equations, collected moments, the network with its weights, measured
        effects of the units.
    seed
        Of the rule "random".
    by
        Of the rule "effect": ``"abs_loss"`` counts the mean effect on the loss of either sign, ``"loss"``
        only a rise, ``"-loss"`` only a fall; so for every outcome measured. None: the loss, or the first
        outcome where it was not measured, of either sign.

    Raises
    ------
    UnknownNameError
        No rule has that name.
    OrderError
        The rule needs what is not given; the message says what to call.
    ArgumentError
        The rule is "effect", and a unit of a convolution was not measured.
    NonFiniteError
        The rule gives NaN or infinity, as for weights that are; names the layer.
    """
    if rule not in RULES:
        raise UnknownNameError(
            f"There is no importance rule {rule!r} (known: {', '.join(RULES)}).{nearest(rule, RULES)}"
        )
    layers = tuple(layer for layer in graph.layers if not layer.is_output)
    raw = RULES[rule].compute(Sources(graph, scm, collection, model, seed, effects, by), layers)
    return {layer.name: _shared_out(values, rule, layer) for layer, values in zip(layers, raw, strict=True)}


def _shared_out(values: Array, rule: str, layer: Layer) -> Array:
    top = values.max()
    if not np.isfinite(top):
        raise NonFiniteError(
            f"Rule {rule!r} gives NaN or infinity in layer {layer.name!r}: are its weights finite?"
        )
    if not top > 0:
        return np.full(len(values), 1 / len(values))
    scaled = values / top
    return np.asarray(scaled / scaled.sum())


def _reach(scm: StructuralCausalModel, layers: tuple[Layer, ...], standardised: bool) -> list[Array]:
    total = {layer.name: np.zeros(layer.units) for layer in layers}
    for equations in scm.equations.values():
        if not total.keys().isdisjoint(equations.parents):
            if not isinstance(equations, LayerEquations):
                raise ArgumentError(
                    f"Rules by coefficient need linear equations, and those of layer {equations.layer!r} "
                    f"are by {scm.estimator}: fit with ridge, linear, lars or lasso."
                )
            for source, values in equations.reach(standardised).items():
                if source in total:
                    total[source] += values
    return list(total.values())


def _coefficient(sources: Sources, layers: tuple[Layer, ...]) -> list[Array]:
    return _reach(sources.need_scm(), layers, standardised=False)


def _standardised(sources: Sources, layers: tuple[Layer, ...]) -> list[Array]:
    return _reach(sources.need_scm(), layers, standardised=True)


def _l1(sources: Sources, layers: tuple[Layer, ...]) -> list[Array]:
    model = sources.need_model()
    return [_weight_norm(model.get_submodule(layer.module), layer) for layer in layers]


def _weight_norm(module: nn.Module, layer: Layer) -> Array:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor):
        raise UnsupportedModelError(f"Layer {layer.name!r} ({type(module).__name__}) has no weight tensor.")
    size = weight.detach().to(device="cpu", dtype=torch.float64).abs()
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        parts = size.reshape(module.groups, -1, *size.shape[1:]).transpose(1, 2).flatten(0, 1)
        return np.asarray(parts.flatten(1).sum(1).numpy())
    return np.asarray(size.flatten(1).sum(1).numpy())


def _variance(sources: Sources, layers: tuple[Layer, ...]) -> list[Array]:
    moments = sources.need_collection().train
    alive = [np.where(moments.dead(layer.name), 0.0, moments.variance(layer.name)) for layer in layers]
    return [_by_unit(values, layer) for values, layer in zip(alive, layers, strict=True)]


def _response(sources: Sources, layers: tuple[Layer, ...]) -> list[Array]:
    moments = sources.need_collection().train
    return [_by_unit(np.abs(moments.mean(layer.name)), layer) for layer in layers]


def _by_unit(columns: Array, layer: Layer) -> Array:
    """Sum over the components of each unit, where responses are vectors."""
    return np.asarray(columns.reshape(layer.units, -1).sum(axis=1))


def _effect(sources: Sources, layers: tuple[Layer, ...]) -> list[Array]:
    effects = sources.need_effects()
    usual = "abs_loss" if "loss" in effects.columns else None
    column, order = effects.measured.order(usual if sources.by is None else sources.by)
    mean = effects.estimate().mean[:, column]
    sizes = np.abs(mean) if order == "abs" else np.maximum(mean if order == "high" else -mean, 0.0)
    known = {(one.layer, one.unit): size for one, size in zip(effects.asked, sizes, strict=True)}
    filters = {layer.name for layer in sources.graph.hidden_conv_layers}
    return [_measured_units(known, layer, layer.name in filters) for layer in layers]


def _measured_units(known: Mapping[tuple[str, int | None], float], layer: Layer, needed: bool) -> Array:
    """Give a layer's numbers; all zero where it need not be measured and was not."""
    lacking = [unit for unit in range(layer.units) if (layer.name, unit) not in known]
    if len(lacking) == layer.units and not needed:
        return np.zeros(layer.units)
    if lacking:
        raise ArgumentError(
            f'The effects of {len(lacking)} of the {layer.units} units of layer "{layer.name}" were not '
            f"measured (unit {lacking[0]} for one): measure all units of all convolutions."
        )
    return np.array([known[layer.name, unit] for unit in range(layer.units)])


def _random(sources: Sources, layers: tuple[Layer, ...]) -> list[Array]:
    seed = check_seed(sources.seed)
    return [np.random.default_rng((seed, layer.index)).random(layer.units) for layer in layers]


_ALL = (
    Rule("coefficient", "Sum over children of the absolute coefficient.", _coefficient),
    Rule("standardised", "Sum over children of the absolute standardised coefficient.", _standardised),
    Rule("l1", "Sum of the absolute weights of the filter.", _l1),
    Rule("variance", "Variance of the response; of a vector, the sum over its components.", _variance),
    Rule("response", "Absolute mean response; of a vector, the sum over its components.", _response),
    Rule("effect", "Absolute mean effect, measured on the network, of silencing the unit.", _effect),
    Rule("random", "Uniform random numbers from a seed.", _random),
)
RULES: Mapping[str, Rule] = {rule.name: rule for rule in _ALL}
