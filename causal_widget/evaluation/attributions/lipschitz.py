"""Local Lipschitz estimate: how far a map moves when the image moves a little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, check_seed
from causal_widget.evaluation.attributions.method import Maps, Method, map_with, normalised
from causal_widget.jobs import Progress

__all__ = ["check_runs", "local_lipschitz"]


def local_lipschitz(
    model: nn.Module,
    images: Float[Tensor, "image channel height width"],
    targets: np.ndarray,
    method: Method,
    *,
    runs: int = 10,
    noise: float = 0.1,
    normalise: Callable[[Maps], Maps] | None = normalised,
    maps: Maps | None = None,
    name: str = "method",
    seed: int = 0,
    progress: Progress | None = None,
) -> Float64[np.ndarray, " image"]:
    """Estimate each image's local Lipschitz constant of a method (Alvarez-Melis and Jaakkola 2018, eq. 6).

    ``L(x) = max over runs k of |e(x + d_k) - e(x)| / |d_k|``: e is the map of the class of x, normalised, d_k
    white noise of standard deviation `noise` on every number of the image, the lengths Euclidean. The largest
    of finitely many quotients is a lower bound of the constant. The noise depends on the seed and the image's
    place alone, so it is the same for every method; random methods draw the same numbers for x and x + d_k.
    The class that is explained stays that of x, whatever the network says of x + d_k.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    images : Tensor, shape (image, channel, height, width)
    targets : int array, shape (image,)
    method : callable (model, images, targets, seed) -> array (image, height, width)
    runs : int
    noise : float
        In the numbers that the network takes.
    normalise : callable or None
        What makes maps comparable; None: nothing.
    maps : array, shape (image, height, width), optional
        The method's maps of the images themselves, where they are there already (not normalised).
    name : str
        For messages.
    seed : int
    progress : Progress, optional
        Told of every run; may cancel.

    Raises
    ------
    ArgumentError
        If runs or noise are not positive.
    DataError, NonFiniteError
        If the method's maps are not of the images' size, or not finite.
    """
    check_runs(runs, noise)
    told = progress or Progress()
    scale = normalise or (lambda given: given)
    own = map_with(name, method, model, images, targets, seed) if maps is None else maps
    start = scale(own)
    largest = np.zeros(len(images))
    generator = torch.Generator().manual_seed(check_seed(seed))
    for _ in range(runs):
        step = noise * torch.randn(images.shape, generator=generator, dtype=torch.float64)
        near = images + step.to(images.device, images.dtype)
        moved = scale(map_with(name, method, model, near, targets, seed)) - start
        length = (near - images).double().flatten(1).norm(dim=1).cpu().numpy()
        largest = np.maximum(largest, np.sqrt((moved * moved).sum(axis=(1, 2))) / length)
        told.advance()
    return largest


def check_runs(runs: object, noise: float) -> None:
    """Check how often, and how strongly, images are perturbed.

    Raises
    ------
    ArgumentError
        If either is not positive.
    """
    if not isinstance(runs, int) or isinstance(runs, bool) or runs < 1:
        raise ArgumentError(f"runs must be a whole number, 1 or more, got {runs!r:.80}")
    if not 0 < noise < float("inf"):
        raise ArgumentError(f"noise must be a positive number, got {noise!r:.80}")
