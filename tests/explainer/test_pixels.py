"""Images given back their colours, for any number of channels."""

import numpy as np
import pytest
import torch

from causal_widget import CausalCNNExplainer
from causal_widget.errors import ArgumentError, DataError
from causal_widget.explainer.pixels import denormalise
from tests.interventions.networks import Plain, seeded

PIXELS = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))


def test_normalisation_is_undone() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    normalised = (PIXELS - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    np.testing.assert_allclose(
        denormalise(normalised, mean, std), PIXELS.permute(0, 2, 3, 1).numpy(), atol=1e-6
    )
    explainer = CausalCNNExplainer(seeded(Plain), mean=np.array(mean), std=torch.tensor(std))
    np.testing.assert_allclose(
        explainer.denormalise(normalised), PIXELS.permute(0, 2, 3, 1).numpy(), atol=1e-6
    )


def test_one_number_serves_all_channels_and_overshoot_is_cut() -> None:
    found = denormalise((PIXELS - 0.5) / 0.25 * 3, (0.5,), (0.25,))
    np.testing.assert_allclose(
        found, np.clip((PIXELS.permute(0, 2, 3, 1).numpy() - 0.5) * 3 + 0.5, 0, 1), atol=1e-5
    )


def test_without_normalisation_each_image_is_stretched() -> None:
    found = denormalise(PIXELS * torch.tensor([1.0, 10, 0.1, 5]).view(4, 1, 1, 1) - 3, None, None)
    assert found.min(axis=(1, 2, 3)) == pytest.approx(0)
    assert found.max(axis=(1, 2, 3)) == pytest.approx(1)
    assert denormalise(torch.full((1, 3, 2, 2), 7.0), None, None).max() == 0


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 12])
def test_any_number_of_channels_becomes_three_colours(channels: int) -> None:
    x = torch.rand(2, channels, 4, 4, generator=torch.Generator().manual_seed(1))
    found = denormalise(x, (0.0,), (1.0,))
    assert found.shape == (2, 4, 4, 3)
    if channels != 3:
        grey = x.numpy().mean(1)
        np.testing.assert_allclose(found, np.repeat(grey[..., None], 3, axis=3), atol=1e-6)


def test_what_is_no_batch_of_images() -> None:
    with pytest.raises(DataError, match=r"\(3, 5, 6\)"):
        denormalise(PIXELS[0], None, None)
    with pytest.raises(ArgumentError, match="2 channels, the images 3"):
        denormalise(PIXELS, (0, 0), (1, 1))
