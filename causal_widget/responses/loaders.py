"""Batches of images from whatever a person calls a loader, checked before the model sees them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from causal_widget.errors import ArgumentError, DataError, NonFiniteError

EXPECTED = (
    "expected (images, labels), (images, labels, ...), a dict with 'image' and optionally 'label', "
    "or images alone: a tensor of shape (image, channel, height, width)"
)
IMAGE_KEYS = ("image", "images")
LABEL_KEYS = ("label", "labels")
SLICE = 128


@dataclass(frozen=True)
class Batch:
    """A checked batch of images.

    Attributes
    ----------
    images
        (image, channel, height, width), on the device that was asked for.
    labels
        (image,), class numbers as int64 on the same device, or None.
    index
        Number of the batch, from 0.
    first
        Index of its first image in the pass over the loader.
    """

    images: Float[Tensor, "image channel height width"]
    labels: Int[Tensor, " image"] | None
    index: int
    first: int


def batches(
    loader: Iterable[Any],
    device: torch.device | None = None,
    max_batches: int | None = None,
    *,
    classes: int | None = None,
    dtype: torch.dtype | None = None,
) -> Iterator[Batch]:
    """Yield the loader's batches, each checked.

    Parameters
    ----------
    loader
        An iterable of batches: (x, y), (x, y, ...), {"image": x, "label": y} or x alone; also a single tensor
        of images or one (images, labels) pair of tensors, which are cut into batches.
    device, dtype
        Where images go and their floating type; None leaves them.
    max_batches
        Stop after so many batches.
    classes
        Number of classes; labels must lie in 0 .. classes - 1.

    Raises
    ------
    DataError
        Empty loader, a batch of unsupported type, images of another size or channel count than the first
        batch's, labels of the wrong shape, type or range, or a loader that raises (the original is its
        cause).
    NonFiniteError
        NaN or infinity in an image.
    """
    if max_batches is not None and (not isinstance(max_batches, Integral) or max_batches < 1):
        raise ArgumentError(
            f"max_batches is {max_batches!r:.80}; expected a whole number from 1, or None for all batches."
        )
    first, expected = 0, None
    for index, raw in enumerate(_raw_batches(loader, max_batches)):
        images, labels = _split(raw, index)
        expected = _check_images(images, index, expected)
        labels = _check_labels(labels, len(images), index, classes)
        images = images.to(device=device, dtype=dtype)
        yield Batch(images, None if labels is None else labels.to(images.device), index, first)
        first += len(images)
    if expected is None:
        hint = (
            " It is a one-shot iterator: an earlier pass used it up?" if isinstance(loader, Iterator) else ""
        )
        raise DataError(f"The loader is empty: it yielded no batch of images.{hint}")


def first_images(loader: Iterable[Any]) -> Float[Tensor, "image channel height width"]:
    """Return the images of the first batch; every random state stays as it was.

    Raises
    ------
    DataError
        As `batches`; also for a one-shot iterator, whose first batch would be lost to the next pass.
    """
    if isinstance(loader, Iterator):
        raise DataError(
            f"The loader is a one-shot iterator ({type(loader).__name__}): looking at it loses a batch. "
            "Expected something that can be iterated again: a DataLoader, a list of batches or a tensor."
        )
    with _random_state_kept():
        return next(batches(loader, max_batches=1)).images


def count_images(loader: Iterable[Any], max_batches: int | None = None) -> int | None:
    """Return how many images a pass will see, or None where the loader does not tell."""
    if isinstance(loader, Tensor):
        return _cut(len(loader), SLICE, max_batches)
    if _is_pair(loader):
        return _cut(len(loader[0]), SLICE, max_batches)  # type: ignore[index]
    size = getattr(loader, "batch_size", None)
    sampler = getattr(loader, "sampler", None)
    if isinstance(size, int) and hasattr(sampler, "__len__") and hasattr(loader, "__len__"):
        total = len(loader) * size if getattr(loader, "drop_last", False) else len(sampler)  # type: ignore[arg-type]
        return _cut(total, size, max_batches)
    if isinstance(loader, list | tuple):
        return sum(_size(raw) for raw in loader[:max_batches])
    return None


def _cut(total: int, size: int, max_batches: int | None) -> int:
    return total if max_batches is None else min(total, size * max_batches)


def _size(raw: Any) -> int:
    if isinstance(raw, Mapping):
        raw = next((raw[key] for key in IMAGE_KEYS if key in raw), None)
    elif isinstance(raw, list | tuple):
        raw = raw[0] if raw else None
    return len(raw) if isinstance(raw, Tensor) and raw.ndim else 0


def _is_pair(loader: object) -> bool:
    """Whether this is one (images, labels) pair of tensors and not a sequence of batches."""
    return (
        isinstance(loader, tuple)
        and len(loader) == 2
        and all(isinstance(part, Tensor) for part in loader)
        and loader[0].ndim == 4
        and loader[1].ndim == 1
    )


def _raw_batches(loader: Any, max_batches: int | None) -> Iterator[Any]:
    """Iterate; what the loader itself raises becomes a DataError that says at which batch."""
    index = 0
    try:
        source = iter(_sliced(loader))
    except TypeError as error:
        raise DataError(
            f"The loader is {type(loader).__name__}, which cannot be iterated; {EXPECTED}."
        ) from error
    while max_batches is None or index < max_batches:
        try:
            raw = next(source)
        except StopIteration:
            return
        except Exception as error:
            raise DataError(f"The loader raised {type(error).__name__} at batch {index}: {error}") from error
        yield raw
        index += 1


def _sliced(loader: Any) -> Iterable[Any]:
    if isinstance(loader, Tensor) and loader.ndim:
        return list(torch.split(loader, SLICE))
    if _is_pair(loader):
        images, labels = loader
        if len(images) != len(labels):
            raise DataError(
                f"The loader has {len(images)} images and {len(labels)} labels; expected as many."
            )
        return list(zip(torch.split(images, SLICE), torch.split(labels, SLICE), strict=True))
    if isinstance(loader, str | bytes | Mapping):
        raise DataError(
            f"The loader is {type(loader).__name__}; expected an iterable of batches, each {EXPECTED[9:]}."
        )
    source: Iterable[Any] = loader
    return source


def _split(raw: Any, index: int) -> tuple[Tensor, Any]:
    """Take images and labels out of a batch."""
    labels = None
    if isinstance(raw, Mapping):
        images = next((raw[key] for key in IMAGE_KEYS if key in raw), None)
        labels = next((raw[key] for key in LABEL_KEYS if key in raw), None)
        if images is None:
            keys = ", ".join(repr(key) for key in raw)
            raise DataError(f"Batch {index} is a dict with the keys {keys or '(none)'}; {EXPECTED}.")
    elif isinstance(raw, list | tuple):
        if not raw:
            raise DataError(f"Batch {index} is an empty {type(raw).__name__}; {EXPECTED}.")
        images, labels = raw[0], raw[1] if len(raw) > 1 else None
    else:
        images = raw
    if not isinstance(images, Tensor):
        raise DataError(f"Batch {index} has images of type {type(images).__name__}; {EXPECTED}.")
    return images, labels


def _check_images(images: Tensor, index: int, expected: tuple[int, ...] | None) -> tuple[int, ...]:
    if images.ndim != 4:
        raise DataError(
            f"Batch {index} has images of shape {tuple(images.shape)}; "
            "expected (image, channel, height, width)."
        )
    if len(images) == 0:
        raise DataError(f"Batch {index} is empty: shape {tuple(images.shape)}.")
    if not images.is_floating_point():
        raise DataError(
            f"Batch {index} has images of type {images.dtype}; "
            "expected floating point, scaled as the model was trained."
        )
    shape = tuple(images.shape[1:])
    if expected is not None and shape != expected:
        raise DataError(
            f"Batch {index} has images of (channel, height, width) = {shape}; "
            f"expected {expected} as in batch 0."
        )
    finite = torch.isfinite(images)
    if not bool(finite.all()):
        bad = int((~finite.flatten(1).all(1)).nonzero()[0, 0])
        raise NonFiniteError(
            f"Batch {index} has NaN or infinity in image {bad} of the batch; expected finite values."
        )
    return shape


def _check_labels(labels: Any, n_images: int, index: int, classes: int | None) -> Tensor | None:
    if labels is None:
        return None
    try:
        answer = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"Batch {index} has labels of type {type(labels).__name__}; expected one class number an image."
        ) from error
    if answer.ndim == 2 and answer.shape[1] == 1:
        answer = answer[:, 0]
    if answer.shape != (n_images,):
        raise DataError(
            f"Batch {index} has labels of shape {tuple(answer.shape)} for {n_images} images; "
            f"expected one class number an image: ({n_images},)."
        )
    if answer.is_floating_point() or answer.is_complex() or answer.dtype == torch.bool:
        raise DataError(f"Batch {index} has labels of type {answer.dtype}; expected whole class numbers.")
    answer = answer.long()
    check_range(answer, index, classes)
    return answer


def check_range(labels: Tensor | None, index: int, classes: int | None) -> None:
    """Refuse labels outside 0 .. classes - 1.

    Raises
    ------
    DataError
        Names the batch and the label.
    """
    if labels is None:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (classes is not None and high >= classes):
        bad = low if low < 0 else high
        allowed = f"0 to {classes - 1}" if classes is not None else "0 or more"
        if classes == 1:
            allowed += ", because the network has one output: give it one for each class (of a binary "
            allowed += "classifier, the logits 0 and z)"
        raise DataError(f"Batch {index} has the label {bad}; expected {allowed}.")


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Put the global generators back, from which a DataLoader draws seeds and orders."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 (it is the global state that is kept)
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
