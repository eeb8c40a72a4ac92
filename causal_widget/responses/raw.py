"""The raw responses of every image of a pass, kept for equations that moments are not enough for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from causal_widget.errors import ArgumentError, OrderError
from causal_widget.graph import FilterGraph
from causal_widget.responses.forcing import columns_of
from causal_widget.responses.layout import Layout, layout_of
from causal_widget.responses.randomised import Draw, RandomInterventions
from causal_widget.responses.response_set import ResponseSet
from causal_widget.responses.split import HELD_OUT
from causal_widget.responses.tables import LIMIT, ResponseTable

__all__ = ["RawResponses", "RawTables", "raw_bytes"]

DTYPE = np.dtype(np.float32)


def raw_bytes(
    graph: FilterGraph,
    n_images: int,
    *,
    components: Mapping[str, int] | None = None,
    interventional: bool = False,
) -> int:
    """Return how many bytes the raw responses of so many images take, in float32.

    Parameters
    ----------
    graph
        The network's layers.
    n_images
        How many images.
    components
        Columns a unit, by layer; None for one.
    interventional
        Whether the responses under random interventions are kept as well: twice as much.
    """
    return n_images * layout_of(graph, components).total * DTYPE.itemsize * (2 if interventional else 1)


@dataclass(frozen=True, eq=False)
class RawResponses:
    """Responses of every image, in memory or, beyond 64 MB, memory-mapped.

    Attributes
    ----------
    observational
        The network's responses as it is, with labels and indices.
    interventional
        Its actual responses to the same images under random interventions; None where none were made.
    fold
        (image,), the fold of each training image; -1 for images held out.
    randomised
        What was drawn; `draw` draws it again.
    graph, layout
        Layers, and the columns of their responses.
    """

    observational: ResponseSet
    interventional: ResponseSet | None
    fold: Int64[np.ndarray, " image"] = field(repr=False)
    graph: FilterGraph = field(repr=False)
    layout: Layout = field(repr=False)
    randomised: RandomInterventions | None = None

    @property
    def n_images(self) -> int:
        """How many images."""
        return len(self.fold)

    @property
    def labels(self) -> Int64[np.ndarray, " image"] | None:
        """(image,), the true classes; None where any is missing."""
        return self.observational.labels

    @property
    def heldout(self) -> Bool[np.ndarray, " image"]:
        """(image,), whether equations are judged on the image instead of fitted on it."""
        return np.asarray(self.fold == HELD_OUT)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        arms = 1 if self.interventional is None else 2
        return self.n_images * self.layout.total * DTYPE.itemsize * arms

    def draw(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_] = slice(None)) -> Draw:
        """Return which units were set for the images of some rows.

        Raises
        ------
        OrderError
            There were no interventions.
        """
        if self.randomised is None:
            raise OrderError("there are no interventional responses: collect with intervene=0.1")
        assert self.observational.index is not None
        return self.randomised.draw(self.graph, self.observational.index[rows])

    def natural(self, layer: str) -> Float[np.ndarray, "image column"]:
        """Return what the interventional rows are for a layer as a child: an array of its own.

        The actual responses, but where units of this layer were set those that they have without.

        Raises
        ------
        OrderError
            There were no interventions.
        UnknownNameError
            There is no such layer.
        """
        draw = self.draw()
        assert self.interventional is not None
        answer = np.array(self.interventional[layer])
        if layer in draw.layers:
            rows = np.flatnonzero(draw.layer == draw.layers.index(layer))
            changed = columns_of(draw.units[rows], self.graph.layer(layer), self.layout)
            answer[rows] = np.where(changed, self.observational[layer][rows], answer[rows])
        return answer

    def __repr__(self) -> str:
        arms = "" if self.interventional is None else ", with interventions"
        return f"RawResponses({self.n_images:,} images{arms}, {self.nbytes / 1e6:.1f} MB)"


class RawTables:
    """The tables of a pass as they grow.

    Parameters
    ----------
    graph, layout
        Layers, and the columns of their responses.
    randomised
        What is drawn, if anything.
    n_images
        How many images there will be, where the loader tells.
    folder
        Where the files go; None takes the system's temporary folder.

    Raises
    ------
    ArgumentError
        The tables will be larger than what is free on the disk.
    """

    def __init__(
        self,
        graph: FilterGraph,
        layout: Layout,
        randomised: RandomInterventions | None,
        n_images: int | None,
        folder: str | Path | None,
    ) -> None:
        self._graph, self._layout, self._randomised = graph, layout, randomised
        self.nbytes = None if n_images is None else n_images * self._bytes_an_image
        _refuse_beyond(self.nbytes, folder)
        self._observational = ResponseTable(folder=folder, dtype=DTYPE)
        self._interventional = None if randomised is None else ResponseTable(folder=folder, dtype=DTYPE)
        self._folds: list[Int64[np.ndarray, " image"]] = []
        self._labels: list[Int64[np.ndarray, " image"] | None] = []

    @property
    def _bytes_an_image(self) -> int:
        return self._layout.total * DTYPE.itemsize * (1 if self._randomised is None else 2)

    @property
    def size(self) -> str:
        """How large the tables will be, in words."""
        if self.nbytes is None:
            return f"raw responses of {self._bytes_an_image:,} bytes an image"
        return f"raw responses of {self.nbytes / 1e6:,.1f} MB"

    def add(
        self,
        fold: Int64[np.ndarray, " image"],
        labels: Int64[np.ndarray, " image"] | None,
        observational: Float[np.ndarray, "image column"],
        interventional: Float[np.ndarray, "image column"] | None,
    ) -> None:
        """Append a batch."""
        first = self._observational.n_images
        self._observational(self._by_layer(observational), first)
        if self._interventional is not None:
            assert interventional is not None
            self._interventional(self._by_layer(interventional), first)
        self._folds.append(fold)
        self._labels.append(labels)

    def result(self) -> RawResponses | None:
        """Return what was kept so far; None before the first batch."""
        if not self._folds:
            return None
        fold = np.concatenate(self._folds)
        labels = [part for part in self._labels if part is not None]
        known = np.concatenate(labels) if len(labels) == len(self._labels) else None
        output, index = self._graph.output.name, np.arange(len(fold))
        seen = ResponseSet(_rows(self._observational, len(fold)), output, known, index)
        forced = None
        if self._interventional is not None:
            forced = ResponseSet(_rows(self._interventional, len(fold)), output, known, index)
        return RawResponses(seen, forced, fold, self._graph, self._layout, self._randomised)

    def _by_layer(self, rows: Float[np.ndarray, "image column"]) -> dict[str, NDArray[np.floating]]:
        return {name: rows[:, columns] for name, columns in self._layout.slices.items()}


class _Rows(Mapping[str, NDArray[np.floating]]):
    """The first rows of a table that may go on growing; holds the table, whose files end with it."""

    def __init__(self, table: ResponseTable, n_rows: int) -> None:
        self._table, self._n_rows = table, n_rows

    def __getitem__(self, layer: str) -> NDArray[np.floating]:
        return self._table[layer][: self._n_rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def _rows(table: ResponseTable, n_rows: int) -> _Rows:
    return _Rows(table, n_rows)


def _refuse_beyond(needed: int | None, folder: str | Path | None) -> None:
    place = Path(tempfile.gettempdir() if folder is None else folder)
    if not place.is_dir():
        raise ArgumentError(f"raw is {str(folder)!r}, which is no folder; expected True, False or a folder")
    if needed is None or needed <= LIMIT:
        return
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ArgumentError(
            f"the raw responses need {needed:,} bytes, and {free:,} are free in {place}. Give raw= a folder "
            "on a larger disk, collect fewer images, or fit a linear estimator, which needs none."
        )
