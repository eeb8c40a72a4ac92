"""The images of each class, of a loader or a tensor, and which of them the network gets right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, DataError, UnknownNameError, nearest
from causal_widget.guard import floating_type
from causal_widget.responses import batches, check_range

__all__ = ["WRONG", "ClassImages", "check_class", "images_of_classes", "left_out"]

WRONG = ("use", "leave out")


@dataclass(frozen=True, eq=False)
class ClassImages:
    """Images of one class.

    Attributes
    ----------
    images : Tensor, shape (image, channel, height, width)
    index : int64 array (image,)
        Their numbers in the data.
    """

    images: Float[Tensor, "image channel height width"]
    index: Int64[np.ndarray, " image"]

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.images)


def check_class(target: object, classes: int, names: Sequence[str] | None = None) -> int:
    """Give a class by its number, or by its name where there are names.

    Raises
    ------
    UnknownNameError
        If there is no such class.
    """
    if isinstance(target, str) and names is not None:
        if target not in names:
            raise UnknownNameError(f'class "{target}" does not exist.{nearest(target, names)}')
        return list(names).index(target)
    whole = isinstance(target, int | np.integer) and not isinstance(target, bool)
    if not whole or not 0 <= int(target) < classes:  # type: ignore[call-overload]
        raise UnknownNameError(
            f"class {target!r:.40} does not exist: the network has classes 0 to {classes - 1}"
        )
    return int(target)  # type: ignore[call-overload, no-any-return]


def images_of_classes(
    model: nn.Module,
    images: Iterable[Any],
    targets: Sequence[int],
    classes: int,
    device: torch.device,
    most: int | None,
) -> dict[int, ClassImages]:
    """Gather the images of some classes in one pass.

    Parameters
    ----------
    model : nn.Module
        Says the type of its images.
    images : Tensor, pair (images, labels), or loader
        Without labels all are taken to be of the one class asked for.
    targets : sequence of int
        Which classes.
    classes : int
        How many there are.
    device : torch.device
        Where the images go.
    most : int, optional
        Keep so many of each class, the first; None: all.

    Raises
    ------
    DataError
        If a class has no image, or several are asked for and there are no labels.
    ArgumentError
        If `most` is no number from 1.
    """
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        raise ArgumentError(f"max_images must be a whole number from 1, got {most!r:.80}")
    kept: dict[int, list[Tensor]] = {k: [] for k in targets}
    index: dict[int, list[Tensor]] = {k: [] for k in targets}
    seen: set[int] = set()
    for batch in batches(images, device, dtype=floating_type(model)):
        check_range(batch.labels, batch.index, classes)
        if batch.labels is None and len(targets) > 1:
            raise DataError(f"images of {len(targets)} classes need labels, and batch {batch.index} has none")
        labels = batch.labels
        if labels is None:
            labels = torch.full((len(batch.images),), targets[0], device=batch.images.device)
        seen |= set(labels.unique().tolist())
        for k in targets:
            own = (labels == k).nonzero().flatten()
            kept[k].append(batch.images[own])
            index[k].append(batch.first + own.cpu())
    found = {k: _joined(kept[k], index[k], most) for k in targets}
    for k, one in found.items():
        if not one.n:
            raise DataError(f"there is no image of class {k}: the labels given are {sorted(seen)[:12]}")
    return found


def _joined(images: list[Tensor], index: list[Tensor], most: int | None) -> ClassImages:
    return ClassImages(torch.cat(images)[:most], torch.cat(index)[:most].numpy().astype(np.int64))


def left_out(
    given: ClassImages, logits: Float[np.ndarray, "image class"], target: int, wrong: str
) -> tuple[ClassImages, Float[np.ndarray, "image class"], int]:
    """Give the images to use, their logits, and how many of the given the network gets wrong.

    Raises
    ------
    UnknownNameError
        If the rule is none.
    DataError
        If no image is left.
    """
    if wrong not in WRONG:
        raise UnknownNameError(
            f'wrong="{wrong}" is not known; expected one of {", ".join(WRONG)}.{nearest(str(wrong), WRONG)}'
        )
    right = logits.argmax(1) == target
    if wrong == "use":
        return given, logits, int((~right).sum())
    if not right.any():
        raise DataError(
            f"the network gets all {given.n} images of class {target} wrong: leaving them out leaves none"
        )
    rows = np.flatnonzero(right)
    chosen = given.images[torch.as_tensor(rows, device=given.images.device)]
    return ClassImages(chosen, given.index[rows]), logits[rows], int((~right).sum())
