"""The sites of a layer, and reaching them in a running model, against plain hooks and plain arithmetic."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from causal_widget.errors import UnknownNameError, UnsupportedModelError
from causal_widget.graph import as_maps, trace, watch
from causal_widget.guard import guarded


class Net(nn.Module):
    """conv -> norm -> activation in the given style -> pool -> linear."""

    def __init__(self, act, norm=None, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = norm if norm is not None else nn.BatchNorm2d(channels)
        self.act = act
        self.fc = nn.Linear(channels, 5)

    def forward(self, x):
        return self.fc(self.act(self.norm(self.conv(x))).mean((2, 3)))


def swish(x):
    return x * torch.sigmoid(x)


def scaled(x):
    return F.relu(x) * 0.5


def method_in_place(x):
    x.relu_()
    return x


STYLES = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "function": F.relu,
    "function in place": lambda x: F.relu(x, inplace=True),
    "method": torch.Tensor.relu,
    "method in place": method_in_place,
    "product": swish,
    "with dropout": nn.Sequential(nn.SiLU(), nn.Dropout(0.5)),
    "with a scale": scaled,
    "clamp": lambda x: x.clamp(0, 6),
}
IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def randomised(model):
    generator = torch.Generator().manual_seed(2)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape, generator=generator) + 0.2
    model.conv.weight.data -= 0.7
    return model.eval()


@pytest.mark.parametrize("style", STYLES)
def test_activation_is_what_the_rest_of_the_network_sees(style):
    model = randomised(Net(STYLES[style]))
    graph = trace(model, IMAGES)
    assert graph.layer("conv").sites == ("conv", "norm", "activation")
    seen = {}
    with guarded(model), torch.no_grad():
        expected = model.act(model.norm(model.conv(IMAGES)))
        handlers = [
            ("conv", s, lambda t, s=s: seen.setdefault(s, t.clone()) and None) for s in ("conv", "norm")
        ]
        handlers.append(("conv", "activation", lambda t: seen.setdefault("activation", t.clone()) and None))
        with watch(model, graph, [(n, s, _kept(seen, s)) for n, s, _ in handlers]):
            model(IMAGES)
        torch.testing.assert_close(seen["conv"], model.conv(IMAGES))
        torch.testing.assert_close(seen["norm"], model.norm(model.conv(IMAGES)))
        torch.testing.assert_close(seen["activation"], expected)


def _kept(seen, site):
    def keep(tensor):
        seen[site] = tensor.clone()

    return keep


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("site", ["conv", "norm", "activation"])
def test_a_replacement_at_a_site_is_what_is_computed_on(style, site):
    model = randomised(Net(STYLES[style]))
    graph = trace(model, IMAGES)

    def zero(t):
        t = t.clone()
        t[:, 2] = 0
        return t

    with guarded(model), torch.no_grad():
        stage = model.conv(IMAGES)
        stage = zero(stage) if site == "conv" else stage
        stage = model.norm(stage)
        stage = zero(stage) if site == "norm" else stage
        stage = model.act(stage)
        stage = zero(stage) if site == "activation" else stage
        expected = model.fc(stage.mean((2, 3)))
        with watch(model, graph, [("conv", site, zero)]):
            torch.testing.assert_close(model(IMAGES), expected)
        before = model(IMAGES)
        assert not torch.allclose(before, expected)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("site", ["conv", "norm", "activation"])
def test_gradients_pass_through_a_replacement(style, site):
    model = randomised(Net(STYLES[style]))
    graph = trace(model, IMAGES)
    gate = torch.ones(4, requires_grad=True)

    def gated(x, at):
        return x * gate[:, None, None] if at == site else x

    # The same network written out, on copies, so that nothing is done in place to what a gradient needs.
    x = gated(model.conv(IMAGES), "conv")
    x = gated(model.norm(x), "norm")
    x = gated(model.act(x.clone()), "activation")
    (expected,) = torch.autograd.grad(model.fc(x.mean((2, 3))).square().sum(), gate)
    handler = ("conv", site, lambda t: t * gate[:, None, None])
    with guarded(model, grad=True), watch(model, graph, [handler]):
        (found,) = torch.autograd.grad(model(IMAGES).square().sum(), gate)
    torch.testing.assert_close(found, expected)
    assert (found != 0).any()


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.b, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        y = F.relu(self.a(x))
        return self.fc(F.relu(self.bn(self.b(y)) + y).mean((2, 3)))


def test_a_summand_has_no_activation_of_its_own():
    graph = trace(Residual(), IMAGES)
    assert graph.layer("a").sites == ("conv", "activation")
    assert graph.layer("b").sites == ("conv", "norm")
    assert graph.layer("b").site("activation") == "norm"
    assert graph.layer("b").norm == "bn"
    with pytest.raises(UnknownNameError, match='"activation"'):
        graph.layer("b").site("activatoin")


def test_pooling_is_not_part_of_the_activation():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    graph = trace(model, IMAGES)
    shapes = []
    with guarded(model), watch(model, graph, [("0", "activation", lambda t: shapes.append(tuple(t.shape)))]):
        model(IMAGES)
    assert shapes == [(6, 4, 6, 6)]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(F.relu(self.conv(F.relu(self.conv(x)))).mean((2, 3)))


def test_a_module_called_twice_is_two_layers():
    model = Twice()
    graph = trace(model, IMAGES)
    assert graph.names == ("conv", "conv#2", "fc")
    assert [w.source for w in graph.parents("conv#2")] == ["conv"]
    with guarded(model):
        x = F.relu(model.conv(IMAGES))
        y = F.relu(model.conv(x))
        y[:, 1] = 5.0
        with watch(
            model, graph, [("conv#2", "activation", lambda t: t.index_fill(1, torch.tensor([1]), 5.0))]
        ):
            torch.testing.assert_close(model(IMAGES), model.fc(y.mean((2, 3))))
            torch.testing.assert_close(model(IMAGES), model.fc(y.mean((2, 3))))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

    def forward(self, x):
        y = self.conv(x)
        y = F.relu(y) if x.mean() > 0 else torch.tanh(y)
        return self.fc(y.mean((2, 3)))


def test_a_branch_on_values_is_recorded_and_another_path_is_told():
    model = Branching()
    graph = trace(model, torch.ones(1, 3, 4, 4))
    assert graph.traced_by == "recorded"
    assert "control flow" in graph.note
    with guarded(model), watch(model, graph, [("conv", "activation", lambda t: None)]):
        model(torch.ones(1, 3, 4, 4))
        with pytest.raises(UnsupportedModelError, match="called tanh where relu was traced"):
            model(-torch.ones(1, 3, 4, 4))


def test_nested_blocks_the_outer_one_first():
    model = randomised(Net(nn.ReLU()))
    graph = trace(model, IMAGES)
    seen = {}
    set_to_3 = watch(model, graph, [("conv", "activation", lambda t: t * 0 + 3)])
    with guarded(model), set_to_3, watch(model, graph, [("conv", "activation", _kept(seen, "inner"))]):
        model(IMAGES)
    assert (seen["inner"] == 3).all()


def test_maps_of_channels_last_and_linear_layers():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.mlp, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.fc(F.gelu(self.mlp(self.conv(x).permute(0, 2, 3, 1))).mean((1, 2)))

    model = Last()
    graph = trace(model, IMAGES)
    seen = {}
    with guarded(model), watch(model, graph, [(n, "conv", _kept(seen, n)) for n in graph.names]):
        model(IMAGES)
    assert as_maps(graph.layer("mlp"), seen["mlp"]).shape == (6, 6, 8, 8)
    assert as_maps(graph.layer("fc"), seen["fc"]).shape == (6, 2, 1, 1)
    torch.testing.assert_close(as_maps(graph.layer("mlp"), seen["mlp"])[:, 3], seen["mlp"][..., 3])


def test_nothing_stays_on_the_model_when_a_handler_raises():
    model = randomised(Net(nn.ReLU()))
    graph = trace(model, IMAGES)

    def fail(_):
        raise ZeroDivisionError("handler")

    with guarded(model), pytest.raises(ZeroDivisionError), watch(model, graph, [("conv", "norm", fail)]):
        model(IMAGES)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert torch.overrides._get_current_function_mode_stack() == []


def test_a_part_of_the_model_run_by_itself_is_watched_every_time():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model, x = (
        nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
        torch.randn(2, 3, 6, 6),
    )
    seen = []
    with (
        guarded(model),
        watch(model, trace(model, x), [("0.0", "activation", lambda t: seen.append(t.shape))]),
    ):
        body(x)
        model(x)
        body(x)
        body(x)
        with pytest.raises(RuntimeError):
            model(x[:, :2])
        body(x)
    assert len(seen) == 5
