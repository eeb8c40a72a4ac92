"""The demo's network: LeNet-5's plan, cut down to images of 8 x 8 pixels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LeNet(nn.Module):
    """Two convolutions of 5 x 5, pooling, then two linear layers, for grey images of 8 x 8 pixels.

    LeNet-5 (LeCun et al. 1998, section II.B) with ReLU and max pooling. Images of 8 x 8 pixels leave room for
    one pooling and one hidden linear layer. Each nonlinearity is a module, so its output has a name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(1, 8, 5, padding=2), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(8, 16, 5, padding=2), nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1, self.relu3 = nn.Linear(16 * 4 * 4, 64), nn.ReLU()
        self.fc2 = nn.Linear(64, 10)

    def forward(self, images: Float[Tensor, "image 1 8 8"]) -> Float[Tensor, "image 10"]:
        """Return the logits of the ten digits."""
        x = self.pool(self.relu2(self.conv2(self.relu1(self.conv1(images)))))
        logits: Tensor = self.fc2(self.relu3(self.fc1(self.flatten(x))))
        return logits


def blank() -> LeNet:
    """Return a network without values: to be filled by weights from a file or by `initialise`.

    Built on the meta device, because PyTorch's own initialisation would draw from the global random state.
    """
    with torch.device("meta"):
        return LeNet()


def initialise(model: LeNet, seed: int) -> LeNet:
    """Give every parameter a value drawn from `seed` (He et al. 2015, uniform; biases zero).

    Parameters
    ----------
    model
        A network from `blank`; it is moved to the CPU.
    seed
        Same seed, same values.

    Returns
    -------
    LeNet
        The same network.
    """
    generator = torch.Generator().manual_seed(seed)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                bound = (6.0 / parameter[0].numel()) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
    return model
