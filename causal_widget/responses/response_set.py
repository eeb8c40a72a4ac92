"""The responses of some images, layer by layer, with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from causal_widget.errors import DataError, UnknownNameError, nearest
from causal_widget.responses.evaluation import Evaluation

__all__ = ["ResponseSet"]


@dataclass(frozen=True, eq=False)
class ResponseSet(Mapping[str, NDArray[np.floating]]):
    """Responses of every unit for every image, in memory or memory-mapped.

    Attributes
    ----------
    layers
        By layer in forward order: (image, column), a column a unit (times the components of a vector-valued
        transform, unit by unit).
    output
        The layer whose responses are the logits.
    labels
        (image,), the true classes, or None.
    index
        (image,), each image's number in the loader that it was read from.
    """

    layers: Mapping[str, Float[np.ndarray, "image column"]] = field(repr=False)
    output: str
    labels: Int[np.ndarray, " image"] | None = field(repr=False, default=None)
    index: Int[np.ndarray, " image"] | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        counts = {name: len(part) for name, part in self.layers.items()}
        if self.output not in counts:
            raise DataError(f'the responses have no layer "{self.output}", which is said to be the output')
        if len(set(counts.values())) > 1:
            raise DataError(f"the layers have responses of different numbers of images: {counts}")
        if self.labels is not None and len(self.labels) != self.n_images:
            raise DataError(f"there are {len(self.labels)} labels for {self.n_images} images")

    def __getitem__(self, layer: str) -> Float[np.ndarray, "image column"]:
        """Give a layer's responses."""
        if layer not in self.layers:
            raise UnknownNameError(f'there are no responses of layer "{layer}".{nearest(layer, self.layers)}')
        return self.layers[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        known = "no labels" if self.labels is None else "with labels"
        return f"ResponseSet({self.n_images:,} images, {len(self)} layers, {known})"

    @property
    def n_images(self) -> int:
        """How many images."""
        return len(self.layers[self.output])

    def evaluation(self, class_names: tuple[str, ...] | None = None) -> Evaluation:
        """Give what the network itself answers on these images."""
        logits = np.asarray(self[self.output], dtype=np.float64)
        names = class_names or tuple(map(str, range(logits.shape[1])))
        labels = None if self.labels is None else np.asarray(self.labels, dtype=np.int64)
        return Evaluation(logits, labels, names)

    def take(self, chosen: slice | NDArray[np.integer] | NDArray[np.bool_]) -> ResponseSet:
        """Give the responses of some of the images."""
        return ResponseSet(
            {name: part[chosen] for name, part in self.layers.items()},
            self.output,
            None if self.labels is None else self.labels[chosen],
            None if self.index is None else self.index[chosen],
        )
