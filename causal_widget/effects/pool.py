"""The images of a plan: pass after pass the same ones, in parts that fit into memory, in a random order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from causal_widget.errors import DataError
from causal_widget.interventions.counter import bits
from causal_widget.responses import Batch, batches, check_range, count_images

__all__ = ["Part", "Pool", "digest", "keys_of"]

_SALT = 0x5A7E  # keeps the order apart from what actions draw by the same seed


@dataclass(frozen=True, eq=False)
class Part:
    """Images that are measured together.

    Attributes
    ----------
    number : int
        Which part of its pass, from 0.
    images : Tensor, shape (image, channel, height, width)
        Where the model runs.
    labels : int64 Tensor, shape (image,), or None
        Their classes.
    index : int64 Tensor, shape (image,)
        Their numbers in the loader.
    """

    number: int
    images: Float[Tensor, "image channel height width"]
    labels: Int[Tensor, " image"] | None
    index: Int[Tensor, " image"]

    @property
    def n(self) -> int:
        """How many images."""
        return len(self.images)

    def repeated(self, times: int) -> Int[Tensor, " item"] | None:
        """Give the labels so many times over."""
        return None if self.labels is None else self.labels.repeat(times)


class Pool:
    """A loader that is passed over several times, and must give the same images each time.

    Parameters
    ----------
    loader : iterable
        Batches of images, with or without labels.
    device, dtype : torch.device, torch.dtype or None
        Where images go, and their floating type.
    max_batches : int or None
        Stop after so many batches.
    classes : int
        Labels lie below it.
    first : str
        `digest` of the first batch when the work was planned.
    room : int
        Bytes in which images are kept between passes.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        device: torch.device,
        dtype: torch.dtype | None,
        max_batches: int | None,
        classes: int,
        first: str,
        room: int,
    ) -> None:
        self._loader, self._device, self._dtype = loader, device, dtype
        self._max_batches, self._classes, self._first, self._room = max_batches, classes, first, room
        self._kept: dict[int, tuple[Tensor, Tensor | None]] = {}
        self._complete = False
        self.n: int | None = None

    @property
    def expected(self) -> int | None:
        """How many images there are, as counted or as the loader tells; None where it does not."""
        return count_images(self._loader, self._max_batches) if self.n is None else self.n

    def batches(self) -> Iterator[Batch]:
        """Pass over the loader.

        The random state at the start of a pass is put back at its end, so that a loader which draws an order
        draws the same one in each pass.

        Raises
        ------
        DataError
            If the first batch is not the one seen when the work was planned, or the number of images is not
            that of the pass before.
        """
        seen, state = 0, torch.get_rng_state()
        try:
            for batch in batches(self._loader, self._device, self._max_batches, dtype=self._dtype):
                if batch.index == 0:
                    self._check_first(batch)
                check_range(batch.labels, batch.index, self._classes)
                yield batch
                seen += len(batch.images)
        finally:
            torch.set_rng_state(state)
        if self.n is not None and seen != self.n:
            raise DataError(
                f"the loader gave {self.n:,} images in one pass and {seen:,} in the next; expected the same "
                "images in the same order in every pass"
            )
        self.n = seen

    @property
    def device(self) -> torch.device:
        """Where images go."""
        return self._device

    def images(self) -> Iterator[Float[Tensor, "image channel height width"]]:
        """Pass over the images alone, batch by batch."""
        for batch in self.batches():
            yield batch.images

    def parts(self, size: int, keep: int | None = None) -> Iterator[Part]:
        """Pass over all images, in parts of at most `size`, none of which spans two batches.

        Parameters
        ----------
        size : int
            Images in a part.
        keep : int, optional
            A seed: the first images of its order are kept in memory as far as the room allows.
        """
        number, keeper = 0, None if keep is None or self._complete else _Keeper(keep, self._room)
        for batch in self.batches():
            for first in range(0, len(batch.images), size):
                part = _cut_out(batch, number, first, first + size)
                yield part
                number += 1
            if keeper is not None:
                keeper.see(batch)
        if keeper is not None:
            self._kept, self._complete = keeper.kept, True

    def chosen(self, numbers: Int64[np.ndarray, " image"], size: int) -> Iterator[Part]:
        """Give some images, in the order of their numbers, in parts of `size` and one rest.

        From memory where all are kept, else in one more pass over the loader; the parts are the same.
        """
        wanted = np.sort(np.asarray(numbers, dtype=np.int64))
        source = self._from_memory(wanted) if self._holds(wanted) else self._from_loader(wanted)
        held: list[tuple[int, Tensor, Tensor | None]] = []
        number = 0
        for one in source:
            held.append(one)
            if len(held) == size:
                yield self._stacked(held, number)
                held, number = [], number + 1
        if held:
            yield self._stacked(held, number)

    def order(self, seed: int) -> Int64[np.ndarray, " image"]:
        """Give the numbers of all images in a random order, that of their keys: drawn by (seed, number)."""
        if self.n is None:
            raise DataError("the images were not counted yet: the order is known after one pass")
        return np.argsort(keys_of(seed, np.arange(self.n)), kind="stable")

    def forget(self) -> None:
        """Let go of the images in memory."""
        self._kept, self._complete = {}, False

    def _check_first(self, batch: Batch) -> None:
        if digest(batch) != self._first:
            raise DataError(
                "the loader's first batch is another one than when the work was planned; expected the same "
                "images in the same order in every pass (no shuffling, no random augmentation)"
            )

    def _holds(self, wanted: Int64[np.ndarray, " image"]) -> bool:
        return all(int(number) in self._kept for number in wanted)

    def _from_memory(
        self, wanted: Int64[np.ndarray, " image"]
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        for number in wanted.tolist():
            yield (number, *self._kept[number])

    def _from_loader(
        self, wanted: Int64[np.ndarray, " image"]
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        for batch in self.batches():
            low, high = np.searchsorted(wanted, [batch.first, batch.first + len(batch.images)])
            for number in wanted[low:high].tolist():
                row = number - batch.first
                yield number, batch.images[row], None if batch.labels is None else batch.labels[row]

    def _stacked(self, held: list[tuple[int, Tensor, Tensor | None]], number: int) -> Part:
        images = torch.stack([image for _, image, _ in held]).to(self._device)
        labels = [label for _, _, label in held if label is not None]
        index = torch.tensor([i for i, _, _ in held], device=images.device)
        told = torch.stack(labels).to(images.device) if len(labels) == len(held) else None
        return Part(number, images, told, index)


class _Keeper:
    """Keeps the images whose keys are smallest."""

    def __init__(self, seed: int, room: int) -> None:
        self._seed, self._room = seed, room
        self._keys: dict[int, int] = {}
        self.kept: dict[int, tuple[Tensor, Tensor | None]] = {}

    def see(self, batch: Batch) -> None:
        numbers = batch.first + np.arange(len(batch.images))
        keys = keys_of(self._seed, numbers)
        each = batch.images[0].numel() * batch.images.element_size()
        most = self._room // max(each, 1)
        limit = max(self._keys.values()) if self._keys and len(self._keys) >= most else None
        for row, (number, key) in enumerate(zip(numbers.tolist(), keys.tolist(), strict=True)):
            if limit is None or key < limit:
                label = None if batch.labels is None else batch.labels[row].cpu()
                self._keys[number], self.kept[number] = key, (batch.images[row].cpu().clone(), label)
        for number in sorted(self._keys, key=self._keys.__getitem__)[most:]:
            del self._keys[number], self.kept[number]


def digest(batch: Batch) -> str:
    """Give a hash of a batch's images and labels."""
    found = hashlib.sha256(str((tuple(batch.images.shape), batch.images.dtype)).encode())
    found.update(_bytes(batch.images))
    if batch.labels is not None:
        found.update(_bytes(batch.labels))
    return found.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


def keys_of(seed: int, numbers: Int64[np.ndarray, " image"]) -> Int64[np.ndarray, " image"]:
    """Give the keys of images by number; in a random order the smallest come first."""
    drawn = bits(seed, [torch.tensor(_SALT), torch.as_tensor(numbers)])
    return np.asarray(drawn.numpy(), dtype=np.int64)


def _cut_out(batch: Batch, number: int, first: int, end: int) -> Part:
    images = batch.images[first:end]
    labels = None if batch.labels is None else batch.labels[first:end]
    index = batch.first + first + torch.arange(len(images), device=images.device)
    return Part(number, images, labels, index)
