"""First-order estimates that are needed again: those of the images that come first in the order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from causal_widget.effects.pool import keys_of

__all__ = ["Remembered"]

SHARE = 4  # of the budget: a checkpoint writes it every time


@dataclass(eq=False)
class Remembered:
    """Estimates of those images that come first in a random order, as many as there is room for.

    What is remembered depends on the images alone, not on how often they were told of.

    Attributes
    ----------
    seed : int
        Of the order.
    index : array of int, shape (row,)
        The image of each row; -1: none yet.
    values : mapping of layer name to array of float32, shape (row, question, column)
    changed : mapping of layer name to array of bool, shape (row, question)
        Where an edit changes anything.
    hardness : array, shape (row,)
        Of each image, see `hardness`.
    """

    seed: int
    index: Int64[np.ndarray, " row"]
    values: dict[str, Float32[np.ndarray, "row question column"]]
    changed: dict[str, Bool[np.ndarray, "row question"]]
    hardness: Float64[np.ndarray, " row"]

    def __post_init__(self) -> None:
        self._rows = {int(image): row for row, image in enumerate(self.index) if image >= 0}
        self._keys = keys_of(self.seed, self.index)

    @staticmethod
    def empty(
        seed: int, shapes: Mapping[str, tuple[int, ...]], budget: int, images: int | None
    ) -> Remembered:
        """Give room for the estimates of some images; shapes (question, column) by layer, budget in bytes."""
        each = sum(4 * math.prod(shape) + shape[0] for shape in shapes.values()) + 8
        rows = budget // SHARE // max(each, 1)
        rows = rows if images is None else min(rows, images)
        values = {layer: np.zeros((rows, *shape), np.float32) for layer, shape in shapes.items()}
        changed = {layer: np.zeros((rows, shape[0]), bool) for layer, shape in shapes.items()}
        return Remembered(seed, np.full(rows, -1, np.int64), values, changed, np.zeros(rows))

    def see(
        self,
        index: Int64[np.ndarray, " image"],
        found: Mapping[str, Float64[np.ndarray, "image question column"]],
        changed: Mapping[str, Bool[np.ndarray, "image question"]],
        hardness: Float64[np.ndarray, " image"],
    ) -> None:
        """Remember the estimates of some images, and forget those of images that come later in the order."""
        taken, rows, keys = [], [], keys_of(self.seed, index).tolist()
        for k, (image, key) in enumerate(zip(index.tolist(), keys, strict=True)):
            row = self._rows.get(image, self._place(key))
            if row is None:
                continue
            self._rows.pop(int(self.index[row]), None)
            self._rows[image], self.index[row], self._keys[row] = row, image, key
            taken.append(k)
            rows.append(row)
        for layer, values in self.values.items():  # a row that was taken twice ends with what came last
            values[rows] = found[layer][taken]
            self.changed[layer][rows] = changed[layer][taken]
        self.hardness[rows] = hardness[taken]

    def _place(self, key: int) -> int | None:
        """Give a row that is free, or that of the last image in the order if this one comes before it."""
        if len(self._rows) < len(self.index):
            return len(self._rows)
        if not len(self.index):
            return None
        last = int(self._keys.argmax())
        return last if key < self._keys[last] else None

    def knows(self, index: Int64[np.ndarray, " image"]) -> bool:
        """Whether the estimates of all these images are there."""
        return all(image in self._rows for image in index.tolist())

    def whole(self, images: int) -> bool:
        """Whether the estimates of so many images, which are all, are there."""
        return len(self._rows) == images == len(self.index)

    def rows(self) -> Int64[np.ndarray, " image"]:
        """Give the row of each image where all are there."""
        return np.argsort(self.index)

    def of_all(self, layer: str) -> Float64[np.ndarray, "image question column"]:
        """Give the estimates of a layer's questions on all images, in their order, where all are there."""
        return np.asarray(self.values[layer][self.rows()], np.float64)

    def estimates(
        self, index: Int64[np.ndarray, " image"], layer: str, where: Bool[np.ndarray, " question"]
    ) -> Float64[np.ndarray, "image question column"]:
        """Give the estimates of some questions of a layer on images that are all there."""
        rows = np.array([self._rows[image] for image in index.tolist()], np.int64)
        return self.values[layer][np.ix_(rows, np.flatnonzero(where))].astype(np.float64)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give everything but the seed as arrays by name."""
        found: dict[str, NDArray[np.generic]] = {"index": self.index, "hardness": self.hardness}
        for layer, values in self.values.items():
            found |= {f"values/{layer}": values, f"changed/{layer}": self.changed[layer]}
        return found

    @staticmethod
    def from_arrays(seed: int, arrays: Mapping[str, NDArray[np.generic]]) -> Remembered:
        """Make what `arrays` gave."""
        values, changed = (
            {name.removeprefix(kind): one for name, one in arrays.items() if name.startswith(kind)}
            for kind in ("values/", "changed/")
        )
        plain: Any = (arrays["index"], values, changed, arrays["hardness"])
        return Remembered(seed, *plain)
