"""Raw responses of every image: in memory while they are few, in memory-mapped files beyond."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike, NDArray

from causal_widget.errors import ArgumentError, DataError, OrderError, UnknownNameError, nearest

LIMIT = 64 * 1024 * 1024


class ResponseTable(Mapping[str, NDArray[np.floating]]):
    """A growing table of responses, layer by layer; a sink for `collect`.

    Rows are appended in the order of the images. Up to `limit` bytes in all they are in memory, in buffers
    that double; beyond, in one file a layer that is appended to and read through a memory map. The files are
    removed when the table is closed or forgotten.

    Parameters
    ----------
    limit
        Bytes, all layers together, beyond which rows go to files.
    folder
        Where the temporary folder is made; None takes the system's.
    dtype
        Type of the rows kept.
    """

    def __init__(
        self, limit: int = LIMIT, folder: str | Path | None = None, dtype: DTypeLike = np.float32
    ) -> None:
        self._limit, self._parent, self._dtype = limit, folder, np.dtype(dtype)
        self._memory: dict[str, NDArray[np.floating]] = {}
        self._widths: dict[str, int] = {}
        self._rows = 0
        self._folder: Path | None = None
        self._closed = False

    def __call__(self, responses: Mapping[str, Float[np.ndarray, "image unit"]], first: int) -> None:
        """Append a batch.

        Raises
        ------
        DataError
            The batch does not follow on the last one, or its layers differ.
        OrderError
            The table is closed.
        """
        self._check_open()
        if first != self._rows:
            raise DataError(
                f"The batch begins with image {first}; expected image {self._rows}, which is next."
            )
        widths = {name: part.shape[1] for name, part in responses.items()}
        if not self._widths:
            self._widths = widths
        if widths != self._widths:
            raise DataError(f"The batch has layers and units {widths}; expected {self._widths}.")
        n_images = len(next(iter(responses.values()))) if responses else 0
        if self._folder is None and self._bytes_of(self._rows + n_images) > self._limit:
            self._spill()
        for name, part in responses.items():
            self._append(name, np.ascontiguousarray(part, dtype=self._dtype))
        self._rows += n_images

    def __getitem__(self, layer: str) -> Float[np.ndarray, "image unit"]:
        """Return a layer's responses, read-only: (image, unit)."""
        self._check_open()
        if layer not in self._widths:
            raise UnknownNameError(f"The table has no layer {layer!r}.{nearest(layer, self._widths)}")
        shape = (self._rows, self._widths[layer])
        if self._folder is None:
            found = self._memory[layer][: self._rows]
        else:
            found = np.memmap(self._file(layer), dtype=self._dtype, mode="r", shape=shape)
        found.flags.writeable = False
        return found

    def __iter__(self) -> Iterator[str]:
        """Iterate over the layers' names."""
        return iter(self._widths)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self._widths)

    def __enter__(self) -> ResponseTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Say how much is where."""
        if self._closed:
            return "ResponseTable(closed)"
        place = f"mapped files in {self._folder}" if self._folder else "memory"
        return (
            f"ResponseTable({self._rows:,} images, {len(self)} layers, {self.nbytes / 1e6:.1f} MB in {place})"
        )

    @property
    def n_images(self) -> int:
        """Rows so far."""
        return self._rows

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        return self._bytes_of(self._rows)

    @property
    def mapped(self) -> bool:
        """Whether the rows are in files."""
        return self._folder is not None

    def close(self) -> None:
        """Forget the rows and remove the files."""
        self._closed = True
        self._memory.clear()
        if self._folder is not None:
            self._remove()
            self._folder = None

    def _check_open(self) -> None:
        if self._closed:
            raise OrderError("The table of responses is closed; collect again.")

    def _bytes_of(self, rows: int) -> int:
        return rows * sum(self._widths.values()) * self._dtype.itemsize

    def _append(self, name: str, part: NDArray[np.floating]) -> None:
        if self._folder is not None:
            self._write(name, part)
            return
        buffer, needed = self._memory.get(name), self._rows + len(part)
        if buffer is None or needed > len(buffer):
            grown = np.empty((max(needed, 2 * self._rows), part.shape[1]), self._dtype)
            if buffer is not None:
                grown[: self._rows] = buffer[: self._rows]
            self._memory[name] = buffer = grown
        buffer[self._rows : needed] = part

    def _spill(self) -> None:
        """Move what is in memory to files."""
        folder = tempfile.mkdtemp(prefix="causal_widget_", dir=self._parent)
        self._folder = Path(folder)
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for name, buffer in self._memory.items():
            self._write(name, buffer[: self._rows])
        self._memory.clear()

    def _write(self, name: str, part: NDArray[np.floating]) -> None:
        assert self._folder is not None
        free = shutil.disk_usage(self._folder).free
        if part.nbytes > free:
            raise ArgumentError(
                f"The responses of layer {name!r} need {part.nbytes:,} more bytes, and {free:,} are free in "
                f"{self._folder}. Give folder= on a larger disk, or keep no raw responses."
            )
        with self._file(name).open("ab") as file:
            part.tofile(file)

    def _file(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{list(self._widths).index(name)}.bin"
