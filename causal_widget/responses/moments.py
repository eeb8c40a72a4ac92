"""Mergeable moments of responses: all that linear equations need, whatever the number of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from torch import Tensor

from causal_widget.errors import ArgumentError, OrderError
from causal_widget.responses.layout import Layout, Pair, Reading

PANEL = 256
DEAD = 1e-7
Array = NDArray[np.float64]
Stack = tuple[str, int]


class Moments:
    """Count, means, centred squares, and centred cross-products where an equation needs them, in float64.

    Two sets of moments are merged by the pairwise formula of Chan, Golub and LeVeque (1983, "Algorithms for
    Computing the Sample Variance", eq. 2.1; for cross-products Pebay 2008, SAND2008-6212, eq. 3.7). For parts
    a and b with counts n_a, n_b, means m_a, m_b, centred products S_a, S_b and d = m_b - m_a:

        m = m_a + d n_b / n,    S = S_a + S_b + d d' n_a n_b / n,    n = n_a + n_b.

    `update` is the merge with the moments of one batch, so the same batches merged in the same order give the
    same bits, in one process or in several.

    Parameters
    ----------
    layout
        Layers, and the blocks of cross-products to keep.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.count = 0
        self._mean = np.zeros(layout.total)
        self._squares = np.zeros(layout.total)
        self._blocks: dict[Pair, Array] = {}
        self._stacks: dict[Stack, tuple[Array, Array]] = {}

    def __repr__(self) -> str:
        """Say the size."""
        return (
            f"Moments({self.count:,} images, {self.layout.total:,} units, {self.layout.bytes / 1e6:.1f} MB)"
        )

    def update(self, batch: Mapping[str, Float64[np.ndarray, "image unit"]]) -> None:
        """Add the responses of a batch of images, given layer by layer.

        Raises
        ------
        ArgumentError
            A layer is missing or has another number of units or images.
        """
        self.update_matrix(self._side_by_side(batch))

    def update_matrix(self, responses: Float64[np.ndarray, "image column"], *, consume: bool = False) -> None:
        """Add the responses of a batch of images, all layers side by side in the layout's order.

        With `consume` the array is centred in place, which spares a copy as large as itself.
        """
        if len(responses):
            self._add_centred(*centred_columns(responses, consume))

    def _add_centred(self, centred: Array, mean: Array) -> None:
        n_a, n_b = self.count, len(centred)
        step, weight = mean - self._mean, n_a * n_b / (n_a + n_b)
        self._squares += np.einsum("ij,ij->j", centred, centred)
        self._squares += weight * step * step
        self.reserve()
        for pair, block in self._blocks.items():
            self._add_products(block, centred, step, weight, pair)
        for stack, (among, across) in self._stacks.items():
            self._add_stack(among, across, centred, step, weight, self.layout.stacks[stack])
        self._mean += step * (n_b / (n_a + n_b))
        self.count = n_a + n_b

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both parts' images; neither part changes.

        Raises
        ------
        ArgumentError
            The other moments are of another layout.
        """
        self._check_alike(other)
        if not self.count:
            return other.copy()
        both = self.copy()
        if not other.count:
            return both
        n = self.count + other.count
        step, weight = other._mean - self._mean, self.count * other.count / n
        both._squares += other._squares
        both._squares += weight * step * step
        for pair, block in both._blocks.items():
            self._add_block(block, other._blocks[pair], step, weight, pair)
        for stack, mine in both._stacks.items():
            for product, shift, theirs in zip(
                mine,
                self._stack_shift(step, weight, self.layout.stacks[stack]),
                other._stacks[stack],
                strict=True,
            ):
                product += theirs
                product += shift
        both._mean += step * (other.count / n)
        both.count = n
        return both

    def _check_alike(self, other: Moments) -> None:
        if type(other) is not type(self):
            raise ArgumentError(
                f"{type(other).__name__} cannot be merged into {type(self).__name__}: observational and "
                "interventional responses are kept apart."
            )
        if other.layout.widths != self.layout.widths or other.layout.pairs != self.layout.pairs:
            raise ArgumentError(
                "Moments of different networks cannot be merged: their layers or wirings differ."
            )

    def copy(self) -> Moments:
        """Return independent moments with the same content."""
        twin = Moments(self.layout)
        self._copy_into(twin)
        return twin

    def _copy_into(self, twin: Moments) -> None:
        twin.count, twin._mean, twin._squares = self.count, self._mean.copy(), self._squares.copy()
        twin._blocks = {pair: block.copy() for pair, block in self._blocks.items()}
        twin._stacks = {stack: (a.copy(), b.copy()) for stack, (a, b) in self._stacks.items()}

    def mean(self, layer: str) -> Float64[np.ndarray, " unit"]:
        """Return the mean response of each unit of a layer."""
        self._require()
        return self._mean[self.layout.slices[layer]].copy()

    def variance(self, layer: str) -> Float64[np.ndarray, " unit"]:
        """Return the variance (divided by the number of images) of each unit of a layer."""
        self._require()
        return self._squares[self.layout.slices[layer]] / self.count

    def child_mean(self, layer: str) -> Float64[np.ndarray, " unit"]:
        """Return the mean of each unit as a child: of what its own equation describes.

        Of observational moments that is the mean; of interventional ones the mean of natural responses.
        """
        return self.mean(layer)

    def child_variance(self, layer: str) -> Float64[np.ndarray, " unit"]:
        """Return the variance of each unit as a child; see `child_mean`."""
        return self.variance(layer)

    def child_dead(self, layer: str) -> Bool[np.ndarray, " unit"]:
        """Return which units of a layer have no variance as children; see `dead` and `child_mean`."""
        return self.child_variance(layer) <= (DEAD * self.child_mean(layer)) ** 2

    def dead(self, layer: str) -> Bool[np.ndarray, " unit"]:
        """Return which units of a layer have no variance.

        A deviation below 1e-7 of the mean is rounding of single precision responses, not variance.
        """
        return self.variance(layer) <= (DEAD * self.mean(layer)) ** 2

    def covariance(self, a: str, b: str) -> Float64[np.ndarray, "unit_a unit_b"]:
        """Return the covariances (divided by the number of images) of two layers' units.

        Raises
        ------
        OrderError
            Nothing has been collected, or no equation needs this pair and it was not kept.
        """
        return self.products(a, b) / self.count

    def products(self, a: str, b: str) -> Float64[np.ndarray, "unit_a unit_b"]:
        """Return the centred cross-products of two layers' units: covariances times the number of images."""
        self._require()
        if (a, b) in self._blocks:
            block = self._blocks[a, b]
            return _mirrored(block) if a == b else block
        if (b, a) in self._blocks:
            return self._blocks[b, a].T
        raise OrderError(
            f"The cross-products of {a!r} and {b!r} were not collected: no dense equation needs them."
        )

    def among(self, reading: Reading) -> Float64[np.ndarray, "parent parent"]:
        """Return the centred products among a single group's parents."""
        blocks = [[self.products(a, b) for b in reading.sources] for a in reading.sources]
        whole = np.block(blocks) if len(blocks) > 1 else blocks[0][0]
        return whole if reading.full else whole[np.ix_(reading.parents[0], reading.parents[0])]

    def across(self, reading: Reading) -> Float64[np.ndarray, "parent child"]:
        """Return the centred products of a single group's parents with its children."""
        whole = np.concatenate([self._across(source, reading.target) for source in reading.sources])
        return whole if reading.full else whole[np.ix_(reading.parents[0], reading.children[0])]

    def _across(self, source: str, target: str) -> Array:
        """Return the centred products of a source's columns with a target's, these as children."""
        return self.products(source, target)

    def stack(
        self, target: str, index: int
    ) -> tuple[Float64[np.ndarray, "g p p"], Float64[np.ndarray, "g p c"]]:
        """Return the centred products of a reading with several groups, group by group."""
        self._require()
        return self._stacks[target, index]

    def _require(self) -> None:
        if not self.count:
            raise OrderError("These moments hold no image yet: collect first.")

    def _side_by_side(self, batch: Mapping[str, Array]) -> Array:
        columns = []
        for name, width in self.layout.widths.items():
            if name not in batch:
                raise ArgumentError(f"The batch has no responses of layer {name!r}.")
            found = np.asarray(batch[name], dtype=np.float64)
            if found.ndim != 2 or found.shape[1] != width:
                raise ArgumentError(
                    f"Layer {name!r} has responses of shape {found.shape}; "
                    f"expected (image, unit) with {width} units."
                )
            columns.append(found)
        if len({len(column) for column in columns}) > 1:
            raise ArgumentError("The layers of the batch have different numbers of images.")
        return np.concatenate(columns, axis=1)

    def reserve(self) -> None:
        """Take all the memory that these moments will ever need, now and not half-way through the images."""
        if self._blocks or self._stacks:
            return
        widths = self.layout.widths
        self._blocks = {(a, b): np.full((widths[a], widths[b]), 0.0) for a, b in self.layout.pairs}
        for key, reading in self.layout.stacks.items():
            (groups, parents), children = reading.parents.shape, reading.children.shape[1]
            among, across = (groups, parents, parents), (groups, parents, children)
            self._stacks[key] = (np.full(among, 0.0), np.full(across, 0.0))

    def _panels(self, pair: Pair) -> Iterator[tuple[slice, slice, slice, slice]]:
        """Rows and columns of a block, panel by panel: in the block, then in the response matrix.

        Of a symmetric block only the panels on and above the diagonal are kept up to date, which halves the
        work; panels bound the memory that a product takes.
        """
        a, b = (self.layout.slices[name] for name in pair)
        height, width = a.stop - a.start, b.stop - b.start
        for rows in self._row_panels(height):
            left = rows.start if pair[0] == pair[1] else 0
            yield (
                rows,
                slice(left, width),
                slice(a.start + rows.start, a.start + rows.stop),
                slice(b.start + left, b.stop),
            )

    @staticmethod
    def _row_panels(height: int) -> Iterator[slice]:
        for start in range(0, height, PANEL):
            yield slice(start, min(start + PANEL, height))

    def _add_products(self, block: Array, centred: Array, step: Array, weight: float, pair: Pair) -> None:
        """Add a batch's products by torch, whose threads the forward pass uses as well."""
        whole = torch.from_numpy(centred)
        for rows, columns, left, right in self._panels(pair):
            part = torch.mm(whole[:, left].T, whole[:, right])
            self._add_part(block, rows, columns, part, weight, step[left], step[right])

    def _add_block(self, block: Array, other: Array, step: Array, weight: float, pair: Pair) -> None:
        """Add another part's products, in the order in which `_add_products` adds a batch's."""
        for rows, columns, left, right in self._panels(pair):
            part = torch.from_numpy(other[rows, columns].copy())
            self._add_part(block, rows, columns, part, weight, step[left], step[right])

    @staticmethod
    def _add_part(
        block: Array, rows: slice, columns: slice, part: Tensor, weight: float, left: Array, right: Array
    ) -> None:
        """Add one panel's products and the shift of its means in one pass over the block."""
        if weight:
            part.addr_(torch.from_numpy(left), torch.from_numpy(right), alpha=weight)
        torch.from_numpy(block)[rows, columns].add_(part)

    def _add_stack(
        self, among: Array, across: Array, centred: Array, step: Array, weight: float, reading: Reading
    ) -> None:
        parents, children = self._stack_columns(reading)
        x, y = centred[:, parents].transpose(1, 2, 0), centred[:, children].transpose(1, 0, 2)
        among += x @ x.transpose(0, 2, 1)
        across += x @ y
        if weight:
            for product, shift in zip((among, across), self._stack_shift(step, weight, reading), strict=True):
                product += shift

    def _stack_shift(self, step: Array, weight: float, reading: Reading) -> tuple[Array, Array]:
        parents, children = self._stack_columns(reading)
        x, y = step[parents], step[children]
        return weight * (x[:, :, None] * x[:, None, :]), weight * (x[:, :, None] * y[:, None, :])

    def _stack_columns(self, reading: Reading) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Columns of a stacked reading's parents and children in the response matrix."""
        slices = self.layout.slices
        columns = np.concatenate([np.arange(slices[s].start, slices[s].stop) for s in reading.sources])
        return columns[reading.parents], reading.children + slices[reading.target].start


def centred_columns(responses: Array, consume: bool) -> tuple[Array, Array]:
    """Return the rows less their mean, and the mean; with `consume` the rows themselves are centred."""
    centred = responses if consume else np.array(responses, dtype=np.float64)
    mean = centred.mean(axis=0)
    centred -= mean
    return centred, mean


def _mirrored(block: Array) -> Array:
    """Fill the lower triangle of a block whose panels are kept on and above the diagonal."""
    full = np.triu(block)
    return np.asarray(full + np.triu(block, 1).T)
