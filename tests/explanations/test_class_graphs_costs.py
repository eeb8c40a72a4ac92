"""What finding a class's graph takes, foreseen without finding it."""

import torch
from torch import nn

from causal_widget.explanations.class_graphs.costs import _share, expected_seconds
from causal_widget.graph import trace


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)
    ).eval()


def test_what_is_done_within_the_budget_is_timed():
    model, images = network(), torch.randn(40, 1, 8, 8)
    assert 0 < expected_seconds(model, images, 1, trace(model, images[:1]), mode="paper") < 30


def test_stopped_at_once_it_says_how_long_the_rest_would_take():
    model, images = network(), torch.randn(300, 1, 8, 8)
    graph = trace(model, images[:1])
    stopped = expected_seconds(model, images, 1, graph, mode="paper", budget=0.0)
    assert stopped is not None
    assert stopped > 0


def test_units_far_from_the_class_count_more():
    model = network()
    graph = trace(model, torch.randn(1, 1, 8, 8))
    total = 6 * 10 * 1 + 4 * 10 * 2
    assert _share(graph, 60, 10) == 60 / total
    assert _share(graph, 80, 10) == (60 + 20 * 2) / total
    assert _share(graph, 100, 10) == _share(graph, 500, 10) == 1.0
