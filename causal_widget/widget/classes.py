"""The graphs of classes that a widget has found, and the one that it is finding."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.evaluation.class_graphs import RepairCurve
from causal_widget.explanations.class_graphs import ClassGraph, LayerUnits
from causal_widget.widget.data import Kept

# of a class's images so many are left to judge a repair on, where there are enough
FOR_REPAIR = 0.25
USUAL_IMAGES = 200


@dataclass(frozen=True, eq=False)
class Chosen:
    """The images of one class to find its graph on, and all others.

    Attributes
    ----------
    target : int
        The class.
    images : Tensor, shape (image, channel, height, width)
        The first of the class.
    available : int
        Images of the class.
    rest : Kept
        All other images with their labels, those of the class included that are not used.
    """

    target: int
    images: Float[Tensor, "image channel height width"]
    available: int
    rest: Kept

    @property
    def held(self) -> tuple[int, int]:
        """Images left of the class, and of all others."""
        own = self.available - len(self.images)
        return own, len(self.rest.dataset) - own


@dataclass(frozen=True, eq=False)
class Explained:
    """A class, as far as its graph is found.

    Attributes
    ----------
    chosen : Chosen
        Its images.
    name, mode : str
    layers : dict of layer name to LayerUnits
        What was found of the layers so far.
    graph : ClassGraph or None
        The whole graph, once it is there.
    curve : RepairCurve or None
        What blocking its detrimental units does, once that was measured.
    """

    chosen: Chosen
    name: str
    mode: str
    layers: dict[str, LayerUnits] = field(default_factory=dict)
    graph: ClassGraph | None = None
    curve: RepairCurve | None = None


class Classes:
    """Graphs by class; they are of one state of the weights, and forgotten with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[int, Explained] = {}
        self._weights: Hashable = None
        self.current: Explained | None = None
        self.version = 1

    def at(self, weights: Hashable) -> Classes:
        """Forget everything if the weights are others."""
        with self._lock:
            if weights != self._weights:
                self.version += bool(self._found)
                self._weights, self._found, self.current = weights, {}, None
        return self

    @property
    def found(self) -> dict[int, Explained]:
        """The classes that have a graph, in the order in which they were found."""
        with self._lock:
            return dict(self._found)

    def __getitem__(self, target: int) -> Explained:
        """Give a class that has a graph.

        Raises
        ------
        UnknownNameError
            If it has none.
        """
        found = self.found
        if target not in found:
            raise UnknownNameError(f"class {target} has no graph yet; those that have: {sorted(found)}")
        return found[target]

    def show(self, current: Explained | None) -> None:
        """Take what is found of the class that is being explained."""
        with self._lock:
            self.current = current
            self.version += 1

    def keep(self, one: Explained) -> None:
        """Take a finished graph, or one with its repair measured."""
        with self._lock:
            self._found.pop(one.chosen.target, None)
            self._found[one.chosen.target] = one
            self.current = None
            self.version += 1

    def repaired(self, target: int, curve: RepairCurve) -> None:
        """Take what a repair does."""
        self.keep(replace(self[target], curve=curve))


def usual(available: int, least: int) -> int:
    """Say how many of a class's images to use: enough for a verdict, and some left to judge a repair on."""
    return min(available, USUAL_IMAGES, max(least, round((1 - FOR_REPAIR) * available)))


def choose(kept: Kept, target: int, n: int | None, least: int) -> Chosen:
    """Take a class's first images, and leave the others.

    Parameters
    ----------
    kept : Kept
        The widget's images.
    target : int
        The class.
    n : int or None
        How many images at most; None: the usual number.
    least : int
        As many as a verdict takes.

    Raises
    ------
    DataError
        If the images have no labels, or none is of the class.
    ArgumentError
        If no image is to be used.
    """
    if n == 0:
        raise ArgumentError("images must be 1 or more, got 0")
    if any(isinstance(batch, Tensor) for batch in kept):
        raise DataError("the images have no labels, by which a class's images are told from others")
    images, labels = (torch.cat([batch[k] for batch in kept]) for k in (0, 1))
    own = (labels == target).nonzero().flatten()
    if not len(own):
        known = labels.unique().tolist()[:12]
        raise DataError(f"there is no image of class {target}: the labels given are {known}")
    used = own[: usual(len(own), least) if n is None else n]
    others = torch.ones(len(labels), dtype=torch.bool)
    others[used] = False
    rest = Kept(zip(images[others].split(_batch(kept)), labels[others].split(_batch(kept)), strict=True))
    return Chosen(target, images[used], len(own), rest)


def _batch(kept: Kept) -> int:
    return max(1, kept.batch_size)
