"""Moments of responses under interventions: parents as they were set, children as they would have been."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from causal_widget.errors import ArgumentError
from causal_widget.responses.layout import Layout, Pair, Reading
from causal_widget.responses.moments import Array, Moments, Stack, centred_columns

__all__ = ["Gap", "InterventionalMoments"]


@dataclass(frozen=True, eq=False)
class Gap:
    """What interventions on a layer took from its units: natural less actual responses.

    Attributes
    ----------
    layer
        The layer that was intervened on.
    rows
        (row,), which rows of the batch.
    lost
        (row, column), natural less actual; zero where a unit was left alone.
    """

    layer: str
    rows: Int64[np.ndarray, " row"]
    lost: Float64[np.ndarray, "row column"]


class InterventionalMoments(Moments):
    """Moments of images in each of which some units of one layer were set to a value.

    A row holds two responses of an intervened unit: the actual one, which its children read, and the natural
    one, which its own equation describes. As only one layer of a row is intervened on, the natural response
    is the one without the intervention, and every row is data for every equation. The layers before the
    intervened one, and the intervened one as a child, say what they say without an intervention: that is
    right, and adds nothing new to those equations.

    Parents' columns are the actual responses a, children's the natural ones n = a + d, where d is zero but in
    the rows in which the child's layer was drawn. Their centred products need those rows alone, because

        sum (x - mean x)(n - mean n)' = sum (x - mean x)(a - mean a)' + sum (x - mean x) d',

    whose first term is the ordinary block that is kept once for parents and children. The second is merged by
    the pairwise formula as well, with the means of x and d (see `Moments`).

    `mean`, `variance`, `dead`, `products` and `among` are of actual responses; `child_mean`,
    `child_variance`, `child_dead`, `across` and `stack`'s second part of natural children.

    Parameters
    ----------
    layout
        Layers, and the blocks of cross-products to keep.
    drawn
        The layers that can be intervened on.
    """

    def __init__(self, layout: Layout, drawn: Sequence[str]) -> None:
        super().__init__(layout)
        self.drawn = tuple(drawn)
        self._gap_mean = np.zeros(layout.total)
        self._gap_squares = np.zeros(layout.total)
        self._gap_products = np.zeros(layout.total)
        self._gap_blocks: dict[Pair, Array] = {}
        self._gap_stacks: dict[Stack, Array] = {}

    def update_matrix(
        self,
        responses: Float64[np.ndarray, "image column"],
        *,
        consume: bool = False,
        gaps: Sequence[Gap] = (),
    ) -> None:
        """Add the actual responses of a batch of images, and what interventions took from some of them.

        A layer has one gap at most. With `consume` the array is centred in place.
        """
        if not len(responses):
            return
        centred, mean = centred_columns(responses, consume)
        self.reserve()
        self._add_gaps(centred, mean - self._mean, gaps)
        self._add_centred(centred, mean)

    def merge(self, other: Moments) -> InterventionalMoments:
        """Return the moments of both parts' images; neither part changes.

        Raises
        ------
        ArgumentError
            The other moments are of another layout, observational, or of interventions on other layers.
        """
        both = super().merge(other)
        assert isinstance(both, InterventionalMoments)
        assert isinstance(other, InterventionalMoments)
        if not self.count or not other.count:
            return both
        n = self.count + other.count
        weight, step = self.count * other.count / n, other._mean - self._mean
        gap_step = other._gap_mean - self._gap_mean
        both._add_gap_columns(other._gap_products, other._gap_squares, step, gap_step, weight)
        for pair, block in both._gap_blocks.items():
            for rows, left, right in self._gap_panels(pair):
                part = torch.from_numpy(other._gap_blocks[pair][rows].copy())
                self._add_part(block, rows, slice(None), part, weight, step[left], gap_step[right])
        for stack, product in both._gap_stacks.items():
            product += other._gap_stacks[stack]
            product += self._gap_shift(step, gap_step, weight, self.layout.stacks[stack])
        both._gap_mean += gap_step * (other.count / n)
        return both

    def copy(self) -> InterventionalMoments:
        """Return independent moments with the same content."""
        twin = InterventionalMoments(self.layout, self.drawn)
        self._copy_into(twin)
        twin._gap_mean, twin._gap_squares = self._gap_mean.copy(), self._gap_squares.copy()
        twin._gap_products = self._gap_products.copy()
        twin._gap_blocks = {pair: block.copy() for pair, block in self._gap_blocks.items()}
        twin._gap_stacks = {stack: block.copy() for stack, block in self._gap_stacks.items()}
        return twin

    def child_mean(self, layer: str) -> Float64[np.ndarray, " column"]:
        """Return the mean natural response of each unit of a layer."""
        return self.mean(layer) + self._gap_mean[self.layout.slices[layer]]

    def child_variance(self, layer: str) -> Float64[np.ndarray, " column"]:
        """Return the variance of the natural responses of a layer, divided by the number of images."""
        own = self.layout.slices[layer]
        more = 2 * self._gap_products[own] + self._gap_squares[own]
        return np.asarray(np.maximum(self.variance(layer) + more / self.count, 0))

    def stack(
        self, target: str, index: int
    ) -> tuple[Float64[np.ndarray, "g p p"], Float64[np.ndarray, "g p c"]]:
        """Return the centred products of a reading with several groups, children natural."""
        among, across = super().stack(target, index)
        gap = self._gap_stacks.get((target, index))
        return among, across if gap is None else across + gap

    def reserve(self) -> None:
        """Take all the memory that these moments will ever need."""
        super().reserve()
        if self._gap_blocks or self._gap_stacks:
            return
        widths = self.layout.widths
        self._gap_blocks = {
            (a, b): np.full((widths[a], widths[b]), 0.0) for a, b in self.layout.gap_pairs if b in self.drawn
        }
        for (target, index), reading in self.layout.stacks.items():
            if target in self.drawn:
                shape = (*reading.parents.shape, reading.children.shape[1])
                self._gap_stacks[target, index] = np.full(shape, 0.0)

    def _across(self, source: str, target: str) -> Array:
        products = self.products(source, target)
        gap = self._gap_blocks.get((source, target))
        return products if gap is None else products + gap

    def _check_alike(self, other: Moments) -> None:
        super()._check_alike(other)
        if isinstance(other, InterventionalMoments) and other.drawn != self.drawn:
            raise ArgumentError(
                f"Moments of interventions on {list(other.drawn)} cannot be merged into those of "
                f"interventions on {list(self.drawn)}."
            )

    def _add_gaps(self, centred: Array, step: Array, gaps: Sequence[Gap]) -> None:
        """Add a batch's gaps; to be called before the count and the mean know of the batch."""
        n_a, n_b = self.count, len(centred)
        weight, slices = n_a * n_b / (n_a + n_b), self.layout.slices
        mean, products, squares = (np.zeros(self.layout.total) for _ in range(3))
        found = {gap.layer: gap for gap in gaps}
        for gap in gaps:
            own = slices[gap.layer]
            mean[own] = gap.lost.sum(axis=0) / n_b
            products[own] = np.einsum("ij,ij->j", centred[gap.rows, own], gap.lost)
            squares[own] = ((gap.lost - mean[own]) ** 2).sum(axis=0) + (n_b - len(gap.rows)) * mean[own] ** 2
        gap_step = mean - self._gap_mean
        self._add_gap_columns(products, squares, step, gap_step, weight)
        for pair, block in self._gap_blocks.items():
            self._add_gap_products(block, pair, centred, found.get(pair[1]), step, gap_step, weight)
        for stack, product in self._gap_stacks.items():
            reading = self.layout.stacks[stack]
            if reading.target in found:
                product += self._gap_stack(centred, found[reading.target], reading)
            product += self._gap_shift(step, gap_step, weight, reading)
        self._gap_mean += gap_step * (n_b / (n_a + n_b))

    def _add_gap_columns(
        self, products: Array, squares: Array, step: Array, gap_step: Array, weight: float
    ) -> None:
        self._gap_products += products
        self._gap_products += weight * step * gap_step
        self._gap_squares += squares
        self._gap_squares += weight * gap_step * gap_step

    def _add_gap_products(
        self,
        block: Array,
        pair: Pair,
        centred: Array,
        gap: Gap | None,
        step: Array,
        gap_step: Array,
        weight: float,
    ) -> None:
        for rows, left, right in self._gap_panels(pair):
            if gap is None:
                part = torch.zeros(left.stop - left.start, block.shape[1], dtype=torch.float64)
            else:
                actual = torch.from_numpy(centred[gap.rows, left])
                part = torch.mm(actual.T, torch.from_numpy(gap.lost))
            self._add_part(block, rows, slice(None), part, weight, step[left], gap_step[right])

    def _gap_panels(self, pair: Pair) -> Iterator[tuple[slice, slice, slice]]:
        """Rows of a block, and its rows and columns in the response matrix, panel by panel."""
        a, b = (self.layout.slices[name] for name in pair)
        for rows in self._row_panels(a.stop - a.start):
            yield rows, slice(a.start + rows.start, a.start + rows.stop), b

    def _gap_stack(self, centred: Array, gap: Gap, reading: Reading) -> NDArray[np.float64]:
        parents, _ = self._stack_columns(reading)
        x = centred[gap.rows[:, None, None], parents].transpose(1, 2, 0)
        y = gap.lost[:, reading.children].transpose(1, 0, 2)
        return np.asarray(x @ y)

    def _gap_shift(self, step: Array, gap_step: Array, weight: float, reading: Reading) -> Array:
        parents, children = self._stack_columns(reading)
        return np.asarray(weight * (step[parents][:, :, None] * gap_step[children][:, None, :]))
