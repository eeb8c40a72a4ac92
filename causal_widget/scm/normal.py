"""Normal equations of the children of some parents: what moments say, merged over arms, less a fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from causal_widget.responses import Moments, Reading
from causal_widget.responses.moments import DEAD

Array = NDArray[np.float64]
# What is left of a column's squares below this share of them is rounding, once a fold is taken out.
ROUNDING = 1e-11


@dataclass(frozen=True, eq=False)
class Columns:
    """Count, mean and centred squares of some columns, without products between them."""

    count: int
    mean: Float64[np.ndarray, "*column"]
    squares: Float64[np.ndarray, "*column"]

    @property
    def variance(self) -> Float64[np.ndarray, "*column"]:
        """Divided by the number of images."""
        return np.asarray(self.squares / self.count)

    @property
    def dead(self) -> Bool[np.ndarray, "*column"]:
        """Columns whose deviation is rounding of their mean, as `Moments.dead` says."""
        return np.asarray(self.variance <= (DEAD * self.mean) ** 2)

    def merge(self, other: Columns) -> Columns:
        """Merge by the pairwise formula (`Moments`)."""
        n = self.count + other.count
        step, weight = other.mean - self.mean, self.count * other.count / n
        return Columns(
            n, self.mean + step * (other.count / n), self.squares + other.squares + weight * step**2
        )


def parent_columns(moments: Moments, layer: str) -> Columns:
    """Return a layer's columns as its children see them: with the values that units were set to."""
    return Columns(moments.count, moments.mean(layer), moments.variance(layer) * moments.count)


def child_columns(moments: Moments, layer: str) -> Columns:
    """Return a layer's columns as its own equations give them: before any unit of it was set."""
    return Columns(moments.count, moments.child_mean(layer), moments.child_variance(layer) * moments.count)


@dataclass(frozen=True, eq=False)
class Normal:
    """Centred products of groups of parents with their children, and what is needed to merge them.

    Attributes
    ----------
    count
        Images.
    parent_mean, child_mean
        (group, parent) and (group, child).
    among, across
        (group, parent, parent) and (group, parent, child), centred sums of products.
    squares
        (group, child), centred sums of squares.
    """

    count: int
    parent_mean: Float64[np.ndarray, "group parent"]
    child_mean: Float64[np.ndarray, "group child"]
    among: Float64[np.ndarray, "group parent parent"]
    across: Float64[np.ndarray, "group parent child"]
    squares: Float64[np.ndarray, "group child"]

    @property
    def children(self) -> Columns:
        """The children without their parents."""
        return Columns(self.count, self.child_mean, self.squares)

    @property
    def dead(self) -> Bool[np.ndarray, "group parent"]:
        """Parents without variance."""
        return Columns(self.count, self.parent_mean, np.einsum("gpp->gp", self.among)).dead

    def merge(self, other: Normal) -> Normal:
        """Return the normal equations of both parts' images, by the pairwise formula (`Moments`)."""
        n = self.count + other.count
        x, y = other.parent_mean - self.parent_mean, other.child_mean - self.child_mean
        weight, share = self.count * other.count / n, other.count / n
        return Normal(
            n,
            self.parent_mean + x * share,
            self.child_mean + y * share,
            _plus(self.among, other.among, weight * x, x, 1),
            _plus(self.across, other.across, weight * x, y, 1),
            self.squares + other.squares + weight * y**2,
        )

    def without(self, part: Normal) -> Normal:
        """Return the normal equations of the images that are not in a part of these: `merge` undone.

        A parent or child that varied in the part only is left with exact zeros, not with rounding.
        """
        n = self.count - part.count
        x = (self.parent_mean - part.parent_mean) * (self.count / n)
        y = (self.child_mean - part.child_mean) * (self.count / n)
        weight = n * part.count / self.count
        among = _plus(self.among, part.among, -weight * x, x, -1)
        across = _plus(self.across, part.across, -weight * x, y, -1)
        squares = self.squares - part.squares - weight * y**2
        kept = np.einsum("gpp->gp", among) > ROUNDING * np.einsum("gpp->gp", self.among)
        alive = squares > ROUNDING * self.squares
        if not kept.all():
            among = among * (kept[:, :, None] & kept[:, None, :])
        if not (kept.all() and alive.all()):
            across = across * (kept[:, :, None] & alive[:, None, :])
        return Normal(
            n, part.parent_mean + x, part.child_mean + y, among, across, np.where(alive, squares, 0.0)
        )

    def residual(
        self,
        coefficients: Float64[np.ndarray, "group parent child"],
        intercept: Float64[np.ndarray, "group child"],
    ) -> Float64[np.ndarray, "group child"]:
        """Return the sum of squared residuals of linear equations, whichever images they were fitted on."""
        spread = (coefficients * (self.among @ coefficients - 2 * self.across)).sum(axis=1)
        shift = self.child_mean - intercept - np.einsum("gp,gpc->gc", self.parent_mean, coefficients)
        return np.asarray(np.maximum(self.squares + spread + self.count * shift**2, 0))

    def take(self, children: slice) -> Normal:
        """Return the same for some of the children."""
        return Normal(
            self.count,
            self.parent_mean,
            self.child_mean[:, children],
            self.among,
            self.across[:, :, children],
            self.squares[:, children],
        )


def _plus(mine: Array, theirs: Array, left: Array, right: Array, sign: int) -> Array:
    """Return mine + sign theirs + left right', group by group, with one array more than the answer."""
    answer = left[:, :, None] * right[:, None, :]
    answer += mine
    return np.asarray((np.add if sign > 0 else np.subtract)(answer, theirs, out=answer))


def normal_of(moments: Moments, readings: Sequence[Reading], index: int = 0) -> Normal:
    """Return the normal equations of readings with the same parents, their children side by side.

    Parameters
    ----------
    moments
        Of the images.
    readings
        Readings of a single group each, or one of several groups.
    index
        The number of a reading of several groups among those of its layer.
    """
    first = readings[0]
    mean = np.concatenate([moments.mean(source) for source in first.sources])
    children = [child_columns(moments, reading.target) for reading in readings]
    if first.n_groups > 1:
        among, across = moments.stack(first.target, index)
    else:
        among = moments.among(first)[None]
        crosses = [moments.across(reading) for reading in readings]
        across = (crosses[0] if len(crosses) == 1 else np.concatenate(crosses, axis=1))[None]
    pairs = list(zip(children, readings, strict=True))
    return Normal(
        moments.count,
        mean[first.parents],
        np.concatenate([one.mean[reading.children] for one, reading in pairs], axis=1),
        among,
        across,
        np.concatenate([one.squares[reading.children] for one, reading in pairs], axis=1),
    )


def merged(parts: Sequence[Moments], readings: Sequence[Reading], index: int = 0) -> Normal:
    """Return the normal equations of several sets of moments together."""
    return reduce(Normal.merge, (normal_of(part, readings, index) for part in parts if part.count))
