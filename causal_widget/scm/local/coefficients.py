"""A linear causal model for each image, as a result that says itself."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float32, Float64, Int

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Intervention, Units
from causal_widget.scm.local.contexts import Contexts
from causal_widget.scm.local.outcomes import read_outcomes

__all__ = ["LocalCoefficients"]

SLICE = 64


@dataclass(frozen=True, repr=False, eq=False)
class LocalCoefficients:
    """What each unit adds to each image's outcome, under no and under random interventions.

    For a set m of silenced units, which is the share f of all units, the change of the outcome is foreseen as
    intercept(f) - sum over m of scale(f), both linear in f between the measured fractions. The intercept is
    what the mean outcome under random sets of that share changes beyond the sum of its units' coefficients;
    it is 0 at f = 0, so that the empty intervention gives the network's own output, exactly.

    Attributes
    ----------
    graph : FilterGraph
        The network's graph.
    site : str
        Where units are silenced.
    contexts : Contexts
        The fractions and the number of random sets at each.
    outcomes : tuple of str or int
        ``"true"``, ``"margin"`` or class numbers.
    scale : array, shape (context, image, unit, outcome)
        Mean derivative by each unit's scale: what the outcome loses when the unit is silenced. Units of all
        layers but the output, side by side in forward order (`columns`).
    shift : array, shape (context, image, unit, outcome)
        Mean derivative by a constant added everywhere to the unit's map.
    intercept : array, shape (context, image, outcome)
    logits : array, shape (image, class)
        Of the network as it is.
    labels : array, shape (image,), or None
    seed : int
    """

    graph: FilterGraph
    site: str
    contexts: Contexts
    outcomes: tuple[str | int, ...]
    scale: Float32[np.ndarray, "context image unit outcome"] = field(repr=False)
    shift: Float32[np.ndarray, "context image unit outcome"] = field(repr=False)
    intercept: Float64[np.ndarray, "context image outcome"] = field(repr=False)
    logits: Float64[np.ndarray, "image class"] = field(repr=False)
    labels: Int[np.ndarray, " image"] | None = field(repr=False)
    seed: int

    @property
    def n_images(self) -> int:
        """How many images."""
        return len(self.logits)

    @property
    def forward_equivalents(self) -> int:
        """What an image cost, in forward passes: 1 a forward pass, 2 a backward pass."""
        return sum(self.contexts.passes) * (1 + 2 * len(self.outcomes))

    @property
    def nbytes(self) -> int:
        """Memory of the coefficients."""
        return self.scale.nbytes + self.shift.nbytes

    @cached_property
    def columns(self) -> Mapping[str, slice]:
        """Where each layer's units are on the axis of units."""
        layers = [layer for layer in self.graph.layers if not layer.is_output]
        ends = np.cumsum([layer.units for layer in layers])
        return {
            layer.name: slice(int(end) - layer.units, int(end))
            for layer, end in zip(layers, ends, strict=True)
        }

    @cached_property
    def values(self) -> Float64[np.ndarray, "image outcome"]:
        """The outcomes of the network as it is."""
        labels = None if self.labels is None else torch.from_numpy(self.labels)
        return read_outcomes(torch.from_numpy(self.logits), labels, self.outcomes).numpy()

    def predict(
        self, units: Units | Intervention, value: float = 0.0, scale: float | None = None
    ) -> Float64[np.ndarray, "image outcome"]:
        """Foresee how each image's outcomes change under do(units = value), or do(units = scale * units).

        Parameters
        ----------
        units : mapping of layer name to units, or Intervention
            An intervention brings its own value or scale; its site must be this one.
        value : float
            What every element of the units' maps is set to. Values other than 0 are foreseen by the
            derivatives of contexts in which other units are silenced.
        scale : float, optional
            What the units' maps are multiplied by instead: 1 changes nothing, 0 silences.

        Raises
        ------
        UnknownNameError
            If a layer or unit does not exist.
        ArgumentError
            If a unit is a class, the site is another one, or value and scale are both given.
        """
        asked = units
        if not isinstance(asked, Intervention):
            asked = Intervention(asked, value, self.site, scale)
        if asked.site != self.site:
            raise ArgumentError(f'the coefficients are about site "{self.site}", got {asked!r}')
        mask = self.mask(asked)
        less = 1.0 if asked.scale is None else 1 - asked.scale
        intercepts, slopes = self._weights(np.array([abs(less) * mask.sum() / self.contexts.units]))
        parts = self.scale[:, :, mask].sum(axis=2, dtype=np.float64) * less
        if asked.value:
            parts -= self.shift[:, :, mask].sum(axis=2, dtype=np.float64) * asked.value
        change = np.tensordot(intercepts[0], self.intercept, axes=1) - np.tensordot(slopes[0], parts, axes=1)
        return np.asarray(change)

    def predict_masks(
        self, silenced: Bool[np.ndarray, "mask unit"]
    ) -> Float64[np.ndarray, "image mask outcome"]:
        """Foresee how each image's outcomes change for many sets of silenced units at once.

        Raises
        ------
        ArgumentError
            If the masks are not boolean with a column a unit.
        """
        masks = np.asarray(silenced)
        if masks.dtype != bool or masks.ndim != 2 or masks.shape[1] != self.contexts.units:
            raise ArgumentError(
                f"masks must be boolean of shape (mask, {self.contexts.units} units), "
                f"got {masks.dtype} {masks.shape}"
            )
        intercepts, slopes = self._weights(masks.mean(axis=1))
        answer = np.einsum("mc,cio->imo", intercepts, self.intercept)
        numbers = masks.astype(np.float64)
        for context in np.flatnonzero(slopes.any(axis=0)):
            weighted = numbers * slopes[:, context, None]
            for first in range(0, self.n_images, SLICE):
                part = self.scale[context, first : first + SLICE].astype(np.float64)
                answer[first : first + SLICE] -= np.einsum("mu,iuo->imo", weighted, part, optimize=True)
        return np.asarray(answer)

    def effects(self, layer: str | None = None) -> Float64[np.ndarray, "image unit outcome"]:
        """Foresee the change for every single unit silenced alone, of one layer or of all."""
        columns = slice(None) if layer is None else self.columns[self.graph.layer(layer).name]
        intercepts, slopes = self._weights(np.array([1 / self.contexts.units]))
        total = np.tensordot(intercepts[0], self.intercept, axes=1)[:, None]
        for slope, part in zip(slopes[0], self.scale, strict=True):
            if slope:
                total = total - slope * part[:, columns].astype(np.float64)
        return np.asarray(total)

    def _weights(
        self, share: Float64[np.ndarray, " asked"]
    ) -> tuple[Float64[np.ndarray, "asked context"], Float64[np.ndarray, "asked context"]]:
        """Give what each context counts for sets of that share, for its intercept and for its coefficients.

        For the smallest sets the coefficients are the mean of the gradient at the image itself and of the
        first random context: averaged over the way there they depend less on the kinks nearest to the image.
        On a CIFAR-10 ResNet-32 that foresees single units as well and 10 % of a layer better (correlation
        with the true change .853 against .838).
        """
        intercepts = self.contexts.weights(share)
        slopes = intercepts.copy()
        if intercepts.shape[1] > 1:
            slopes[:, 1] += slopes[:, 0] / 2
            slopes[:, 0] /= 2
        return intercepts, slopes

    def mask(self, units: Units | Intervention) -> Bool[np.ndarray, " unit"]:
        """Give chosen units as a mask over all units.

        Raises
        ------
        UnknownNameError, ArgumentError
            As `Intervention.checked`.
        """
        asked = units if isinstance(units, Intervention) else Intervention(units, site=self.site)
        mask = np.zeros(self.contexts.units, dtype=bool)
        for layer, chosen in asked.checked(self.graph).units.items():
            mask[self.columns[layer]][list(chosen)] = True
        return mask

    def outcome(self, name: str | int) -> int:
        """Give an outcome's position.

        Raises
        ------
        UnknownNameError
            If it was not measured.
        """
        if name not in self.outcomes:
            known = [str(one) for one in self.outcomes]
            raise UnknownNameError(
                f'outcome "{name}" was not measured, only {", ".join(known)}.{nearest(str(name), known)}'
            )
        return self.outcomes.index(name)

    def table(self) -> pd.DataFrame:
        """Give a row a unit: the mean foreseen change of each outcome, and its spread over images."""
        found = self.effects()
        mean, spread = found.mean(axis=0), found.std(axis=0)
        table = pd.DataFrame(
            {
                "layer": np.repeat(
                    list(self.columns), [part.stop - part.start for part in self.columns.values()]
                ),
                "unit": np.concatenate([np.arange(p.stop - p.start) for p in self.columns.values()]),
            }
        )
        for k, outcome in enumerate(self.outcomes):
            name = outcome if isinstance(outcome, str) else f"class {outcome}"
            table[name] = mean[:, k]
            table[f"{name} spread"] = spread[:, k]
        return table

    def __repr__(self) -> str:
        shares = ", ".join(
            f"{f:.0%} ({n})" for f, n in zip(self.contexts.fractions, self.contexts.passes, strict=True)
        )
        return (
            f"LocalCoefficients: {self.n_images:,} images, {self.contexts.units:,} units at {self.site}, "
            f"outcomes {', '.join(map(str, self.outcomes))}; units silenced (passes): {shares}; "
            f"{self.forward_equivalents} forward passes an image, {self.nbytes / 1e6:.1f} MB"
        )

    def _repr_html_(self) -> str:
        table = self.table().to_html(index=False, max_rows=20, float_format="{:.4f}".format, escape=True)
        return f"<p>{html.escape(repr(self))}</p>{table}"
