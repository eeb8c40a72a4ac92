"""scikit-learn's handwritten digits as loaders, with the network trained on them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from causal_widget.samples._lenet import blank

WEIGHTS = Path(__file__).with_name("digits_lenet.safetensors")
CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MEAN, STD = (0.31,), (0.38,)  # of the training images' pixels, on a scale of 0 to 1
N_HELD_OUT = 500
SPLIT_SEED = 0


@dataclass(frozen=True)
class Digits:
    """A trained network and its images; everything the explainer and the widget ask for.

    Attributes
    ----------
    model
        The trained network, in evaluation mode.
    train_loader, test_loader
        Batches of normalised images (image, 1, 8, 8) and labels (image,), in a fixed order. The network was
        trained on the first and never saw the second.
    class_names
        The name of each label.
    mean, std
        What the images were normalised by: ``image = (pixel - mean) / std`` with pixels from 0 to 1.
    """

    model: nn.Module
    train_loader: DataLoader[tuple[Tensor, ...]]
    test_loader: DataLoader[tuple[Tensor, ...]]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __repr__(self) -> str:
        """Say what is here in one line."""
        return (
            f"Digits({type(self.model).__name__}, {self.n_train} training and {self.n_test} held-out images)"
        )

    @property
    def n_train(self) -> int:
        """Number of training images."""
        return _count(self.train_loader)

    @property
    def n_test(self) -> int:
        """Number of held-out images."""
        return _count(self.test_loader)


def _count(loader: DataLoader[tuple[Tensor, ...]]) -> int:
    return sum(len(labels) for _, labels in loader)


def images_and_labels() -> tuple[Float[Tensor, "image 1 8 8"], Int[Tensor, " image"]]:
    """Return all 1,797 images, normalised, and their labels, in scikit-learn's order."""
    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).float()[:, None] / 16
    return (pixels - MEAN[0]) / STD[0], torch.from_numpy(bunch.target).long()


def split(n_images: int) -> tuple[Int[Tensor, " train"], Int[Tensor, " heldout"]]:
    """Return the positions of the training and of the held-out images, always the same ones."""
    order = torch.from_numpy(np.random.default_rng(SPLIT_SEED).permutation(n_images))
    return order[N_HELD_OUT:], order[:N_HELD_OUT]


def digits(batch_size: int = 64) -> Digits:
    """Return the embedded demo: a LeNet trained on scikit-learn's handwritten digits, without any download.

    Parameters
    ----------
    batch_size
        Images a batch of either loader.

    Returns
    -------
    Digits
        Model, loaders, class names and normalisation. Each call makes a new model.
    """
    images, labels = images_and_labels()
    train, held_out = split(len(images))
    model = blank()
    model.load_state_dict(load_file(WEIGHTS), assign=True)
    return Digits(
        model=model.eval(),
        train_loader=DataLoader(TensorDataset(images[train], labels[train]), batch_size=batch_size),
        test_loader=DataLoader(TensorDataset(images[held_out], labels[held_out]), batch_size=batch_size),
        class_names=CLASS_NAMES,
        mean=MEAN,
        std=STD,
    )
