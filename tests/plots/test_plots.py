"""Figures say what they were given, can be told apart without colour, and are unknown to pyplot."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from causal_widget.errors import ArgumentError, UnknownNameError
from causal_widget.plots import (
    effect_bars,
    filter_embedding,
    filter_weights,
    heatmap_overlay,
    importance_distribution,
    pruning_lines,
)

CHANCE = np.random.default_rng(0)
PERCENTS = (50, 0, 20)


def test_curves_differ_by_more_than_colour() -> None:
    lines = {f"rule {k}": (CHANCE.random(3),) for k in range(6)} | {"random": tuple(CHANCE.random((3, 3)))}
    figure = pruning_lines(PERCENTS, lines, 0.9, 1234)
    axes = figure.axes[0]
    drawn = axes.get_lines()[1:]
    assert len({(line.get_linestyle(), str(line._dash_pattern)) for line in drawn}) == 7
    assert len({line.get_marker() for line in drawn}) == 7
    assert len({line.get_color() for line in drawn}) == 7
    np.testing.assert_allclose(drawn[0].get_xdata(), [0, 20, 50])
    np.testing.assert_allclose(drawn[0].get_ydata(), 100 * lines["rule 0"][0][[1, 2, 0]])
    assert len(axes.collections) == 1, "one band, for the random draws"
    assert "1,234 images" in axes.get_title("left")
    assert axes.get_xlabel()
    assert axes.get_ylabel()


def test_bars_have_their_change_and_interval() -> None:
    change, half = np.array([0.5, -0.25, np.nan]), np.array([0.1, 0.2, np.nan])
    figure = effect_bars(["a", "<b>", "c$x"], {"logit": (change, half)}, "do(x)")
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5, -0.25, 0]
    spans = [np.ptp(segment[:, 0]) for segment in axes.collections[0].get_segments()[:2]]
    np.testing.assert_allclose(spans, 2 * half[:2])
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_many_classes_are_cut_to_those_that_change_most() -> None:
    change = np.zeros(1000)
    change[[7, 999]] = -3, 2
    figure = effect_bars([f"class {k}" for k in range(1000)], {"logit": (change, change * 0)}, "do(x)")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(names) == 25
    assert {"class 7", "class 999"} <= set(names)
    assert "25 of 1000" in figure.get_suptitle()


@pytest.mark.parametrize("sizes", [(1,), (2, 1), (64, 512, 3)])
def test_importances_of_layers_of_any_size(sizes: tuple[int, ...]) -> None:
    importances = {f"layer {n}": np.full(n, 1 / n) for n in sizes}
    figure = importance_distribution(importances)
    dots = [c for c in figure.axes[0].collections if len(c.get_offsets()) in sizes]
    assert len(dots) == len(sizes)
    assert all(np.allclose(c.get_offsets()[:, 0], 1) for c in dots), "an equal share is 1 in every layer"
    assert len(figure._repr_png_()) > 1000
    with pytest.raises(ArgumentError, match="no importances"):
        importance_distribution({})


def test_a_single_great_importance_does_not_hide_the_others() -> None:
    lone = np.zeros(64)
    lone[5] = 1
    assert importance_distribution({"a": lone, "b": np.full(4, 0.25)}).axes[0].get_xscale() == "symlog"
    assert importance_distribution({"b": np.full(4, 0.25)}).axes[0].get_xscale() == "linear"


@pytest.mark.parametrize("channels", [1, 2, 3, 12, 200])
@pytest.mark.parametrize("filters", [1, 5, 70])
def test_weights_of_any_shape(channels: int, filters: int) -> None:
    figure = filter_weights(CHANCE.normal(size=(filters, channels, 3, 3)), 80)
    assert len(figure._repr_png_()) > 500
    if channels in (1, 3):
        assert [text.get_text() for text in figure.axes[0].texts] == [str(f) for f in range(filters)]
    assert filter_weights(np.zeros((2, channels, 1, 1)), 1)._repr_png_()


def test_heat_keeps_its_scale() -> None:
    image, heat = np.zeros((4, 5, 3)), CHANCE.normal(size=(4, 5))
    plain, signed = (
        heatmap_overlay(image, heat),
        heatmap_overlay(image, heat, signed=True, cmap="coolwarm", alpha=1),
    )
    assert plain.axes[1].get_images()[0].get_clim() == (heat.min(), heat.max())
    low, high = signed.axes[1].get_images()[0].get_clim()
    assert (low, high) == (-np.abs(heat).max(), np.abs(heat).max())
    assert heatmap_overlay(image, np.zeros((4, 5)))._repr_png_()
    for options, error in [
        ({"alpha": -0.1}, ArgumentError),
        ({"cmap": "virids"}, UnknownNameError),
        ({"figsize": 3}, ArgumentError),
    ]:
        with pytest.raises(error):
            heatmap_overlay(image, heat, **options)


def test_points_are_numbered_while_they_can_be_read() -> None:
    few, many = CHANCE.normal(size=(20, 2)), CHANCE.normal(size=(200, 2))
    assert len(filter_embedding(few, CHANCE.random(20)).axes[0].texts) == 20
    assert len(filter_embedding(many, None).axes[0].texts) == 0


def test_pyplot_knows_of_none() -> None:
    plt.close("all")
    filter_embedding(CHANCE.normal(size=(4, 2)), None)
    pruning_lines((0, 1), {"a": (np.ones(2),)}, 1, 1)
    assert plt.get_fignums() == []
