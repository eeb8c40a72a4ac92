"""Local maxima and minima of a map."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

__all__ = ["local_extrema"]


def local_extrema(values: Float64[np.ndarray, "h w"]) -> list[tuple[int, int, float]]:
    """Give (row, column, value) of the local extrema, the largest absolute value first.

    A positive number that none of its up to eight neighbours exceeds is a maximum; a negative one that none
    undercuts, a minimum: the map's local extrema of absolute value, each on its own side. Of a flat top only
    the first position counts. A map of zeros has its first position.
    """
    if not values.any():
        return [(0, 0, 0.0)]
    high = (values > 0) & (values >= ndimage.maximum_filter(values, size=3, mode="nearest"))
    low = (values < 0) & (values <= ndimage.minimum_filter(values, size=3, mode="nearest"))
    found = []
    for kind in (high, low):
        tops, count = ndimage.label(kind, structure=np.ones((3, 3)))
        firsts = np.unique(tops, return_index=True)[1][1:] if (tops == 0).any() else [0]
        found += [divmod(int(first), values.shape[1]) for first in firsts] if count else []
    strongest = sorted(found, key=lambda at: (-abs(values[at]), at))
    return [(y, x, float(values[y, x])) for y, x in strongest]
