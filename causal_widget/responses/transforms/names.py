"""Transforms by name."""

from __future__ import annotations

import re

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.responses.transforms.base import MapFunction, Transform
from causal_widget.responses.transforms.binary import Binary
from causal_widget.responses.transforms.custom import Custom
from causal_widget.responses.transforms.frobenius_norm import Frobenius
from causal_widget.responses.transforms.grid import Grid
from causal_widget.responses.transforms.maximum import Maximum
from causal_widget.responses.transforms.parts import Parts
from causal_widget.responses.transforms.signed_mean import Mean
from causal_widget.responses.transforms.variance import SpatialVariance

__all__ = ["TRANSFORMS", "get_transform"]

_KNOWN: tuple[Transform, ...] = (
    Frobenius(),
    Mean(),
    Maximum(),
    SpatialVariance(),
    Binary(),
    Binary("variance"),
    Grid(2),
    Grid(3),
    Grid(4),
    Parts(),
)
_OWN = Frobenius | Mean | Maximum | SpatialVariance | Binary | Grid | Parts | Custom
TRANSFORMS: dict[str, Transform] = {one.name: one for one in _KNOWN}


def get_transform(transform: str | Transform | MapFunction) -> Transform:
    """Return the transform of that name, or wrap a callable.

    Parameters
    ----------
    transform
        A name in ``TRANSFORMS`` or "grid5", "grid6", ..., or a function
        (image, unit, height, width) -> (image, unit[, k]).

    Raises
    ------
    UnknownNameError
        No transform has that name; the message carries the nearest one.
    ArgumentError
        Neither a name nor a callable.
    """
    if isinstance(transform, str):
        return _named(transform)
    if isinstance(transform, _OWN):
        return transform
    if not callable(transform):
        raise ArgumentError(
            f"transform is {type(transform).__name__} {transform!r}; expected a name or a callable "
            "(image, unit, height, width) -> (image, unit[, k])."
        )
    name = getattr(transform, "name", None) or getattr(transform, "__name__", type(transform).__name__)
    return Custom(transform, str(name))


def _named(name: str) -> Transform:
    if name in TRANSFORMS:
        return TRANSFORMS[name]
    grid = re.fullmatch(r"grid([1-9]\d{0,3})", name)
    if grid is not None:
        return Grid(int(grid[1]))
    known = ", ".join(sorted(TRANSFORMS))
    raise UnknownNameError(f"There is no transform {name!r} (known: {known}).{nearest(name, TRANSFORMS)}")
