"""The moments of one kind of data, observational or interventional, cut into folds and a held-out part."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, reduce

from causal_widget.errors import OrderError
from causal_widget.responses.layout import Layout
from causal_widget.responses.moments import Moments

__all__ = ["Arm"]


@dataclass(frozen=True, eq=False)
class Arm:
    """Moments of the training images, fold by fold, and of the images held out.

    Folds are cut by a hash of each image's index, so a cross-validation needs no second pass: to leave fold f
    out, merge the others.

    Attributes
    ----------
    folds
        Moments of each fold of the training images; some may hold no image.
    heldout
        Moments of the images that equations are judged on; None where none were held out.
    """

    folds: tuple[Moments, ...] = field(repr=False)
    heldout: Moments | None = field(repr=False, default=None)

    def __post_init__(self) -> None:
        if not self.folds:
            raise OrderError("these moments have no fold of training images; expected at least one")

    @cached_property
    def train(self) -> Moments:
        """The moments of all training images: the folds merged in their order, once."""
        return reduce(lambda a, b: a.merge(b), self.folds)

    @property
    def layout(self) -> Layout:
        """The columns and blocks of these moments."""
        return self.folds[0].layout

    @property
    def n_train(self) -> int:
        """How many training images."""
        return sum(fold.count for fold in self.folds)

    @property
    def count(self) -> int:
        """How many images in all."""
        return self.n_train + (0 if self.heldout is None else self.heldout.count)

    def __repr__(self) -> str:
        apart = 0 if self.heldout is None else self.heldout.count
        return f"Arm({self.n_train:,} images in {len(self.folds)} folds, {apart:,} held out)"
