"""The one code path of every attribution method: images and classes in, one signed map an image out."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, DataError, NonFiniteError, UnsupportedModelError, check_seed
from causal_widget.guard import bare, floating_type, guarded

__all__ = [
    "Maps",
    "Method",
    "as_method",
    "check_classes",
    "checked_classes",
    "checked_images",
    "filled",
    "map_with",
    "normalised",
    "sow",
]

Maps = Float64[np.ndarray, "image height width"]
Method = Callable[[nn.Module, Tensor, "np.ndarray | Tensor", int], Maps]
Explain = Callable[[nn.Module, Tensor, Tensor, int], Tensor]


def as_method(explain: Explain) -> Method:
    """Make a method of a function that explains images which are already where the network is.

    Parameters
    ----------
    explain : callable (model, images, targets, seed) -> Tensor (image, channel, height, width) or
        (image, height, width)
        Runs under the guard, with gradients on and all random generators seeded. Channels are summed.

    Returns
    -------
    callable (model, images, targets, seed) -> array (image, height, width)
        In float64. The model is left as it is.
    """

    def method(model: nn.Module, images: Tensor, targets: np.ndarray | Tensor, seed: int = 0) -> Maps:
        network, batch, classes = bare(model), checked_images(images), checked_classes(targets, len(images))
        with guarded(network, grad=True) as guard, warnings.catch_warnings():
            # captum warns of the hooks and gradients that it sets, which the guard takes away.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"captum\.")
            sow(check_seed(seed))
            given = batch.detach().to(guard.device, floating_type(network))
            found = explain(network, given, classes.to(guard.device), seed).detach()
        summed = found.double().sum(dim=1) if found.ndim == 4 else found.double()
        return np.asarray(summed.cpu().numpy())

    method.__doc__ = explain.__doc__
    method.__name__ = getattr(explain, "__name__", "method")
    return method


def map_with(
    name: str, method: Method, model: nn.Module, images: Tensor, targets: np.ndarray, seed: int
) -> Maps:
    """Run a method, and check that what it gives are maps of these images.

    Raises
    ------
    DataError, NonFiniteError
        If they are not.
    """
    found = np.asarray(method(model, images, targets, seed), dtype=np.float64)
    expected = (len(images), *images.shape[-2:])
    if found.shape != expected:
        raise DataError(f'method "{name}" must give maps of shape {expected}, got {found.shape}')
    if not np.isfinite(found).all():
        raise NonFiniteError(f'the maps of method "{name}" hold NaN or infinity')
    return found


def normalised(maps: Maps) -> Maps:
    """Take from each map its mean, and divide it by its Euclidean norm; a constant map becomes zeros.

    Methods differ by orders of magnitude in scale, so distances between maps compare only after all are
    normalised alike. An offset says nothing about where, and would make any map look stable (RISE's are nine
    tenths offset); the norm, not the maximum, because that would favour maps with few high pixels. The order
    of pixels, which IROF goes by, stays as it is.
    """
    centred = maps - maps.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt((centred * centred).sum(axis=(1, 2), keepdims=True))
    # What rounding leaves of a constant map is no map.
    least = 1e-12 * np.abs(maps).max(axis=(1, 2), keepdims=True) * np.sqrt(maps[0].size)
    return np.asarray(np.where(norms > least, centred / np.where(norms > least, norms, 1.0), 0.0))


def filled(
    images: Float[Tensor, "image channel height width"],
) -> Float[Tensor, "image channel height width"]:
    """Give the images without content: each channel its own mean, which is also what removal puts in."""
    return images.mean(dim=(2, 3), keepdim=True).expand_as(images)


def sow(seed: int) -> None:
    """Seed the generators that libraries draw from: under the guard, which puts the user's state back."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (captum draws from it)


def checked_images(images: object) -> Tensor:
    """Give the images.

    Raises
    ------
    DataError, NonFiniteError
        If they are no float tensor (image, channel, height, width), or hold NaN or infinity.
    """
    if (
        not isinstance(images, Tensor)
        or images.ndim != 4
        or not images.is_floating_point()
        or not len(images)
    ):
        got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise DataError(f"images must be a float tensor (image, channel, height, width), got {got}")
    if not torch.isfinite(images).all():
        raise NonFiniteError("the images hold NaN or infinity")
    return images


def checked_classes(targets: np.ndarray | Tensor, n_images: int) -> Int64[Tensor, " image"]:
    """Give one class an image as a tensor.

    Raises
    ------
    ArgumentError
        If they are not as many whole numbers.
    """
    classes = torch.as_tensor(targets)
    if classes.shape != (n_images,) or classes.is_floating_point() or classes.is_complex():
        raise ArgumentError(
            f"targets must be {n_images} whole numbers, a class an image, got {classes.dtype} "
            f"of shape {tuple(classes.shape)}"
        )
    return classes.long()


def check_classes(classes: Int64[Tensor, " image"], logits: Float[Tensor, "image class"]) -> None:
    """Refuse a class that the network does not have.

    Raises
    ------
    UnsupportedModelError, ArgumentError
    """
    if logits.ndim != 2:
        raise UnsupportedModelError(f"the model's output must be (image, class), got {tuple(logits.shape)}")
    bad = classes[(classes < 0) | (classes >= logits.shape[1])]
    if len(bad):
        raise ArgumentError(f"class {int(bad[0])} does not exist; the network has {logits.shape[1]} classes")
