"""Total effects: what silencing does to an outcome, for all units at once."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy.typing import NDArray

from causal_widget.errors import UnknownNameError, nearest
from causal_widget.scm.do import Chosen, Submodel, do
from causal_widget.scm.linear import derivatives, is_linear, linear_change

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["TotalEffects", "total_effects"]

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False, eq=False)
class TotalEffects:
    """What a unit's response does to an outcome, along all paths.

    Attributes
    ----------
    outcome
        The layer asked about.
    names
        One an outcome's column: a class or a unit.
    silencing
        By layer: (unit, outcome), the mean change of the outcome when the unit alone is silenced. In closed
        form (silent - mean) T, summed over the components of a vector-valued response; where an equation is
        not linear, by propagating images.
    per_response
        By layer: (column, outcome), the change of the outcome for a change of the response by 1; empty where
        an equation is not linear, for then it is no constant.
    """

    model: StructuralCausalModel = field(repr=False)
    outcome: str
    names: tuple[str, ...]
    silencing: Mapping[str, Float64[np.ndarray, "unit outcome"]]
    per_response: Mapping[str, Float64[np.ndarray, "column outcome"]]

    def __getitem__(self, layer: str) -> Float64[np.ndarray, "unit outcome"]:
        """Give the mean effects of silencing each unit of a layer.

        Raises
        ------
        UnknownNameError
            The layer is not among those asked for.
        """
        if layer not in self.silencing:
            raise UnknownNameError(
                f'there are no effects of "{layer}" on "{self.outcome}".{nearest(layer, self.silencing)}'
            )
        return self.silencing[layer]

    def of(self, units: Chosen, value: float = 0.0, *, scale: float | None = None) -> Array:
        """Give the mean change of the outcome when a set of units is set together: (outcome,).

        Linear equations: exactly, from the means of the training images. Single effects do not add up where
        one unit of the set comes before another: what the later one is set to no longer follows the earlier.
        """
        submodel = do(self.model, units, value, scale=scale, answer="equations")
        if not is_linear(self.model, self.outcome):
            return np.asarray(submodel.change(outcome=self.outcome).mean(axis=0))
        return _mean_change(submodel, self.outcome)

    def table(self) -> pd.DataFrame:
        """Give one row a unit: layer, unit, and the mean change of every outcome when it is silenced."""
        parts = []
        for layer, effects in self.silencing.items():
            part = pd.DataFrame(effects, columns=list(self.names))
            part.insert(0, "unit", np.arange(len(effects)))
            part.insert(0, "layer", layer)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def strongest(self, k: int = 10) -> pd.DataFrame:
        """Give the k units whose silencing changes some outcome most: layer, unit, outcome, change."""
        rows = []
        for layer, effects in self.silencing.items():
            at = np.abs(effects).argmax(axis=1)
            sizes = np.take_along_axis(effects, at[:, None], axis=1)[:, 0]
            rows += [
                (layer, u, self.names[k], float(s)) for u, (k, s) in enumerate(zip(at, sizes, strict=True))
            ]
        table = pd.DataFrame(rows, columns=["layer", "unit", "outcome", "change"])
        order = table["change"].abs().sort_values(ascending=False, kind="stable").index[:k]
        return table.loc[order].reset_index(drop=True)

    def plot(self, layer: str | None = None, figsize: tuple[float, float] | None = None) -> Figure:
        """Show the effects of a layer's units on every outcome, or of all layers side by side."""
        from causal_widget.plots.scm import effect_matrix

        shown = self.silencing if layer is None else {layer: self[layer]}
        title = f"Mean change of {self.outcome} when a unit alone is silenced, by the equations"
        return effect_matrix(shown, self.names, title, figsize)

    def __repr__(self) -> str:
        units = sum(len(one) for one in self.silencing.values())
        top = self.strongest(1).iloc[0]
        return (
            f"TotalEffects of {units:,} units in {len(self.silencing)} layers on {len(self.names)} outcomes "
            f"of {self.outcome}: silencing {top['layer']}[{top['unit']}] changes {top['outcome']} most, "
            f"by {top['change']:+.4g}"
        )

    def _repr_html_(self) -> str:
        table = self.strongest().to_html(index=False, float_format="{:.4g}".format)
        return f"<p>{html.escape(repr(self))}</p>{table}"


def total_effects(
    model: StructuralCausalModel, layer: str | None = None, outcome: str | None = None, images: Any = None
) -> TotalEffects:
    """Give the total effects of every unit of a layer, or of all layers, on every class or a later layer.

    Linear equations: by back-substitution, all units at once, from the means of the training images.

    Parameters
    ----------
    model
        The causal model.
    layer
        Whose units; None takes every layer before the outcome.
    outcome
        The layer asked about; None takes the classes.
    images
        Of a model whose equations are not linear: the images that are propagated, as for `do`.

    Raises
    ------
    UnknownNameError
        If a layer does not exist or is not before the outcome.
    OrderError
        If images must be read and no network is attached.
    """
    graph = model.graph
    end = graph.output if outcome is None else graph.layer(outcome)
    layers = layers_before(model, end.name, layer)
    k = model.components[end.name]
    names = tuple(str(c) if k == 1 else f"{c // k}.{c % k}" for c in range(model.width(end.name)))
    if not is_linear(model, end.name):
        silencing = {name: _propagated(model, name, end.name, images) for name in layers}
        return TotalEffects(model, end.name, names, silencing, {})
    total = derivatives(model, end.name)
    none = np.zeros((model.width(end.name), 1))
    per_response = {
        name: total[name].T if name in total else np.repeat(none, model.width(name), axis=1).T
        for name in layers
    }
    silencing = {name: _silencing(model, name, slopes) for name, slopes in per_response.items()}
    return TotalEffects(model, end.name, names, silencing, per_response)


def layers_before(model: StructuralCausalModel, outcome: str, layer: str | None = None) -> list[str]:
    """List the layers that come before an outcome, or the one that is asked for.

    Raises
    ------
    UnknownNameError
        If the layer does not exist or is not before the outcome.
    """
    before = [one.name for one in model.graph.layers[: model.graph.layer(outcome).index]]
    if layer is None:
        return before
    name = model.graph.layer(layer).name
    if name not in before:
        raise UnknownNameError(f'layer "{name}" is not before the outcome "{outcome}"')
    return [name]


def _silencing(model: StructuralCausalModel, layer: str, slopes: Array) -> Array:
    """Sum (silent - mean) T over the components of each unit: (unit, outcome)."""
    moved = (model.silent[layer] - model.means[layer])[:, None] * slopes
    return np.asarray(moved.reshape(-1, model.components[layer], moved.shape[1]).sum(axis=1))


def _propagated(model: StructuralCausalModel, layer: str, outcome: str, images: Any) -> Array:
    responses = model.responses(images)
    return np.stack(
        [
            do(model, {layer: [unit]}, answer="equations").change(responses, outcome=outcome).mean(axis=0)
            for unit in range(model.graph.layer(layer).units)
        ]
    )


def _mean_change(submodel: Submodel, outcome: str) -> Array:
    means = {name: mean[None] for name, mean in submodel.model.means.items()}
    return np.asarray(linear_change(submodel.model, submodel.forced, means, outcome)[0])
