"""Whatever happens under the guard, outside nothing has changed."""

from __future__ import annotations

import gc
import random
import threading
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from causal_widget.errors import Cancelled, UnsupportedModelError
from causal_widget.guard import bare, guarded


class Restless(nn.Module):
    """Changes its own buffers and draws random numbers in every forward pass."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()
        self.register_buffer("count", torch.zeros(()))
        self.bn.eval()  # a mixture of modes, as in fine-tuning

    def forward(self, x):
        self.count += 1
        return self.bn(self.conv(x)) + torch.rand(()) * np.random.rand() * random.random()  # noqa: NPY002


def picture(model):
    """Everything about a model and the random generators that a person could find changed."""
    state = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()
    ]
    grads = [p.requires_grad for p in model.parameters()]
    return state, modes, hooks, grads, torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002


def assert_same(a, b):
    assert a[0].keys() == b[0].keys()
    for key in a[0]:
        assert torch.equal(a[0][key], b[0][key]), key
    assert a[1:4] == b[1:4]
    assert torch.equal(a[4], b[4])
    assert a[5:] == b[5:]


@pytest.mark.parametrize("ending", [None, ValueError, KeyboardInterrupt, Cancelled])
def test_nothing_is_left_changed(ending):
    model = Restless()
    model.train()
    model.bn.eval()
    before = picture(model)
    ran = []

    def use():
        with guarded(model) as guard:
            assert not model.training
            assert not torch.is_grad_enabled()
            guard.forward_hook(model.conv, lambda *_: ran.append(1))
            guard.forward_pre_hook(model.conv, lambda *_: None)
            model(torch.zeros(1, 3, 4, 4))
            assert float(model.count) == 1
            if ending:
                raise ending

    if ending:
        with pytest.raises(ending):
            use()
    else:
        use()
    assert ran == [1]
    assert torch.is_grad_enabled()
    assert_same(before, picture(model))


def test_guards_nest_in_one_thread_and_exclude_other_threads():
    model, order = Restless(), []
    inside, go_on = threading.Event(), threading.Event()

    def other():
        inside.wait(5)
        go_on.set()
        with guarded(model):
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    with guarded(model), guarded(model):
        inside.set()
        go_on.wait(5)
        thread.join(0.1)
        order.append("first")
    thread.join(5)
    assert order == ["first", "other"]


def test_the_guard_does_not_keep_the_model_alive():
    model = Restless()
    with guarded(model):
        pass
    ref = weakref.ref(model)
    del model
    gc.collect()
    assert ref() is None


def test_a_model_is_taken_out_of_its_wrappers():
    model = nn.Linear(2, 2)
    assert bare(nn.DataParallel(model)) is model
    with pytest.raises(UnsupportedModelError, match="int"):
        bare(3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_is_moved_and_comes_back():
    model = Restless()
    before = picture(model)
    with guarded(model, device=torch.device("cuda", 0)) as guard:
        assert guard.device.type == "cuda"
        model(torch.zeros(1, 3, 4, 4, device="cuda"))
    assert_same(before, picture(model))


class Rebinding(nn.Module):
    """Puts other tensors in place of its buffers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("cache", None)

    def forward(self, x):
        self.count, self.cache = self.count + 1, x.sum()
        self.register_buffer("late", x)
        return x


def test_buffers_that_the_model_replaces_come_back():
    model = Rebinding()
    count = model.count
    with guarded(model), guarded(model):
        model(torch.ones(2))
        assert float(model.count) == 1
    assert model.count is count
    assert float(count) == 0
    assert model.cache is None
    assert list(model._buffers) == ["count", "cache"]


def test_a_scripted_module_is_told_from_one_without_convolutions():
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3)))
    with pytest.raises(UnsupportedModelError, match="TorchScript"):
        bare(scripted)


def test_lazy_layers_without_a_shape_are_refused_and_stay_so():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(UnsupportedModelError, match=r'"0.weight".*run the model once'):
        bare(nn.DataParallel(model))
    assert isinstance(model[0].weight, nn.UninitializedParameter)
    model(torch.zeros(1, 3, 5, 5))
    assert bare(model) is model
