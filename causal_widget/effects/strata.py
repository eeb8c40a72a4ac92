"""Images on which effects are large are drawn more often: there the estimates are wrong by most, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from causal_widget.effects.evidence import ControlledEvidence, Evidence, StratifiedEvidence
from causal_widget.effects.remembered import Remembered

__all__ = ["Strata"]

CUTS = (0.5, 0.7, 0.82, 0.91, 0.97)  # shares of the images below each stratum but the first
LEAST = 25  # images of a stratum
EXACT = 96  # exact images with which each stratum has some
EVEN = 0.1  # of the exact images are drawn evenly


@dataclass(frozen=True, eq=False)
class Strata:
    """The images by how much they are expected to move, and an order that draws more of those that move much.

    The first stratum is the half of the images with the least `size`, the last those 3 % with the largest;
    of few images, fewer strata.

    Attributes
    ----------
    remembered : Remembered
        The first-order estimates of all images.
    stratum : array of int, shape (image,)
        The stratum of each image.
    order : array of int, shape (image,)
        In which images are drawn: within each stratum at random, and of the strata by `allocation`, in every
        beginning of the order.
    """

    remembered: Remembered
    stratum: Int64[np.ndarray, " image"]
    order: Int64[np.ndarray, " image"]

    @staticmethod
    def of(
        remembered: Remembered | None, images: int, exact: int, order: Int64[np.ndarray, " image"]
    ) -> Strata | None:
        """Put images in strata; None where estimates are not remembered of all, or there are too few.

        Parameters
        ----------
        remembered : Remembered, optional
        images, exact : int
            How many there are, and of how many effects will be exact at least.
        order : array of int, shape (image,)
            Random, by the seed.
        """
        cuts = [cut for cut in CUTS if images * (1 - cut) >= LEAST]
        few = len(cuts) < 2 or exact < EXACT
        if few or remembered is None or not remembered.whole(images):
            return None
        hard = np.lexsort((remembered.hardness[remembered.rows()], size(remembered)))
        stratum = np.zeros(images, np.int64)
        stratum[hard] = np.searchsorted(np.array(cuts) * images, np.arange(images), side="right")
        shares = allocation(remembered, stratum)
        return Strata(remembered, stratum, interleaved(order, stratum, shares))

    @property
    def count(self) -> int:
        """How many strata there are."""
        return int(self.stratum.max()) + 1

    def grouped(self, evidence: Mapping[str, Evidence]) -> dict[str, Evidence]:
        """Give the evidence in strata; what is so already stays."""
        rows = self.remembered.rows()
        found: dict[str, Evidence] = {}
        for layer, known in evidence.items():
            found[layer] = known
            if isinstance(known, ControlledEvidence):
                cheap = self.remembered.of_all(layer)
                changed = self.remembered.changed[layer][rows]
                found[layer] = StratifiedEvidence.of(cheap, changed, self.stratum, self.count)
        return found


def size(remembered: Remembered) -> Float64[np.ndarray, " image"]:
    """Say how much each image is expected to move under all questions together.

    The root of the mean square over questions of the estimates, each over its spread over images. What the
    estimates leave follows it more closely than the image's own loss does.
    """
    squares = np.zeros(len(remembered.index))
    for layer in remembered.values:
        cheap = remembered.of_all(layer)
        spread = cheap.std(axis=0)
        squares += ((cheap / np.where(spread > 0, spread, 1.0)) ** 2).sum(axis=(1, 2))
    return np.sqrt(squares)


def allocation(
    remembered: Remembered, stratum: Int64[np.ndarray, " image"]
) -> Float64[np.ndarray, " stratum"]:
    """Give the share of exact images that each stratum has.

    For one question the variance is least with shares in proportion to ``W_h S_h``, S_h the standard
    deviation in a stratum of what is left to measure (Neyman 1934), ``e - c g``. Its spread follows that of
    the estimates g, but differs less from stratum to stratum: on filters of a ResNet-32, whose residuals were
    measured on 10,000 images, about as the square root. So S_h is the root of the estimates' standard
    deviation; the shares are means over questions, and a part is drawn evenly, for where that is wrong.
    """
    sizes = np.bincount(stratum) / len(stratum)
    count, shares = len(sizes), np.zeros(len(sizes))
    for layer in remembered.values:
        cheap = remembered.of_all(layer)
        spread = np.sqrt(np.stack([cheap[stratum == h].std(axis=0) for h in range(count)]))
        parts = sizes[:, None, None] * spread
        total = parts.sum(axis=0)
        shares += (parts / np.where(total > 0, total, 1.0)).sum(axis=(1, 2))
    best = shares / shares.sum() if shares.sum() > 0 else sizes
    return np.asarray(EVEN * sizes + (1 - EVEN) * best)


def interleaved(
    order: Int64[np.ndarray, " image"],
    stratum: Int64[np.ndarray, " image"],
    shares: Float64[np.ndarray, " stratum"],
) -> Int64[np.ndarray, " image"]:
    """Give an order in which each stratum has its share of every beginning, until it is used up."""
    when = np.zeros(len(order))
    own = stratum[order]
    for h, share in enumerate(shares):
        of = own == h
        when[of] = (np.arange(of.sum()) + 0.5) / share
    return order[np.argsort(when, kind="stable")]
