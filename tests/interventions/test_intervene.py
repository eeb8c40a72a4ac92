"""A network under do() gives what the same network with plain hooks gives, and is afterwards what it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from causal_widget.errors import ArgumentError, UnknownNameError
from causal_widget.graph import trace
from causal_widget.interventions import Intervention, intervene
from tests.interventions.networks import Functional, Grouped, Plain, Residual, fingerprint, images, seeded

Case = tuple[Callable[[], nn.Module], dict[str, list[int]], str, dict[str, str]]

# network, units, site, and for each layer the module behind which that site lies
CASES: list[Case] = [
    (Plain, {"conv1": [0, 3], "conv2": [7]}, "activation", {"conv1": "relu1", "conv2": "relu2"}),
    (Plain, {"conv1": [0, 3], "conv2": [7]}, "norm", {"conv1": "bn1", "conv2": "bn2"}),
    (Plain, {"conv1": [0, 3], "conv2": [7]}, "conv", {"conv1": "conv1", "conv2": "conv2"}),
    (
        Residual,
        {"block1.conv1": [1], "block2.conv2": [0, 5]},
        "activation",
        {"block1.conv1": "block1.relu1", "block2.conv2": "block2.bn2"},
    ),
    (
        Residual,
        {"block1.down.0": [2, 3], "stem": [0]},
        "activation",
        {"block1.down.0": "block1.down.1", "stem": "relu"},
    ),
    (
        Grouped,
        {"features.0": [1, 6], "features.3": [2], "features.6": [11]},
        "activation",
        {"features.0": "features.2", "features.3": "features.5", "features.6": "features.8"},
    ),
]


def plain_hooks(
    model: nn.Module, units: dict[str, list[int]], places: dict[str, str], value: float, x: Tensor
) -> Tensor:
    """The oracle: ordinary forward hooks on modules named by hand."""
    handles = []
    for layer, chosen in units.items():

        def hook(_: nn.Module, __: object, output: Tensor, chosen: list[int] = chosen) -> Tensor:
            output = output.clone()
            output[:, chosen] = value
            return output

        handles.append(model.get_submodule(places[layer]).register_forward_hook(hook))
    with torch.no_grad():
        answer = model(x)
    for handle in handles:
        handle.remove()
    return answer


@pytest.mark.parametrize("value", [0.0, 1.25])
@pytest.mark.parametrize(("build", "units", "site", "places"), CASES)
def test_do_is_what_plain_hooks_do(
    build: Callable[[], nn.Module],
    units: dict[str, list[int]],
    site: str,
    places: dict[str, str],
    value: float,
) -> None:
    model, x = seeded(build), images()
    expected = plain_hooks(model, units, places, value, x)
    undisturbed = model(x).detach()
    with intervene(model, trace(model, x), Intervention(units, value, site)) as changed:
        found = changed(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not torch.allclose(found, undisturbed)
    torch.testing.assert_close(model(x).detach(), undisturbed, rtol=0, atol=0)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("scale", [0.5, 1.0, 0.0, -2.0])
def test_scaling_multiplies_the_maps_of_the_units_alone(scale: float, grad: bool) -> None:
    model, x = seeded(Plain), images()
    with torch.no_grad():
        maps = model.relu1(model.bn1(model.conv1(x)))
        factors = torch.ones(maps.shape[1])
        factors[[0, 3]] = scale
        handle = model.relu1.register_forward_hook(lambda _, __, out: out * factors[:, None, None])
        expected = model(x)
        handle.remove()
    chosen = Intervention({"conv1": [0, 3]}, scale=scale)
    with intervene(model, trace(model, x), chosen, grad=grad) as changed:
        found = changed(x)
    torch.testing.assert_close(found.detach(), expected)
    assert chosen.checked(trace(model, x)) == chosen


def test_scaled_units_of_several_layers_are_scaled_one_after_the_other() -> None:
    model, x = seeded(Plain), images()
    graph = trace(model, x)
    with (
        intervene(model, graph, Intervention({"conv1": [0]}, scale=0.5)),
        intervene(model, graph, Intervention({"conv2": [1]}, scale=0.5)),
    ):
        expected = model(x)
    with intervene(model, graph, Intervention({"conv1": [0], "conv2": [1]}, scale=0.5)) as both:
        torch.testing.assert_close(both(x), expected)


def test_gradients_pass_scaled_units_shrunk() -> None:
    model, x = seeded(Residual), images().requires_grad_()
    graph = trace(model, x)

    def gradient(intervention: Intervention) -> Tensor:
        with intervene(model, graph, intervention, grad=True) as changed:
            return torch.autograd.grad(changed(x).sum(), x)[0]

    torch.testing.assert_close(
        gradient(Intervention({"stem": range(4)}, scale=1.0)), gradient(Intervention({}))
    )
    assert gradient(Intervention({"stem": range(4)}, scale=0.0)).abs().max() == 0
    assert gradient(Intervention({"stem": range(4)}, scale=0.5)).abs().max() > 0


def test_each_call_of_a_module_is_a_layer_of_its_own() -> None:
    model, x = seeded(Functional), images()

    def by_hand(first_call: list[int], second_call: list[int]) -> Tensor:
        a = functional.relu(model.first(x))
        b = functional.relu(model.twice(a))
        b[:, first_call] = 0
        c = functional.relu(model.twice(b))
        c[:, second_call] = 0
        return model.fc(c.mean((2, 3)))

    graph = trace(model, x)
    with torch.no_grad():
        for units, expected in [
            ({"twice": [1]}, by_hand([1], [])),
            ({"twice#2": [1]}, by_hand([], [1])),
            ({"twice": [0], "twice#2": [4]}, by_hand([0], [4])),
        ]:
            with intervene(model, graph, Intervention(units)) as changed:
                torch.testing.assert_close(changed(x), expected, rtol=0, atol=0)


def test_gradients_stop_at_the_units_that_are_set() -> None:
    model, x = seeded(Residual), images().requires_grad_()
    graph = trace(model, x)
    with intervene(model, graph, Intervention({"stem": range(4)}, 0.3), grad=True) as changed:
        logits = changed(x)
        assert logits.requires_grad
        (gradient,) = torch.autograd.grad(logits.sum(), x, allow_unused=True, materialize_grads=True)
    assert gradient.abs().max() == 0
    with intervene(model, graph, Intervention({"stem": [0]}, 0.3), grad=True) as changed:
        (gradient,) = torch.autograd.grad(changed(x).sum(), x)
    assert gradient.abs().max() > 0


def test_it_works_under_autocast_and_inference_mode() -> None:
    model, x = seeded(Plain), images()
    graph = trace(model, x)
    with intervene(model, graph, Intervention({"conv2": list(range(8))})) as changed:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = changed(x)
        with torch.inference_mode():
            full = changed(x)
    expected = model.fc.bias.detach().expand(len(x), -1)
    torch.testing.assert_close(full, expected)
    torch.testing.assert_close(half.float(), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("end", ["success", "exception", "interrupt", "model raises"])
def test_afterwards_nothing_has_changed(end: str, training: bool) -> None:
    model, x = seeded(Residual).train(training), images()
    model.fc.eval()
    graph = trace(model, x)
    before = fingerprint(model)
    errors = {"exception": ValueError, "interrupt": KeyboardInterrupt, "model raises": RuntimeError}

    def run() -> None:
        with intervene(model, graph, Intervention({"stem": [1]})) as changed:
            changed(x)
            torch.rand(3)
            assert not changed.training
            if end == "model raises":
                changed(x[:, :2])
            if end in errors:
                raise errors[end]("stop")

    if end == "success":
        run()
    else:
        with pytest.raises(errors[end]):
            run()
    assert fingerprint(model) == before


def test_a_refused_intervention_touches_nothing() -> None:
    model, x = seeded(Plain).train(), images()
    graph = trace(model, x)
    before = fingerprint(model)
    for units, error in [({"fc": [0]}, ArgumentError), ({"conv9": [0]}, UnknownNameError)]:
        with pytest.raises(error), intervene(model, graph, Intervention(units)):
            pass
    assert fingerprint(model) == before


def test_interventions_nest() -> None:
    model, x = seeded(Plain), images()
    graph = trace(model, x)
    with intervene(model, graph, Intervention({"conv1": [0], "conv2": [1]})) as both:
        expected = both(x)
    with (
        intervene(model, graph, Intervention({"conv1": [0]})),
        intervene(model, graph, Intervention({"conv2": [1]})),
    ):
        found = model(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
