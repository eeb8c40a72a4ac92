"""Images cut into superpixels, by scikit-image."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

from causal_widget.errors import ArgumentError
from causal_widget.evaluation.attributions.libraries import library

__all__ = ["Segments", "check_segments", "superpixels"]

Segments = Int64[np.ndarray, "image height width"]
RANGE = 100.0  # of lightness in CIELAB, to which grey images are brought


def superpixels(
    images: Float[Tensor, "image channel height width"], n_segments: int = 50, compactness: float = 10.0
) -> Segments:
    """Cut each image into about so many superpixels by SLIC (Achanta et al. 2012).

    Each image is first stretched to 0..1. Three channels are taken as red, green and blue; grey images are
    brought to CIELAB's range of lightness, so that one compactness means the same for both.

    Parameters
    ----------
    images : Tensor, shape (image, channel, height, width)
    n_segments : int
        How many are asked of SLIC, which may give fewer.
    compactness : float
        Weight of closeness against likeness of colour.

    Returns
    -------
    int array, shape (image, height, width)
        Labels 0, 1, ... of each image without gaps.

    Raises
    ------
    ArgumentError
        If n_segments is below 2.
    MissingLibraryError
        If scikit-image is not installed.
    """
    if not isinstance(n_segments, int) or isinstance(n_segments, bool) or n_segments < 2:
        raise ArgumentError(f"n_segments must be a whole number, 2 or more, got {n_segments!r:.80}")
    slic = library("skimage.segmentation", "cutting images into superpixels").slic
    found = []
    for image in images.detach().cpu().double().numpy():
        low, high = image.min(), image.max()
        picture = np.moveaxis((image - low) / (high - low or 1.0), 0, -1)
        colour = picture.shape[-1] == 3
        given = picture if colour else picture * RANGE
        labels = slic(
            given, n_segments=n_segments, compactness=compactness, start_label=0, convert2lab=colour,
            channel_axis=-1,
        )  # fmt: skip
        found.append(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))
    return np.asarray(np.stack(found), dtype=np.int64)


def check_segments(segments: np.ndarray, images: Tensor) -> Segments:
    """Check that labels are those of these images, and number them 0, 1, ... without gaps.

    Raises
    ------
    ArgumentError
        If they are not whole numbers of the images' shape, or an image is a single superpixel.
    """
    labels = np.asarray(segments)
    expected = (len(images), *images.shape[-2:])
    if labels.shape != expected or labels.dtype.kind not in "iu":
        raise ArgumentError(
            f"segments must be whole numbers of shape {expected}, got {labels.dtype} of shape {labels.shape}"
        )
    numbered = [np.unique(one, return_inverse=True)[1].reshape(one.shape) for one in labels]
    single = next((k for k, one in enumerate(numbered) if one.max() == 0), None)
    if single is not None:
        raise ArgumentError(f"image {single} is a single superpixel; expected 2 or more")
    return np.asarray(np.stack(numbered), dtype=np.int64)
