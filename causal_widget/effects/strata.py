"""Hard images are drawn more often: where the network is unsure, effects are large and estimates wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from causal_widget.effects.evidence import ControlledEvidence, Evidence, StratifiedEvidence
from causal_widget.effects.remembered import Remembered

__all__ = ["Strata"]

STRATA = 4
LEAST = 25  # images of a stratum
EXACT = 128  # exact images with which each stratum has some
EVEN = 0.2  # of the exact images are drawn evenly


@dataclass(frozen=True, eq=False)
class Strata:
    """Quarters of the images by how hard they are, and an order that draws more of the hard ones.

    Attributes
    ----------
    remembered : Remembered
        The first-order estimates of all images.
    stratum : array of int, shape (image,)
        The quarter of each image.
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
        few = images < STRATA * LEAST or exact < EXACT
        if few or remembered is None or not remembered.whole(images):
            return None
        hard = np.argsort(remembered.hardness[remembered.rows()], kind="stable")
        stratum = np.zeros(images, np.int64)
        stratum[hard] = np.arange(images) * STRATA // images
        shares = allocation(remembered, stratum)
        return Strata(remembered, stratum, interleaved(order, stratum, shares))

    def grouped(self, evidence: Mapping[str, Evidence]) -> dict[str, Evidence]:
        """Give the evidence in strata; what is so already stays."""
        rows = self.remembered.rows()
        found: dict[str, Evidence] = {}
        for layer, known in evidence.items():
            found[layer] = known
            if isinstance(known, ControlledEvidence):
                cheap = self.remembered.values[layer][rows].astype(np.float64)
                changed = self.remembered.changed[layer][rows]
                found[layer] = StratifiedEvidence.of(cheap, changed, self.stratum, STRATA)
        return found


def allocation(
    remembered: Remembered, stratum: Int64[np.ndarray, " image"]
) -> Float64[np.ndarray, " stratum"]:
    """Give the share of exact images that each stratum has.

    For one question the variance is least with shares in proportion to ``W_h S_h``, S_h the standard
    deviation in a stratum (Neyman 1934). What is left to measure is ``e - c g``, whose spread follows that of
    the estimates g; the shares are means over questions. A part is drawn evenly, for where that is wrong.
    """
    rows, shares = remembered.rows(), np.zeros(STRATA)
    sizes = np.bincount(stratum, minlength=STRATA) / len(stratum)
    for values in remembered.values.values():
        cheap = values[rows].astype(np.float64)
        spread = np.stack([cheap[stratum == h].std(axis=0) for h in range(STRATA)])
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
