"""IROF: how fast the class's probability falls when what the map calls important is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, check_seed
from causal_widget.evaluation.attributions.method import (
    Maps,
    check_classes,
    checked_classes,
    checked_images,
    filled,
)
from causal_widget.evaluation.attributions.superpixels import Segments, check_segments, superpixels
from causal_widget.guard import bare, floating_type, guarded

__all__ = ["Removals", "irof"]

GRID = 51


@dataclass(frozen=True, repr=False, eq=False)
class Removals:
    """What is left of the class's probability as superpixels are removed, most important first.

    Attributes
    ----------
    curves : tuple of arrays, shape (superpixel + 1,)
        One an image: probability over that of the whole image, cut to 0..1, after 0, 1, ... superpixels.
    """

    curves: tuple[Float64[np.ndarray, " step"], ...]

    @cached_property
    def scores(self) -> Float64[np.ndarray, " image"]:
        """Area over each curve, 0..1, by the trapezoidal rule."""
        return np.array([1.0 - ((c[1:] + c[:-1]) / 2).mean() for c in self.curves])

    @cached_property
    def mean_curve(self) -> tuple[Float64[np.ndarray, " share"], Float64[np.ndarray, " share"]]:
        """Shares removed, 0..1, and the curves' mean there, linear between an image's own steps."""
        shares = np.linspace(0.0, 1.0, GRID)
        found = [np.interp(shares, np.linspace(0.0, 1.0, len(c)), c) for c in self.curves]
        return shares, np.asarray(np.mean(found, axis=0))

    def __repr__(self) -> str:
        return f"Removals from {len(self.curves)} images: IROF {self.scores.mean():.3f}"


def irof(
    model: nn.Module,
    images: Float[Tensor, "image channel height width"],
    targets: np.ndarray | Tensor,
    maps: Maps,
    *,
    segments: Segments | None = None,
    n_segments: int = 50,
    seed: int = 0,
    batch_size: int = 128,
    device: torch.device | None = None,
) -> Removals:
    """Remove superpixels one after the other, and measure the area over the class's curve.

    Iterative removal of features (Rieger and Hansen 2020). Image x is cut into superpixels 1..L by SLIC; they
    are put in the order of the map's mean in each, largest first, ties in random order (by the seed). x_l is
    x with the first l of them filled with the mean of each of x's channels; removal is cumulative. With p_l
    the softmax probability of the class on x_l,

        ``IROF(x) = 1 - (area under min(1, p_l / p_0) over l / L from 0 to 1)``,

    by the trapezoidal rule. It lies in 0..1: near 1 where the first superpixel already takes the class away,
    0 where nothing that is removed matters. (Quantus does not divide by L, which gives up to the number of
    superpixels; a probability above the first would count negatively there.)

    Parameters
    ----------
    model : nn.Module
        Not changed.
    images : Tensor, shape (image, channel, height, width)
    targets : int array, shape (image,)
        The class of each that its map explains.
    maps : array, shape (image, height, width)
        Of any scale.
    segments : int array, shape (image, height, width), optional
        Superpixels made before, as all methods of a comparison share them.
    n_segments : int
        For `superpixels`, where they are not given.
    seed : int
    batch_size : int
        Images at a time.
    device : torch.device, optional
        Where to run. None: where the model is.

    Raises
    ------
    ArgumentError
        If maps, targets or segments are not such.
    DataError, NonFiniteError, UnsupportedModelError
        As for any method.
    MissingLibraryError
        If superpixels are to be made and scikit-image is not installed.
    """
    network, batch, classes = bare(model), checked_images(images), checked_classes(targets, len(images))
    if maps.shape != (len(batch), *batch.shape[-2:]) or not np.isfinite(maps).all():
        raise ArgumentError(
            f"maps must be finite numbers of shape {(len(batch), *batch.shape[-2:])}, got {maps.shape}"
        )
    cut = check_segments(superpixels(batch, n_segments) if segments is None else segments, batch)
    order = np.random.default_rng(check_seed(seed))
    curves = []
    with guarded(network, device) as guard:
        dtype = floating_type(network)
        for image, target, heat, labels in zip(batch, classes, maps, cut, strict=True):
            place = torch.as_tensor(ranks(heat, labels, order), device=guard.device)
            given = image.to(guard.device, dtype)
            curves.append(_curve(network, given, int(target), place, batch_size))
    return Removals(tuple(curves))


def ranks(
    heat: Float64[np.ndarray, "height width"], labels: np.ndarray, order: np.random.Generator
) -> np.ndarray:
    """Give each pixel the place of its superpixel in the order of removal, from 0."""
    flat = labels.ravel()
    means = np.bincount(flat, weights=heat.ravel()) / np.bincount(flat)
    places = np.empty(len(means), dtype=np.int64)
    places[np.lexsort((order.permutation(len(means)), -means))] = np.arange(len(means))
    return np.asarray(places[labels])


def _curve(
    network: nn.Module, image: Tensor, target: int, place: Tensor, batch_size: int
) -> Float64[np.ndarray, " step"]:
    fill = filled(image[None])[0]
    found = []
    for steps in torch.arange(int(place.max()) + 2, device=image.device).split(batch_size):
        gone = (place[None] < steps[:, None, None])[:, None]
        logits = network(torch.where(gone, fill, image))
        check_classes(torch.tensor([target]), logits)
        found.append(torch.log_softmax(logits.double(), dim=1)[:, target].cpu())
    left = torch.cat(found)
    return np.asarray((left - left[0]).clamp(max=0.0).exp().numpy())
