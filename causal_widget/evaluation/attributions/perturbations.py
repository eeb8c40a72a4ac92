"""Methods that hide parts of the image and watch the answer: Occlusion and RISE."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from causal_widget.errors import ArgumentError
from causal_widget.evaluation.attributions.libraries import library
from causal_widget.evaluation.attributions.method import Method, as_method, filled

__all__ = ["occlusion", "random_masks", "rise", "rise_with"]

CELLS, KEPT, MASKS, AT_ONCE = 7, 0.5, 500, 256


@as_method
def occlusion(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Occlusion (Zeiler and Fergus 2014), from captum: what the class's logit loses under a sliding window.

    The window is a sixth of the image (3 pixels at least), moves by half its side, and puts in each channel's
    mean.
    """
    side = max(3, round(min(images.shape[-2:]) / 6))
    step = max(1, side // 2)
    channels = images.shape[1]
    method = library("captum.attr", "Occlusion").Occlusion(model)
    with torch.no_grad():
        found: Tensor = method.attribute(
            images, sliding_window_shapes=(channels, side, side), strides=(channels, step, step),
            baselines=filled(images), target=targets,
        )  # fmt: skip
    return found.mean(dim=1)


def rise_with(masks: int = MASKS, cells: int = CELLS, kept: float = KEPT) -> Method:
    """Give RISE with another number of masks, cells a side, or share of cells kept.

    Raises
    ------
    ArgumentError
        If a number is out of range.
    """
    if masks < 1 or cells < 1 or not 0 < kept < 1:
        raise ArgumentError(
            "masks and cells must be 1 or more and kept between 0 and 1, got "
            f"masks={masks!r}, cells={cells!r}, kept={kept!r}"
        )

    def explain(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
        """RISE (Petsiuk et al. 2018, eq. 6): ``S = sum over masks of p(class | masked image) M / (N p)``."""
        generator = torch.Generator().manual_seed(seed)
        size = (int(images.shape[-2]), int(images.shape[-1]))
        drawn = random_masks(masks, cells, kept, size, generator).to(images.device, images.dtype)
        hidden, found = filled(images), torch.zeros(len(images), *size, dtype=torch.float64)
        with torch.no_grad():
            for part in drawn.split(max(1, AT_ONCE // len(images))):
                # (mask, image, channel, height, width)
                mixed = part[:, None, None] * (images - hidden) + hidden
                answers = torch.softmax(model(mixed.flatten(0, 1)), dim=1).unflatten(0, mixed.shape[:2])
                scores = answers[:, torch.arange(len(images)), targets]
                found += torch.einsum("mn,mhw->nhw", scores.double(), part.double()).cpu()
        return found / (masks * kept)

    explain.__name__ = "rise"
    return as_method(explain)


def random_masks(
    n: int, cells: int, kept: float, size: tuple[int, int], generator: torch.Generator
) -> Float[Tensor, "mask height width"]:
    """Draw masks as section 3.2 of Petsiuk et al. 2018 does.

    Binary grids of cells x cells, each cell kept with a chance, enlarged bilinearly to one cell more than the
    image, and cut out at a random shift of less than a cell.
    """
    height, width = (math.ceil(side / cells) for side in size)
    grids = (torch.rand(n, 1, cells, cells, generator=generator) < kept).float()
    whole = ((cells + 1) * height, (cells + 1) * width)
    large = functional.interpolate(grids, size=whole, mode="bilinear", align_corners=False)[:, 0]
    down = torch.randint(0, height, (n,), generator=generator).tolist()
    right = torch.randint(0, width, (n,), generator=generator).tolist()
    return torch.stack(
        [m[y : y + size[0], x : x + size[1]] for m, y, x in zip(large, down, right, strict=True)]
    )


rise = rise_with()

METHODS: dict[str, Method] = {"Occlusion": occlusion, "RISE": rise}
