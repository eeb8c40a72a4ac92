"""Abduction, action, prediction: responses under an intervention, layer by layer, whatever the equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from causal_widget.scm.equations import LayerEquations
from causal_widget.scm.forced import Forced, descendants

if TYPE_CHECKING:
    from causal_widget.scm.model import StructuralCausalModel

__all__ = ["propagate"]

Array = NDArray[np.floating]


def propagate(
    model: StructuralCausalModel,
    chosen: Forced,
    responses: Mapping[str, Float[np.ndarray, "image column"]],
    outcome: str,
    noise: str = "abducted",
) -> dict[str, Float[np.ndarray, "image column"]]:
    """Give the responses of every layer that an intervention reaches, up to an outcome.

    Only descendants of the units set are computed anew; all others keep what was observed. With the noise
    abducted, a descendant's residual on this image is kept: new = observed + f(parents now) - f(parents as
    observed). With the noise at zero, new = f(parents now).

    Source: Pearl 2009, "Causality", section 7.1 (abduction, action, prediction).

    Parameters
    ----------
    model, chosen, outcome
        What is set, and the last layer that is wanted.
    responses
        Observed, of every layer up to the outcome.
    noise
        "abducted" or "zero".

    Returns
    -------
    dict of layer to array (image, column)
        In float64; layers that are not reached are left out.
    """
    reached = descendants(model, chosen)
    now: dict[str, Array] = {}
    for layer in model.graph.layers[: model.graph.layer(outcome).index + 1]:
        name = layer.name
        if name not in reached and name not in chosen.columns:
            continue
        new = np.array(responses[name], dtype=np.float64)
        if name in reached:
            new[:, reached[name]] = _followed(model, name, new, now, responses, noise)[:, reached[name]]
        if name in chosen.columns:
            columns = chosen.columns[name]
            new[:, columns] = chosen.applied(name, new[:, columns])
        now[name] = new
    return now


def _followed(
    model: StructuralCausalModel,
    name: str,
    observed: Array,
    now: Mapping[str, Array],
    responses: Mapping[str, Array],
    noise: str,
) -> Array:
    """Give a layer's responses, given those of its parents under the intervention."""
    equations = model.equations[name]
    if noise != "zero" and isinstance(equations, LayerEquations) and equations.parts[0][0].full:
        moved = [source for source in equations.parents if source in now]
        return observed + _difference(equations, {one: now[one] - responses[one] for one in moved})
    before = {source: responses[source] for source in equations.parents}
    predicted = equations.predict({**before, **{source: now[source] for source in before if source in now}})
    return predicted if noise == "zero" else observed + (predicted - equations.predict(before))


def _difference(equations: LayerEquations, moved: Mapping[str, Array]) -> Array:
    """Give f(now) - f(before) of dense linear equations, by one product with what moved."""
    coefficients = equations.coefficients
    brought = [change @ coefficients[:, equations.columns(source)].T for source, change in moved.items()]
    return np.asarray(sum(brought))
