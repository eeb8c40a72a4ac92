"""Linear equations over a DAG: total derivatives by back-substitution, and joint shifts exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64, Int
from numpy.typing import NDArray

from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.forced import Forced

if TYPE_CHECKING:
    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["closed_form_pays", "derivatives", "is_linear", "linear_change"]

Array = NDArray[np.float64]


def is_linear(model: StructuralCausalModel, outcome: str) -> bool:
    """Say whether every equation that the outcome can depend on is linear."""
    needed = {outcome}
    for layer in reversed(model.graph.layers):
        if layer.name in needed and layer.name in model.equations:
            equations = model.equations[layer.name]
            if not equations.linear:
                return False
            needed.update(equations.parents)
    return True


def derivatives(
    model: StructuralCausalModel, outcome: str, rows: Int[np.ndarray, " row"] | None = None
) -> dict[str, Float64[np.ndarray, "row column"]]:
    """Give the total change of an outcome's columns for a change of any column before it by 1.

    Formula: T(outcome) = 1; T(source) = sum over the layers that read it of T(target) B(target, source), in
    reverse forward order, with B the coefficients. So all paths are summed without being listed.

    Parameters
    ----------
    model
        Its equations up to the outcome are linear.
    outcome
        A layer.
    rows
        Which of its columns; None takes all, and remembers the answer.

    Returns
    -------
    dict of layer to array (row, column)
        The outcome itself included; layers from which no path leads to the outcome are left out.
    """
    if rows is not None:
        return _back(model, outcome, np.eye(model.width(outcome))[rows])
    known: dict[str, dict[str, Array]] = model.remembered.setdefault("derivatives", {})
    if outcome not in known:
        known[outcome] = _back(model, outcome, np.eye(model.width(outcome)))
    return known[outcome]


def _back(model: StructuralCausalModel, outcome: str, start: Array) -> dict[str, Array]:
    found = {outcome: start}
    for layer in reversed(model.graph.layers):
        if layer.name not in found or layer.name not in model.equations:
            continue
        equations = model.equations[layer.name]
        assert isinstance(equations, LayerEquations)
        back = found[layer.name] @ equations.coefficients
        for source in equations.parents:
            part = back[:, equations.columns(source)]
            found[source] = found[source] + part if source in found else part
    return {layer.name: found[layer.name] for layer in model.graph.layers if layer.name in found}


def linear_change(
    model: StructuralCausalModel,
    chosen: Forced,
    responses: Mapping[str, Float[np.ndarray, "image column"]],
    outcome: str,
) -> Float64[np.ndarray, "image column"]:
    """Give the change of an outcome under an intervention, each image's residuals kept, in closed form.

    A column that is set is given a shift e of its own, such that with what reaches it from the others it is
    where it shall be: e = (1 - scale) (value - response - N e), where N holds the total derivatives among the
    columns set. N is strictly triangular in forward order, so e follows layer by layer; the change of the
    outcome is T e.

    Parameters
    ----------
    model, chosen, outcome
        Linear up to the outcome, which is not intervened on.
    responses
        Of every layer that is intervened on, and of the outcome.

    Returns
    -------
    array (image, column)
        Zero where no path leads.
    """
    total = derivatives(model, outcome)
    change = np.zeros((len(responses[outcome]), model.width(outcome)))
    shifts: dict[str, Array] = {}
    for layer, columns in chosen.columns.items():
        if layer not in total or layer == outcome:
            continue
        off = chosen.values[layer] - np.asarray(responses[layer][:, columns], dtype=np.float64)
        if shifts:
            among = derivatives(model, layer, columns)
            for earlier, shift in shifts.items():
                if earlier in among:
                    off -= shift @ among[earlier][:, chosen.columns[earlier]].T
        shifts[layer] = (1 - chosen.scale) * off
        change += shifts[layer] @ total[layer][:, columns].T
    return change


def closed_form_pays(model: StructuralCausalModel, chosen: Forced, outcome: str, n_images: int) -> bool:
    """Say whether `linear_change` takes fewer multiplications than sending every image through the equations.

    Only the derivatives among several layers that are set count: those of the outcome are remembered.
    """
    widths = [len(columns) for columns in chosen.columns.values()]
    among = sum(
        len(columns) * _weights_before(model, layer) for layer, columns in list(chosen.columns.items())[1:]
    )
    return among + n_images * sum(widths) ** 2 / 2 <= 2 * n_images * _weights_before(model, outcome)


def _weights_before(model: StructuralCausalModel, outcome: str) -> int:
    """Count the coefficients of the equations up to a layer, itself included."""
    last = model.graph.layer(outcome).index
    names = [layer.name for layer in model.graph.layers[: last + 1] if layer.name in model.equations]
    return sum(model.width(name) * sum(map(model.width, model.equations[name].parents)) for name in names)
