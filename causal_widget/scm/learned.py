"""Structural equations of one layer's units that are not linear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float64, Int

from causal_widget.scm.estimators.functions import Function
from causal_widget.scm.judged import JudgedEquations


@dataclass(frozen=True, eq=False)
class Group:
    """Children that read the same parents, and the function that gives them.

    Attributes
    ----------
    parents
        (parent,), columns of the parent layers side by side.
    children
        (child,), rows.
    function
        From parents to children.
    """

    parents: Int[np.ndarray, " parent"] = field(repr=False)
    children: Int[np.ndarray, " child"] = field(repr=False)
    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class LearnedEquations(JudgedEquations):
    """Each unit's response as a learned function of its parents' responses.

    Of an estimator that classifies (of responses that are 0 or 1), the prediction is the probability of 1,
    and the mean squared residual is the Brier score.

    Attributes
    ----------
    estimator
        Its name.
    mean
        (row,), mean response on the training images: the answer for rows without parents.
    groups
        Who reads whom, and the function.
    accuracy, heldout_accuracy
        (row,), share of the training and of the held-out observational images whose bit is predicted right;
        NaN where the response is no bit or nothing was held out.
    """

    linear: ClassVar[bool] = False

    estimator: str
    mean: Float64[np.ndarray, " row"] = field(repr=False)
    groups: tuple[Group, ...] = field(repr=False)
    accuracy: Float64[np.ndarray, " row"] = field(repr=False)
    heldout_accuracy: Float64[np.ndarray, " row"] = field(repr=False)

    @property
    def savable(self) -> bool:
        """Whether the functions are plain arrays."""
        return all(group.function.savable for group in self.groups)

    @property
    def why_not_savable(self) -> str:
        """Why these equations cannot be saved; empty where they can."""
        if self.savable:
            return ""
        return (
            f"the equations of layer {self.layer!r} are scikit-learn's {self.estimator}, whose insides are "
            "no plain arrays, and pickle is not used; linear equations, logistic, svm and mlp can be saved"
        )

    def predict(
        self, responses: Mapping[str, Float64[np.ndarray, "image column"]]
    ) -> Float64[np.ndarray, "image row"]:
        """Return the expected responses of this layer's units, given those of every parent layer.

        Raises
        ------
        ArgumentError
            A parent layer is missing or has another number of columns.
        """
        x = self.side_by_side(responses)
        answer = np.tile(self.mean, (len(x), 1))
        if len(x):
            for group in self.groups:
                answer[:, group.children] = group.function(x[:, group.parents])
        return answer

    def _facts(self) -> dict[str, object]:
        if np.isnan(self.accuracy).all():
            return {}
        return {"accuracy": self.accuracy, "heldout_accuracy": self.heldout_accuracy}
