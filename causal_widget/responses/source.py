"""Where responses came from, so that more of them can be read the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from causal_widget.devices import resolve_device
from causal_widget.errors import ArgumentError, DataError, nearest
from causal_widget.graph import FilterGraph, trace
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.jobs import Progress
from causal_widget.responses.layout import Layout, layout_of
from causal_widget.responses.loaders import Batch, batches, check_range, count_images
from causal_widget.responses.probe import probe
from causal_widget.responses.reader import ResponseReader
from causal_widget.responses.response_set import ResponseSet
from causal_widget.responses.split import Split
from causal_widget.responses.tables import ResponseTable
from causal_widget.responses.transforms import MapFunction, Transform, get_transform

__all__ = ["PARTS", "Source", "read_responses", "refuse_shuffling"]

PARTS = ("train", "heldout")
SHUFFLING = (
    torch.utils.data.RandomSampler,
    torch.utils.data.SubsetRandomSampler,
    torch.utils.data.WeightedRandomSampler,
)


@dataclass(frozen=True, eq=False)
class Source:
    """A model, its images, and how its responses are read.

    Attributes
    ----------
    model, loader
        The user's model and the images that were collected over.
    graph
        The model's layers and wirings.
    transform, site
        Phi, with what it learned from the images, and where activations are read.
    device
        Where the model runs; None leaves it where it is.
    holdout, folds, seed
        How the loader's images are split.
    max_batches
        How many of the loader's batches are read; None for all.
    """

    model: nn.Module = field(repr=False)
    loader: Any = field(repr=False)
    graph: FilterGraph = field(repr=False)
    transform: Transform
    site: str = "activation"
    device: str | torch.device | None = None
    holdout: float = 0.0
    seed: int = 0
    max_batches: int | None = None
    folds: int = 1

    @property
    def split(self) -> Split:
        """How the loader's images are split."""
        return Split(self.holdout, self.folds, self.seed)

    def read(
        self,
        images: Tensor | Iterable[Any] | None = None,
        *,
        part: str | None = None,
        max_images: int | None = None,
        progress: Progress | None = None,
    ) -> ResponseSet:
        """Run the network and return its responses, image by image.

        Parameters
        ----------
        images
            One image (channel, height, width), a batch of them or a loader; None reads the source's own
            loader again.
        part
            "train" or "heldout": only those images of the loader; None for all.
        max_images
            Stop after so many images (of that part); None for all.
        progress
            Told the number of images done; asked whether to stop.

        Raises
        ------
        DataError, NonFiniteError
            The images are not what was expected; the part holds none; or a part is asked for of a loader that
            shuffles, whose images have other numbers in every pass.
        UnknownNameError, ArgumentError
            There is no such part.
        """
        chosen = self.loader if images is None else images
        return read_responses(
            self.model,
            chosen,
            graph=self.graph,
            transform=self.transform,
            site=self.site,
            device=self.device,
            max_batches=self.max_batches if images is None else None,
            split=self.split,
            part=part,
            max_images=max_images,
            progress=progress,
        )


def read_responses(
    model: nn.Module,
    loader: Tensor | Iterable[Any],
    *,
    graph: FilterGraph | None = None,
    transform: str | Transform | MapFunction = "frobenius",
    site: str = "activation",
    device: str | torch.device | None = None,
    max_batches: int | None = None,
    split: Split | None = None,
    part: str | None = None,
    max_images: int | None = None,
    progress: Progress | None = None,
) -> ResponseSet:
    """Run a model over images and return every unit's response to every image.

    In memory up to 64 MB, memory-mapped beyond. Parameters and errors as `Source.read` and `collect`; `split`
    is how `part` is cut.
    """
    wanted, told = _wanted(loader, split, part), progress or Progress()
    network = bare(model)
    where, images = resolve_device(device, network), _as_batches(loader)
    with guarded(network, where):
        known, chosen = graph, _Chosen(wanted, max_images)
        reading: _Reading | None = None
        told.start(count_images(images, max_batches), "images", "reading")
        for batch in batches(images, where, max_batches, dtype=floating_type(network)):
            told.check()
            if reading is None:
                known = known or trace(network, batch.images[:1])
                reading = _Reading(network, known, get_transform(transform), site, batch.images[:1])
            check_range(batch.labels, batch.index, reading.graph.output.units)
            reading.add(batch, chosen.of(batch))
            told.advance(len(batch.images))
            if chosen.enough:
                break
        told.finish()
    assert reading is not None
    return reading.result(part)


class _Chosen:
    """Which images of each batch are wanted."""

    def __init__(self, split: tuple[Split, bool] | None, most: int | None) -> None:
        if most is not None and most < 1:
            raise ArgumentError(
                f"max_images is {most!r:.80}; expected a whole number from 1, or None for all"
            )
        self._split, self._left = split, most

    def of(self, batch: Batch) -> Int64[np.ndarray, " image"]:
        """Return positions within the batch."""
        index = np.arange(batch.first, batch.first + len(batch.images))
        rows = np.arange(len(index))
        if self._split is not None:
            split, heldout = self._split
            rows = rows[split.held_out(index) == heldout]
        if self._left is not None:
            rows = rows[: self._left]
            self._left -= len(rows)
        return rows

    @property
    def enough(self) -> bool:
        return self._left == 0


class _Reading:
    """Responses, labels and numbers of the images so far."""

    def __init__(
        self, model: nn.Module, graph: FilterGraph, transform: Transform, site: str, image: Tensor
    ) -> None:
        self.graph = graph
        self._layout = layout_of(graph, probe(model, graph, transform, site, image).components)
        self._reader = ResponseReader(model, graph, self._layout, transform, site)
        self._table: ResponseTable | None = None
        self._labels: list[Int64[np.ndarray, " image"]] = []
        self._index: list[Int64[np.ndarray, " image"]] = []
        self._labelled = True

    def add(self, batch: Batch, rows: Int64[np.ndarray, " image"]) -> None:
        """Run the network on the chosen images of a batch."""
        if not len(rows):
            return
        whole = len(rows) == len(batch.images)
        chosen = torch.from_numpy(rows).to(batch.images.device)
        with self._reader.reading():
            found = self._reader.read(batch.images if whole else batch.images[chosen], batch.index)
        if self._table is None:
            self._table = ResponseTable(dtype=found.dtype)
        self._table(by_layer(self._layout, found), self._table.n_images)
        self._index.append(rows + batch.first)
        if batch.labels is None:
            self._labelled = False
        else:
            self._labels.append(batch.labels[chosen].cpu().numpy())

    def result(self, part: str | None) -> ResponseSet:
        """Return them as one value."""
        if self._table is None:
            raise DataError(f'none of the images is in the part "{part}"; collect with holdout= above 0')
        labels = np.concatenate(self._labels) if self._labelled else None
        return ResponseSet(self._table, self.graph.output.name, labels, np.concatenate(self._index))


def by_layer(layout: Layout, rows: np.ndarray[Any, Any]) -> Mapping[str, np.ndarray[Any, Any]]:
    """Cut a matrix of responses, all layers side by side, into its layers."""
    return {name: rows[:, columns] for name, columns in layout.slices.items()}


def _wanted(loader: object, split: Split | None, part: str | None) -> tuple[Split, bool] | None:
    if part is None:
        return None
    if part not in PARTS:
        raise ArgumentError(
            f"part is {part!r:.80}; expected one of {PARTS}, or None.{nearest(str(part), PARTS)}"
        )
    refuse_shuffling(loader, f'its part "{part}"')
    return (split or Split(0.0)), part == "heldout"


def refuse_shuffling(loader: object, what: str) -> None:
    """Refuse to find images again in a loader that gives them in another order every time.

    Raises
    ------
    DataError
        The loader draws its order at random.
    """
    samplers = [getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    samplers.append(getattr(samplers[-1], "sampler", None))
    if any(isinstance(sampler, SHUFFLING) for sampler in samplers):
        raise DataError(
            f"the loader shuffles, so {what} cannot be found again: an image has another number in every "
            "pass. Collect and read with a loader that does not (shuffle=False)."
        )


def _as_batches(images: Tensor | Iterable[Any]) -> Any:
    return images[None] if isinstance(images, Tensor) and images.ndim == 3 else images
