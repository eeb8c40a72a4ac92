"""The least effect that matters: a number in the outcome's unit, or a share of a scale."""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from causal_widget.effects.statistics.checks import Array, check_positive
from causal_widget.errors import ArgumentError

__all__ = ["minimum_effect"]


def minimum_effect(asked: object, scale: ArrayLike | None = None) -> Array:
    """Give the least effect that matters, in the outcome's unit.

    Parameters
    ----------
    asked : number, array or str
        From 0, in the outcome's unit, for all questions or one each; or ``"2%"``, a share of `scale`.
    scale : number or array, optional
        What a share is of: the mean logit without an intervention; its size counts, not its sign.

    Raises
    ------
    ArgumentError
        If it is neither, or a share without a scale other than 0.
    """
    if isinstance(asked, Real):
        return np.asarray(check_positive(asked, "min_effect", zero=True))
    if isinstance(asked, np.ndarray) and asked.dtype.kind in "iuf":
        for number in asked.flat:
            check_positive(float(number), "min_effect", zero=True)
        return asked.astype(np.float64)
    share = _share(asked)
    if scale is None:
        raise ArgumentError(f'min_effect="{asked}" is a share of the mean logit: give scale, or a number')
    size = np.abs(np.asarray(scale, dtype=np.float64))
    if not (np.isfinite(size).all() and (size > 0).all()):
        raise ArgumentError(
            f'min_effect="{asked}": a share needs a finite scale other than 0, got {scale!r:.80}'
        )
    return np.asarray(share * size)


def _share(asked: object) -> float:
    number = asked.strip().removesuffix("%") if isinstance(asked, str) and "%" in asked else ""
    try:
        share = float(number) / 100
    except ValueError as wrong:
        raise ArgumentError(
            f'min_effect must be a number in the outcome\'s unit or a share like "2%", got {asked!r:.80}'
        ) from wrong
    return check_positive(share, "min_effect", zero=True)
