"""Maps that know nothing of the network: what every method has to beat."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from causal_widget.evaluation.attributions.method import Method, as_method, filled

__all__ = ["constant", "image_itself", "random_map"]


@as_method
def random_map(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Draw independent normal numbers, other ones for every image and for every change of an image."""
    found = []
    for image in images:
        word = hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=4, key=seed.to_bytes(4, "little"))
        generator = torch.Generator().manual_seed(int.from_bytes(word.digest(), "little"))
        found.append(torch.randn(image.shape[-2:], generator=generator, dtype=torch.float64))
    return torch.stack(found)


@as_method
def constant(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Give the same number everywhere: perfectly stable, and it says nothing."""
    return torch.ones(len(images), *images.shape[-2:], dtype=torch.float64)


@as_method
def image_itself(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Give each pixel's distance from the image's mean: what can be seen without looking at the network.

    Maps of methods may be faithful for no better reason than that objects differ from their background
    (Adebayo et al. 2018, "Sanity Checks for Saliency Maps", compare with an edge detector).
    """
    return (images - filled(images)).abs()


METHODS: dict[str, Method] = {"image": image_itself, "random": random_map, "constant": constant}
