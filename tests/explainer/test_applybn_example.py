"""Every documented call of applyBN's class, in the order of its example and with its argument names."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from causal_widget import CausalCNNExplainer

mpl.use("Agg")


def random_images(n: int, seed: int) -> DataLoader[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 3, 64, 64, generator=generator)
    return DataLoader(TensorDataset(images, torch.randint(10, (n,), generator=generator)), batch_size=8)


def small_resnet18() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(42)
        model = torchvision.models.resnet18(weights=None)
        model.fc = nn.Linear(model.fc.in_features, 10)
    return model


def test_the_documented_calls_run_in_the_documented_order(capsys: pytest.CaptureFixture[str]) -> None:
    import matplotlib.pyplot as plt

    plt.close("all")
    device = torch.device("cpu")
    train_loader, test_loader = random_images(24, 0), random_images(16, 1)
    model = small_resnet18().to(device)

    explainer = CausalCNNExplainer(model=model, device=device)
    assert len(explainer.conv_layers) == len(explainer.dag) == 20
    explainer.collect_data(train_loader)
    explainer.learn_structural_equations()
    importances = explainer.get_filter_importances()
    assert {k: len(v) for k, v in importances.items()} == {
        k: len(node["filters"]) for k, node in explainer.dag.items()
    }
    assert {k: v.shape for k, v in explainer.filter_outputs.items()} == {
        k: (24, len(v)) for k, v in importances.items()
    }

    sample, _ = next(iter(test_loader))
    figures = [
        explainer.visualize_heatmap_on_input(sample[0]),
        explainer.visualize_heatmap_on_input(sample[:1], alpha=0.3, cmap="jet", figsize=(9, 3)),
        explainer.visualize_first_layer_filters(n_filters=16),
        explainer.visualize_first_layer_filters(n_filters=4, figsize=(4, 4)),
        explainer.plot_importance_distribution(),
        explainer.plot_importance_distribution(figsize=(6, 9)),
        explainer.visualize_filter_tsne(layer_idx=3),
        explainer.visualize_filter_tsne(layer_idx=3, figsize=(5, 5)),
    ]
    assert all(figure._repr_png_().startswith(b"\x89PNG") for figure in figures)
    assert plt.get_fignums() == [], "pyplot would show them a second time"

    assert explainer.model is model
    baseline = explainer.evaluate_model(explainer.model, test_loader)
    assert 0 <= baseline <= 1
    for percent in [5, 10, 20]:
        pruned = explainer.prune_filters_by_importance(percent)
        at_random = explainer.prune_random_filters(percent)
        for copy in (pruned, at_random):
            gone = [int((m.weight.detach().flatten(1) == 0).all(1).sum()) for _, m in conv_modules(copy)]
            assert gone == [int(m.out_channels * percent / 100) for _, m in conv_modules(model)]
            assert 0 <= explainer.evaluate_model(copy, test_loader) <= 1
    assert model.training, "the network is left in the mode it came in"


def conv_modules(model: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]


def test_the_parents_are_those_of_a_resnet18() -> None:
    """Source: He et al. 2015, figure 3: a block's first convolution and its projection read a sum."""
    explainer = CausalCNNExplainer(small_resnet18())
    number = {name: k for k, (name, _) in enumerate(explainer.conv_layers)}
    names = {name: {list(number)[p] for p in explainer.dag[k]["parents"]} for name, k in number.items()}
    stem, first, second = {"conv1"}, {"layer1.0.conv2"}, {"layer1.1.conv2"}
    assert names["conv1"] == set()
    assert names["layer1.0.conv1"] == stem
    assert names["layer1.0.conv2"] == {"layer1.0.conv1"}
    assert names["layer1.1.conv1"] == stem | first
    assert names["layer2.0.conv1"] == names["layer2.0.downsample.0"] == stem | first | second
    assert names["layer2.1.conv1"] == {"layer2.0.conv2", "layer2.0.downsample.0"}
    assert names["layer4.1.conv2"] == {"layer4.1.conv1"}
    assert np.sum([len(v) for v in names.values()]) == sum(
        len(node["children"]) for node in explainer.dag.values()
    )
