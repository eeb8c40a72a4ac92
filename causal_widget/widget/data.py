"""The images a widget shows and measures effects on, read from the person's loader and kept while small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causal_widget.errors import DataError
from causal_widget.guard import guarded
from causal_widget.jobs import Progress
from causal_widget.responses import batches

KEPT_BYTES = 512 * 2**20
NO_IMAGES = (
    "no images were given: write CausalWidget(explainer, images=loader) to collect responses, "
    "measure effects and see heatmaps"
)


class Kept(list[Any]):
    """Batches in memory that say how many images they hold, as a `DataLoader` does."""

    @property
    def batch_size(self) -> int:
        """Images in the first batch."""
        return self._lengths()[0] if self else 1

    @property
    def dataset(self) -> range:
        """One number an image."""
        return range(sum(self._lengths()))

    def _lengths(self) -> list[int]:
        return [len(batch if isinstance(batch, Tensor) else batch[0]) for batch in self]


@dataclass(frozen=True)
class Strip:
    """The first images of the loader.

    Attributes
    ----------
    images : Tensor, shape (image, channel, height, width)
        As the model takes them, on the CPU.
    labels : Tensor or None, shape (image,)
        Their classes, where the loader gives them.
    """

    images: Float[Tensor, "image channel height width"]
    labels: Int[Tensor, " image"] | None

    def loader(self) -> Kept:
        """Give the strip as a loader of one batch."""
        return Kept([self.images if self.labels is None else (self.images, self.labels)])


class ImageData:
    """Reads the loader with fixed random numbers, so that a shuffled one gives the same images each time.

    Parameters
    ----------
    loader : iterable or None
        The person's loader.
    model : nn.Module
        Its guard also keeps the random state of the process.
    n_strip : int
        Images in the strip.
    n_effect : int, optional
        At most so many images for effects.
    kept_bytes : int
        At most so many bytes of images for effects are kept; more are not used.
    """

    def __init__(
        self,
        loader: Iterable[Any] | None,
        model: nn.Module,
        n_strip: int = 12,
        n_effect: int | None = None,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        if isinstance(loader, Iterator):
            raise DataError(
                f"images can be read only once ({type(loader).__name__}); expected something that can be "
                "read again: a DataLoader, a list of batches or a tensor"
            )
        self.loader = loader
        self._model = model
        self._n_strip = n_strip
        self._n_effect = n_effect
        self._kept_bytes = kept_bytes
        self._evaluation: tuple[int, Kept] | None = None
        self.strip = None if loader is None else self._read_strip()

    @property
    def given(self) -> Iterable[Any]:
        """The loader.

        Raises
        ------
        DataError
            If none was given.
        """
        if self.loader is None:
            raise DataError(NO_IMAGES)
        return self.loader

    @property
    def shown(self) -> Strip:
        """The strip.

        Raises
        ------
        DataError
            If no loader was given.
        """
        if self.strip is None:
            raise DataError(NO_IMAGES)
        return self.strip

    def evaluation(self, max_batches: int, progress: Progress) -> Kept:
        """Give the images that effects are measured on, as a loader that can be run again and again.

        Parameters
        ----------
        max_batches : int
            At most so many batches, 0 for all.
        progress : Progress
            Told while they are read.
        """
        if self._evaluation is None or self._evaluation[0] != max_batches:
            self._evaluation = (max_batches, self._read(max_batches, progress))
        return self._evaluation[1]

    def _read(self, max_batches: int, progress: Progress) -> Kept:
        kept = Kept()
        room, left = self._kept_bytes, self._n_effect
        with guarded(self._model):
            torch.manual_seed(0)
            progress.start(left, "images", "reading images")
            for batch in batches(self.given, max_batches=max_batches or None):
                n = len(batch.images) if left is None else min(left, len(batch.images))
                size = batch.images.nbytes
                if (kept and size > room) or n == 0:
                    break
                images = batch.images[:n].cpu()
                kept.append(images if batch.labels is None else (images, batch.labels[:n].cpu()))
                room -= size
                left = None if left is None else left - n
                progress.advance(n)
        return kept

    def _read_strip(self) -> Strip:
        images: list[Tensor] = []
        labels: list[Tensor | None] = []
        with guarded(self._model):
            torch.manual_seed(0)
            for batch in batches(self.given):
                images.append(batch.images.cpu())
                labels.append(None if batch.labels is None else batch.labels.cpu())
                if sum(map(len, images)) >= self._n_strip:
                    break
        known = [part for part in labels if part is not None]
        both = torch.cat(known)[: self._n_strip] if len(known) == len(labels) else None
        return Strip(torch.cat(images)[: self._n_strip].clone(), None if both is None else both.clone())
