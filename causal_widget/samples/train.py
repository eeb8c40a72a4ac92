"""Train the demo's network: ``python -m causal_widget.samples.train``. CPU, seeded, under two minutes."""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn

from causal_widget.samples._digits import WEIGHTS, images_and_labels, split
from causal_widget.samples._lenet import LeNet, blank, initialise

EPOCHS = 30
BATCH = 64


def train(epochs: int = EPOCHS, seed: int = 0) -> LeNet:
    """Train a network on the training images alone.

    Parameters
    ----------
    epochs
        Passes over the training images.
    seed
        Of the initial weights and of the order of the images. Same seed and same machine, same weights.

    Returns
    -------
    LeNet
        The trained network, in evaluation mode.
    """
    images, labels = images_and_labels()
    chosen, _ = split(len(images))
    generator = torch.Generator().manual_seed(seed)
    model = initialise(blank(), seed).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        order = chosen[torch.randperm(len(chosen), generator=generator)]
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(images[batch]), labels[batch]))
            optimiser.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, images: Float[Tensor, "image 1 8 8"], labels: Int[Tensor, " image"]) -> float:
    """Return the share of images whose largest logit is their label's."""
    return float((model(images).argmax(1) == labels).double().mean())


def main(arguments: list[str] | None = None) -> None:
    """Train, write the weights, and print the accuracy on the images that training never saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args(arguments)
    model = train(options.epochs, options.seed)
    save_file(model.state_dict(), options.out)
    images, labels = images_and_labels()
    for name, part in zip(("training", "held-out"), split(len(images)), strict=True):
        print(f"{name} accuracy {accuracy(model, images[part], labels[part]):.4f} on {len(part)} images")
    print(f"wrote {options.out.name}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
