"""The paper's third use: the network's accuracy on other images, foreseen from responses alone."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from causal_widget.errors import ArgumentError, DataError
from causal_widget.responses import Evaluation
from causal_widget.scm.model import StructuralCausalModel
from causal_widget.scm.sanity import Sanity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Elsewhere", "predict_accuracy"]


@dataclass(frozen=True, repr=False, eq=False)
class Elsewhere:
    """What a causal model foresees of its network's accuracy on several sets of images.

    Attributes
    ----------
    checks : mapping of name to Sanity
        One a set of images: the network's own answers, and those of the equations from every depth.
    """

    checks: Mapping[str, Sanity] = field(repr=False)

    @property
    def true(self) -> dict[str, float]:
        """The network's accuracy on each set."""
        return {name: _accuracy(check.network) for name, check in self.checks.items()}

    def foreseen(self, observed: int | None = None) -> dict[str, float]:
        """Give the accuracy of the equations on each set.

        Parameters
        ----------
        observed : int, optional
            How many layers' responses they are given, from 1; None: all but the classes themselves.

        Raises
        ------
        ArgumentError
            If there are not so many layers before the classes.
        """
        return {name: _accuracy(check.rolled[_depth(check, observed)]) for name, check in self.checks.items()}

    def table(self) -> pd.DataFrame:
        """One row a set: images, true accuracy, foreseen in one step, from the middle and the first layer."""
        rows = []
        for check in self.checks.values():
            depths = {"one step": -1, "from the middle": len(check.depths) // 2, "from the first layer": 0}
            found = {label: _accuracy(check.rolled[at]) for label, at in depths.items()}
            agrees = float(check.agreement[-1])
            rows.append(
                {"images": check.network.n, "true": _accuracy(check.network), **found, "agreement": agrees}
            )
        return pd.DataFrame(rows, index=pd.Index(list(self.checks), name="set"))

    def plot(self, figsize: tuple[float, float] = (5.4, 4.6)) -> Figure:
        """Show foreseen over true accuracy, one point a set."""
        from causal_widget.plots.fidelity import predicted_accuracy

        table = self.table()
        names = ["one step", "from the middle", "from the first layer"]
        true = table["true"].to_numpy(dtype=np.float64)
        found: dict[str, Float64[np.ndarray, " point"]] = {n: table[n].to_numpy(np.float64) for n in names}
        title = f"Accuracy on {len(true)} sets of images, foreseen from responses"
        return predicted_accuracy(names, found, dict.fromkeys(names, true), title, figsize)

    def __repr__(self) -> str:
        return f"{self._head()}\n{self.table().to_string(float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        table = self.table().to_html(float_format="{:.3f}".format, escape=True)
        return f"<p>{html.escape(self._head())}</p>{table}"

    def _head(self) -> str:
        return f"Accuracy on {len(self.checks)} set(s) of images, foreseen by the equations"


def _accuracy(evaluation: Evaluation) -> float:
    assert evaluation.accuracy is not None  # `predict_accuracy` has seen labels
    return evaluation.accuracy


def _depth(check: Sanity, observed: int | None) -> int:
    if observed is None:
        return -1
    if observed not in check.depths:
        raise ArgumentError(
            f"observed must be one of {check.depths[0]} to {check.depths[-1]} layers, got {observed!r:.80}"
        )
    return check.depths.index(observed)


def predict_accuracy(scm: StructuralCausalModel, loaders: Mapping[str, Any] | Any) -> Elsewhere:
    """Foresee the network's accuracy on other images, by its causal model, and compare.

    Parameters
    ----------
    scm : StructuralCausalModel
        With its network attached, unless responses are given.
    loaders : mapping of name to loader, or one loader
        Labelled images, or their responses, of each set: another data set, a corrupted one.

    Raises
    ------
    DataError
        If images have no labels, or there is no set.
    OrderError
        If images must be read and no network is attached.
    """
    named = loaders if _is_named(loaders) else {"images": loaders}
    if not named:
        raise DataError("there is no set of images; expected at least one")
    checks = {}
    for name, loader in named.items():
        responses = scm.responses(loader)
        if responses.labels is None:
            raise DataError(f'the images of "{name}" have no labels; accuracy needs them')
        checks[str(name)] = scm.sanity(responses)
    return Elsewhere(checks)


def _is_named(loaders: object) -> bool:
    """Say whether it is a mapping of sets; a set of responses is a mapping of layers."""
    return isinstance(loaders, Mapping) and not hasattr(loaders, "labels")
