"""A path under beta: what a copy with edited weights gives; for shared channels, a forward by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from causal_widget.errors import UnsupportedModelError
from causal_widget.graph import trace
from causal_widget.interventions import Edits, Intervention, PathEdit, Scale, UnitEdit, edited, intervene
from tests.interventions.networks import Block, Functional, Grouped, Plain, Residual, images, seeded
from tests.interventions.path_networks import Concatenated, Flat, Gated, LinearSum, Odd, OwnAndShared

# network, edit, and the entries of the target's weight that it is about, found by hand
Case = tuple[Callable[[], nn.Module], PathEdit, tuple[object, ...]]
CASES: list[Case] = [
    (Plain, PathEdit(("conv1", 2), "conv2", None, 0.0), (slice(None), 2)),
    (Plain, PathEdit(("conv1", 2), "conv2", (1, 5), -0.5), ([1, 5], 2)),
    (Plain, PathEdit(("conv2", 7), "fc", (3,), 0.25), (3, 7)),
    (Flat, PathEdit(("conv", 1), "fc1", None, 0.0), (slice(None), slice(25, 50))),
    (Flat, PathEdit(("conv", 3), "fc1", (0, 6), 2.0), ([0, 6], slice(75, 100))),
    (Flat, PathEdit(("fc1", 4), "fc2", (1,), 0.0), (1, 4)),
    # depthwise: unit 3 alone reads unit 3; of the groups the second reads units 4 to 7
    (Grouped, PathEdit(("features.0", 3), "features.3", None, 0.0), (3, 0)),
    (Grouped, PathEdit(("features.3", 5), "features.6", None, 0.5), (slice(6, 12), 1)),
    (Grouped, PathEdit(("features.3", 0), "features.6", (2, 4), 0.0), ([2, 4], 0)),
    (Concatenated, PathEdit(("left", 1), "mix", None, 0.0), (slice(None), 1)),
    (Concatenated, PathEdit(("right", 2), "mix", (0, 3), 0.5), ([0, 3], 6)),
    (Residual, PathEdit(("block1.conv1", 4), "block1.conv2", (0, 2), 0.0), ([0, 2], 4)),
    (Residual, PathEdit(("stem", 1), "block1.down.0", None, 0.5), (slice(None), 1)),
    (Odd, PathEdit(("same", 1), "reflect", (0, 2), 0.0), ([0, 2], 1)),
    (Odd, PathEdit(("same", 2), "reflect", None, 0.5), (slice(3, 6), 0)),
    # a transposed weight is (input channel, unit of the group, ...)
    (Odd, PathEdit(("reflect", 4), "up", (2, 3), 0.0), (4, [0, 1])),
    (Odd, PathEdit(("reflect", 0), "up", (1,), 2.0), (0, 1)),
    (Odd, PathEdit(("up", 3), "line", (1, 2, 3), 0.0), ([1, 2, 3], 3)),
]


def with_weights(model: nn.Module, edits: list[tuple[PathEdit, tuple[object, ...]]]) -> nn.Module:
    """The oracle: a copy whose weights are edited."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for edit, where in edits:
            other.get_submodule(edit.target).weight[where] *= edit.beta
    return other


@pytest.mark.parametrize(("build", "edit", "where"), CASES, ids=lambda value: repr(value)[:60])
def test_a_path_is_what_edited_weights_give(
    build: Callable[[], nn.Module], edit: PathEdit, where: tuple[object, ...]
) -> None:
    model, x = seeded(build).double(), images().double()
    with torch.no_grad():
        expected, undisturbed = with_weights(model, [(edit, where)])(x), model(x)
    with edited(model, trace(model, x), edit) as changed:
        found = changed(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(found, undisturbed, rtol=0, atol=1e-7)
    torch.testing.assert_close(model(x).detach(), undisturbed, rtol=0, atol=0)


def test_the_whole_layer_under_beta_zero_leaves_the_bias() -> None:
    model, x = seeded(Plain), images()
    edits = [PathEdit(("conv1", unit), "conv2", None, 0.0) for unit in range(6)]
    bias_only = copy.deepcopy(model)
    with torch.no_grad():
        bias_only.conv2.weight.zero_()
        expected = bias_only(x)
    with edited(model, trace(model, x), edits) as changed:
        torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)


def test_paths_compose_as_weights_do() -> None:
    model, x = seeded(Grouped), images()
    chosen = [
        (PathEdit(("features.0", 3), "features.3", None, 0.5), (3, 0)),
        (PathEdit(("features.3", 5), "features.6", None, 0.5), (slice(6, 12), 1)),
        (PathEdit(("features.3", 5), "features.6", (7, 8), 0.3), ([7, 8], 1)),
        (PathEdit(("features.3", 6), "features.6", (8, 9), -1.0), ([8, 9], 2)),
        (PathEdit(("features.3", 1), "features.6", (0,), 0.0), (0, 1)),
        (PathEdit(("features.6", 11), "head", (0, 2), 3.0), ([0, 2], 11)),
    ]
    with torch.no_grad():
        expected = with_weights(model, chosen)(x)
    graph = trace(model, x)
    for order in (chosen, chosen[::-1]):
        with edited(model, graph, [edit for edit, _ in order]) as changed:
            torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)


def test_paths_and_units_compose() -> None:
    model, x = seeded(Plain), images()
    graph = trace(model, x)
    path = PathEdit(("conv1", 2), "conv2", (1, 5), 0.5)
    other = with_weights(model, [(path, ([1, 5], 2))])
    units = {"conv1": [0, 2], "conv2": [5, 6]}
    with intervene(other, trace(other, x), Intervention(units, scale=0.5, site="conv")) as known:
        expected = known(x)
    for edits in ([path, UnitEdit(units, Scale(0.5), "conv")], [UnitEdit(units, Scale(0.5), "conv"), path]):
        with edited(model, graph, edits) as changed:
            torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)
    with (
        intervene(model, graph, Intervention(units, scale=0.5, site="conv")),
        edited(model, graph, path),
    ):
        torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)


def test_each_call_of_a_module_has_its_own_paths() -> None:
    model, x = seeded(Functional), images()
    lesser = copy.deepcopy(model.twice)
    with torch.no_grad():
        lesser.weight[[0, 1], 3] *= 0.25

        def by_hand(first: nn.Module, second: nn.Module) -> Tensor:
            a = functional.relu(model.first(x))
            return model.fc(functional.relu(second(functional.relu(first(a)))).mean((2, 3)))

        first, second = by_hand(lesser, model.twice), by_hand(model.twice, lesser)
    graph = trace(model, x)
    for edit, expected in [
        (PathEdit(("first", 3), "twice", (0, 1), 0.25), first),
        (PathEdit(("twice", 3), "twice#2", (0, 1), 0.25), second),
    ]:
        with edited(model, graph, edit) as changed:
            torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.5, -1.0, 1.0])
@pytest.mark.parametrize("children", [None, (1, 4)])
def test_of_a_sum_only_the_units_own_part_is_scaled(beta: float, children: tuple[int, ...] | None) -> None:
    """Linear up to the children: w (a + b) becomes beta w a + w b."""
    model, x = seeded(LinearSum), images()
    chosen = list(children or range(6))
    with torch.no_grad():
        a, b = model.bn(model.a(x)), functional.relu(model.b(x))
        own = torch.zeros_like(a)
        own[:, 2] = a[:, 2]
        maps = model.next(a + b)
        extra = functional.conv2d(own, model.next.weight)
        maps[:, chosen] += (beta - 1) * extra[:, chosen]
        expected = model.fc(functional.relu(maps).mean((2, 3)))
        whole = with_weights(model, [(PathEdit(("a", 2), "next", None, beta), (chosen, 2))])(x)
    graph = trace(model, x)
    with edited(model, graph, PathEdit(("a", 2), "next", children, beta)) as changed:
        found = changed(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.allclose(found, whole, atol=1e-6) == (beta == 1)
    with edited(model, graph, PathEdit(("a", 2), "next", children, beta, shared="channel")) as changed:
        torch.testing.assert_close(changed(x), whole, rtol=1e-5, atol=1e-6)


def block_by_hand(block: Block, x: Tensor, lesser: Callable[[Tensor], Tensor] = lambda y: y) -> Tensor:
    y = lesser(block.bn2(block.conv2(block.relu1(block.bn1(block.conv1(x))))))
    return block.relu2(y + block.down(x))


def test_behind_a_nonlinearity_the_children_see_the_unit_scaled() -> None:
    """block1.conv2[4] reaches block2.conv1 through relu(sum): only some children see it scaled."""
    model, x = seeded(Residual), images()

    def scaled(y: Tensor) -> Tensor:
        y = y.clone()
        y[:, 4] *= 0.3
        return y

    with torch.no_grad():
        stem = model.relu(model.bn(model.stem(x)))
        natural, seen = block_by_hand(model.block1, stem), block_by_hand(model.block1, stem, scaled)
        block = model.block2
        first = block.conv1(natural)
        first[:, [0, 6]] = block.conv1(seen)[:, [0, 6]]
        second = block.bn2(block.conv2(block.relu1(block.bn1(first))))
        expected = model.fc(block.relu2(second + block.down(natural)).mean((2, 3)))
    with edited(
        model, trace(model, x), PathEdit(("block1.conv2", 4), "block2.conv1", (0, 6), 0.3)
    ) as changed:
        torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)


def test_all_paths_from_a_unit_are_the_unit() -> None:
    """Everything that reads the unit sees it scaled: so it is scaled. Through sums, gates, at every site."""
    for build, layer, unit, x in [
        (Residual, "block1.conv2", 4, images()),
        (Residual, "block1.down.0", 0, images()),
        (Gated, "conv", 1, images()),
        (LinearSum, "b", 3, images()),
        (Concatenated, "left", 2, images()),
    ]:
        model = seeded(build)
        graph = trace(model, x)
        for site in ("conv", "norm", "activation"):
            if build is Concatenated and site != "activation":
                continue  # its channels are its own: the weights are scaled, wherever the site
            with intervene(model, graph, Intervention({layer: [unit]}, scale=0.4, site=site)) as known:
                expected = known(x)
            paths = [PathEdit((layer, unit), w.target, None, 0.4, site) for w in graph.children(layer)]
            if build is Concatenated:
                # BatchNorm after the concatenation: weights scaled there are not the map scaled before
                with edited(model, graph, paths) as changed:
                    assert not torch.allclose(changed(x), expected, atol=1e-4)
                continue
            assert len(paths) == len(graph.children(layer)) > 0
            with edited(model, graph, paths) as changed:
                torch.testing.assert_close(changed(x), expected, rtol=1e-4, atol=1e-5)


def test_a_gate_stays_what_it_was() -> None:
    """Squeeze and excitation: the path past the gate scales the filter, and leaves the gate."""
    model, x = seeded(Gated), images()
    with torch.no_grad():
        maps = functional.relu(model.conv(x))
        gate = torch.sigmoid(model.up(functional.relu(model.down(maps.mean((2, 3))))))
        maps[:, 1] *= 0.4
        expected = model.fc(functional.relu(model.next(maps * gate[:, :, None, None])).mean((2, 3)))
    with edited(model, trace(model, x), PathEdit(("conv", 1), "next", None, 0.4)) as changed:
        torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)


def test_two_units_of_one_channel_for_different_children() -> None:
    model, x = seeded(LinearSum), images()
    with torch.no_grad():
        a, b = model.bn(model.a(x)), functional.relu(model.b(x))

        def seen(factor_a: float, factor_b: float) -> Tensor:
            fa, fb = torch.ones(4, 1, 1), torch.ones(4, 1, 1)
            fa[2], fb[2] = factor_a, factor_b
            return model.next(a * fa + b * fb)

        maps = seen(1, 1)
        maps[:, 0], maps[:, 1], maps[:, 2] = seen(0, 1)[:, 0], seen(0, 0.5)[:, 1], seen(1, 0.5)[:, 2]
        expected = model.fc(functional.relu(maps).mean((2, 3)))
    edits = [PathEdit(("a", 2), "next", (0, 1), 0.0), PathEdit(("b", 2), "next", (1, 2), 0.5)]
    with edited(model, trace(model, x), edits) as changed:
        torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("betas", [(0.3,), (0.5, 0.6)])
def test_a_unit_on_a_channel_of_its_own_and_on_a_shared_one(betas: tuple[float, ...]) -> None:
    """On its own channel its weights are scaled behind BatchNorm, on the shared one its part before."""
    model, x = seeded(OwnAndShared), images()
    with torch.no_grad():
        a, b = model.a(x), functional.relu(model.b(x))
        lesser = a.clone()
        lesser[:, 2] *= 0.3
        own, shared = model.bn(torch.cat([a, a + b], 1)).split(4, 1)
        own[:, 2] *= 0.3
        shared = model.bn(torch.cat([a, lesser + b], 1))[:, 4:]
        maps = model.next(model.bn(torch.cat([a, a + b], 1)))
        maps[:, [1, 5]] = model.next(torch.cat([own, shared], 1))[:, [1, 5]]
        expected = model.fc(functional.relu(maps).mean((2, 3)))
    paths = [PathEdit(("a", 2), "next", (1, 5), beta) for beta in betas]
    with edited(model, trace(model, x), paths) as changed:
        torch.testing.assert_close(changed(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("edit", [("block1.conv2", "block2.conv1"), ("block1.conv1", "block1.conv2")])
def test_gradients_are_those_of_the_edited_network(edit: tuple[str, str]) -> None:
    model, x = seeded(Residual).double(), images(2, size=6).double()
    graph = trace(model, x)
    path = PathEdit((edit[0], 4), edit[1], (0, 2), 0.3)
    with edited(model, graph, path, grad=True) as changed:
        assert torch.autograd.gradcheck(changed, (x.requires_grad_(),), atol=1e-4)
        assert changed(x).requires_grad


def test_a_layer_with_its_own_arithmetic_is_refused() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return functional.conv2d(x, weight, self.bias)

    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), Standardised(4, 5, 3), nn.Flatten(), nn.Linear(320, 2)
    )
    x = images()
    with (
        pytest.raises(UnsupportedModelError, match='"2" is a Standardised'),
        edited(model, trace(model, x), PathEdit(("0", 1), "2")),
    ):
        pass


def test_another_output_size_is_refused() -> None:
    class Asked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.up, self.fc = nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 3, 2), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.up(self.conv(x), output_size=(22, 22)).mean((2, 3)))

    model, x = seeded(Asked), images()
    with (
        edited(model, trace(model, x), PathEdit(("conv", 1), "up")) as changed,
        pytest.raises(UnsupportedModelError, match="output size"),
    ):
        changed(x)


def test_it_works_in_bfloat16_and_under_autocast() -> None:
    model, x = seeded(Residual), images()
    graph = trace(model, x)
    path = PathEdit(("block1.conv2", 4), "block2.conv1", None, 0.3)
    with edited(model, graph, path) as changed:
        expected = changed(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = changed(x)
        with torch.inference_mode():
            torch.testing.assert_close(changed(x), expected, rtol=0, atol=0)
    torch.testing.assert_close(half.float(), expected, rtol=0.05, atol=0.05)
    model.bfloat16()
    with edited(model, graph, path) as changed:
        torch.testing.assert_close(changed(x.bfloat16()).float(), expected, rtol=0.1, atol=0.1)


def test_random_paths_of_random_networks_are_edited_weights() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        widths = [3, *(int(draw.choice([4, 8])) for _ in range(3))]
        groups = [1, *(int(draw.choice([1, 2, 4])) for _ in range(2))]
        layers: list[nn.Module] = []
        for k in range(3):
            layers += [nn.Conv2d(widths[k], widths[k + 1], 3, padding=1, groups=groups[k]), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[3] * 36, 3))
        x = images(4, size=6, seed=int(draw.integers(1000)))
        graph = trace(model, x)
        chosen = []
        for target in ("2", "4", "7"):
            wiring = graph.parents(target)[0]
            unit = int(draw.integers(wiring.source_units))
            children = graph.children_of(wiring.source, unit)[target]
            some = sorted(
                draw.choice(children, size=1 + draw.integers(len(children)), replace=False).tolist()
            )
            beta = float(draw.uniform(-1, 2))
            edit = PathEdit((wiring.source, unit), target, some, beta)
            if target == "7":
                chosen.append((edit, (np.array(some)[:, None], np.arange(36) + 36 * unit)))
            else:
                chosen.append((edit, (some, unit % (wiring.source_units // wiring.groups))))
        with torch.no_grad():
            expected = with_weights(model, chosen)(x)
        with edited(model, graph, Edits(tuple(edit for edit, _ in chosen))) as changed:
            torch.testing.assert_close(changed(x), expected, rtol=1e-4, atol=1e-5)
