"""A pruned copy: weights zero, silent after BatchNorm, the original untouched."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from causal_widget.errors import ArgumentError, UnknownNameError
from causal_widget.graph import trace
from causal_widget.interventions import Intervention, intervene
from causal_widget.pruning import remove_filters
from tests.interventions.networks import (
    FullyConvolutional,
    Functional,
    Grouped,
    Plain,
    Residual,
    fingerprint,
    images,
    seeded,
)

CASES = [
    (Plain, {"conv1": [0, 5], "conv2": [3]}),
    (lambda: Plain(affine=False), {"conv1": [0, 5]}),
    (Residual, {"stem": [1], "block1.conv1": [0, 2], "block1.conv2": [4], "block2.down.0": [7]}),
    (Grouped, {"features.0": [2], "features.3": [0, 5], "features.6": [11]}),
]


@pytest.mark.parametrize(("build", "units"), CASES)
def test_the_copy_answers_as_the_network_under_do(
    build: Callable[[], nn.Module], units: dict[str, list[int]]
) -> None:
    model, x = seeded(build), images()
    graph, before = trace(model, x), fingerprint(model)
    pruned = remove_filters(model, graph, units)
    with intervene(model, graph, Intervention(units)) as changed:
        expected = changed(x)
    with torch.no_grad():
        torch.testing.assert_close(pruned(x), expected, rtol=1e-5, atol=1e-6)
        naive = copy.deepcopy(model)
        for layer, filters in units.items():
            module = naive.get_submodule(layer)
            module.weight[filters] = 0
            if module.bias is not None:
                module.bias[filters] = 0
        assert (naive(x) - expected).abs().max() > 1e-2, (
            "zeroing weights alone leaves BatchNorm's shift alive"
        )
    for layer, filters in units.items():
        module = pruned.get_submodule(layer)
        assert module.weight[filters].abs().max() == 0
        assert module.bias is None or module.bias[filters].abs().max() == 0
    assert fingerprint(model) == before


def test_only_what_was_asked_for_is_changed() -> None:
    model = seeded(Plain)
    pruned = remove_filters(model, trace(model, images()), {"conv1": [2]})
    for name, tensor in pruned.state_dict().items():
        differs = (tensor != model.state_dict()[name]).nonzero()
        if name in ("conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias"):
            assert set(differs[:, 0].tolist()) == {2}
        else:
            assert len(differs) == 0
    assert not {p.data_ptr() for p in pruned.parameters()} & {p.data_ptr() for p in model.parameters()}


def test_a_module_called_twice_loses_the_filter_at_both_calls() -> None:
    model, x = seeded(Functional), images()
    graph = trace(model, x)
    pruned = remove_filters(model, graph, {"twice#2": [1]})
    with intervene(model, graph, Intervention({"twice": [1], "twice#2": [1]})) as changed:
        torch.testing.assert_close(pruned(x).detach(), changed(x))


def test_weight_norm_and_transposed_convolutions() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3, padding=1))
            self.up = nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2)
            self.fc = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.up(self.a(x).relu()).relu().mean((2, 3)))

    model, x = seeded(Net), images()
    graph, units = trace(model, x), {"a": [1], "up": [0, 4]}
    before = fingerprint(model)
    pruned = remove_filters(model, graph, units)
    with intervene(model, graph, Intervention(units)) as changed:
        torch.testing.assert_close(pruned(x).detach(), changed(x))
    assert pruned.a.weight[1].abs().max() == 0
    assert fingerprint(model) == before


def test_a_functional_normalisation_is_warned_of() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
            self.register_buffer("m", torch.full((4,), 0.3))
            self.register_buffer("v", torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            y = nn.functional.batch_norm(self.conv(x), self.m, self.v)
            return self.fc(y.relu().mean((2, 3)))

    model = seeded(Net)
    graph = trace(model, images())
    with pytest.warns(UserWarning, match="in no module and stays"):
        remove_filters(model, graph, {"conv": [0]})


@pytest.mark.parametrize(
    ("build", "units", "error", "says"),
    [
        (Plain, {"fc": [0]}, ArgumentError, '"fc" cannot be removed'),
        (FullyConvolutional, {"conv2": [0]}, ArgumentError, '"conv2" cannot be removed'),
        (Plain, {"convl": [0]}, UnknownNameError, "Did you mean"),
        (Plain, {"conv1": [99]}, UnknownNameError, "99"),
    ],
)
def test_what_cannot_be_removed(
    build: Callable[[], nn.Module], units: dict[str, list[int]], error: type[Exception], says: str
) -> None:
    model = seeded(build)
    with pytest.raises(error, match=says):
        remove_filters(model, trace(model, images()), units)


def masked(module: nn.Module) -> nn.Module:
    return prune.random_unstructured(module, "weight", 0.3)  # type: ignore[no-any-return, no-untyped-call]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.spectral_norm, masked])
def test_weights_that_a_hook_computes_anew_in_each_run(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model, x = seeded(Plain), images()
    wrap(model.conv1)  # type: ignore[arg-type]
    with torch.no_grad():
        expected_whole = model(x)
    graph, units = trace(model, x), {"conv1": [0, 5]}
    pruned = remove_filters(model, graph, units)
    with torch.no_grad():
        found = pruned(x)
        assert (pruned.conv1.weight[[0, 5]] == 0).all()  # type: ignore[union-attr, index]
        assert (pruned.conv1.weight[[1, 2, 3, 4]] != 0).any()  # type: ignore[union-attr, index]
        with intervene(model, graph, Intervention(units)) as under:
            torch.testing.assert_close(found, under(x), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(model(x), expected_whole)
