"""Half the width of the interval around a paired change, as it is said in one number."""

from __future__ import annotations

import math

from scipy.special import ndtri, stdtrit

from causal_widget.responses.paired import Paired

__all__ = ["half_width", "half_width_of_share"]


def half_width(pair: Paired, level: float = 0.95) -> float:
    """Give half the width of Student's interval of a mean change; NaN below two images."""
    return float(stdtrit(max(pair.n - 1, 1), 0.5 + level / 2) * pair.se)


def half_width_of_share(pair: Paired, level: float = 0.95) -> float:
    """Give half the width of the interval of a change of a share: each image goes up, down, or stays.

    Of n images b go up and c go down. By Student's interval there is no doubt where none moves, however few
    they are; the one of Agresti and Min (2005, "Simple improved confidence intervals for comparing
    matched proportions", Statistics in Medicine 24) adds half an image to each cell of the table:

        half = z sqrt(b + c + 1 - (b - c)**2 / (n + 2)) / (n + 2).

    The interval is said around the change itself, not around the slightly smaller ``(b - c) / (n + 2)``.
    NaN without images.
    """
    if not pair.n:
        return math.nan
    spread = 0.0 if math.isnan(pair.se) else pair.se**2 * pair.n * (pair.n - 1)
    moved = spread + pair.n * pair.change**2
    net = pair.n * pair.change
    return float(ndtri(0.5 + level / 2) * math.sqrt(moved + 1 - net**2 / (pair.n + 2)) / (pair.n + 2))
