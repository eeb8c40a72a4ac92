"""Pictures of networks with grey, colour and many-channel images, and with few filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from causal_widget import CausalCNNExplainer
from causal_widget.errors import ArgumentError
from causal_widget.explainer.neighbours import tsne
from causal_widget.jobs import Progress
from tests.interventions.networks import images, seeded


def learned(channels: int, filters: tuple[int, int] = (5, 7), **options: object) -> CausalCNNExplainer:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, filters[0], 3), nn.ReLU(), nn.Conv2d(*filters, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters[1], 3),
        )  # fmt: skip

    explainer = CausalCNNExplainer(seeded(build), "cpu", **options)  # type: ignore[arg-type]
    explainer.collect_data([images(40, channels)], progress=Progress())
    explainer.learn_structural_equations()
    return explainer


@pytest.mark.parametrize("channels", [1, 3, 12])
def test_every_number_of_channels_can_be_seen(channels: int) -> None:
    explainer = learned(channels)
    image = images(1, channels)[0]
    for layer in (None, 1, "2"):
        figure = explainer.visualize_heatmap_on_input(image, layer=layer)
        assert len(figure.axes) == 4
        assert "stretched" in figure.axes[0].get_title()
    shown = explainer.visualize_heatmap_on_input(image, layer=1).axes[1].get_images()[0].get_array()
    np.testing.assert_allclose(shown, explainer.heatmap(image, "2")[0])
    assert explainer.visualize_first_layer_filters().axes
    assert explainer.visualize_first_layer_filters(99).axes


def test_the_title_says_when_colours_are_the_true_ones() -> None:
    explainer = learned(3, mean=(0, 0, 0), std=(1, 1, 1))
    assert explainer.visualize_heatmap_on_input(images(1)[0]).axes[0].get_title() == "image"


@pytest.mark.parametrize("filters", [(1, 2), (2, 3), (3, 40)])
def test_layers_of_any_size_have_a_distribution(filters: tuple[int, int]) -> None:
    figure = learned(1, filters).plot_importance_distribution()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        f"0 ({filters[0]})",
        f"2 ({filters[1]})",
    ]


def test_few_filters_have_a_tsne_and_fewer_than_three_say_so() -> None:
    explainer = learned(1, (2, 3))
    figure = explainer.visualize_filter_tsne(1)
    assert len(figure.axes[0].collections[0].get_offsets()) == 3
    with pytest.raises(ArgumentError, match="at least 3 filters; this layer has 2"):
        explainer.visualize_filter_tsne(0)
    blind = CausalCNNExplainer(explainer.model)
    assert len(blind.visualize_filter_tsne("2").axes) == 1, "without equations there are no colours"


@pytest.mark.parametrize("n", [3, 4, 10, 60])
def test_tsne_is_seeded_and_leaves_the_global_state(n: int) -> None:
    weights = np.random.default_rng(n).normal(size=(n, 2, 3, 3))
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, two = tsne(weights, 1), tsne(weights, 1)
    np.testing.assert_array_equal(one, two)
    assert one.shape == (n, 2)
    assert np.isfinite(one).all()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize(
    "weights", [np.zeros((5, 1, 1, 1)), np.ones((4, 3, 1, 1)), np.eye(6)[:, :1].reshape(6, 1, 1, 1)]
)
def test_equal_filters_have_a_tsne_too(weights: np.ndarray) -> None:
    assert np.isfinite(tsne(weights)).all()


def test_neighbours_stay_neighbours() -> None:
    generator = np.random.default_rng(0)
    weights = np.concatenate([generator.normal(c, 0.05, size=(12, 3, 3, 3)) for c in (-1, 1)])
    points = tsne(weights)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert distance[:12, :12].max() < distance[:12, 12:].min() * 2
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    assert ((nearest < 12) == (np.arange(24) < 12)).all()
