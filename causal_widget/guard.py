"""The one way to touch the user's model: whatever happens inside, outside nothing has changed."""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from causal_widget.errors import UnsupportedModelError

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_lock = threading.Lock()


@dataclass
class Guard:
    """A model that may be run and hooked until the guard ends.

    Attributes
    ----------
    model : nn.Module
        The user's model, in `eval` mode.
    device : torch.device
        Where its parameters are while the guard lasts.
    """

    model: nn.Module
    device: torch.device
    _handles: list[RemovableHandle] = field(default_factory=list)

    def forward_hook(self, module: nn.Module, hook: Callable[..., Any]) -> None:
        """Register a forward hook that is removed when the guard ends."""
        self._handles.append(module.register_forward_hook(hook))

    def forward_pre_hook(self, module: nn.Module, hook: Callable[..., Any]) -> None:
        """Register a forward pre-hook that is removed when the guard ends."""
        self._handles.append(module.register_forward_pre_hook(hook))

    def release(self) -> None:
        """Remove every hook."""
        while self._handles:
            self._handles.pop().remove()


def bare(model: object) -> nn.Module:
    """Give the module itself, out of `DataParallel` and `torch.compile` wrappers.

    Raises
    ------
    UnsupportedModelError
        If `model` is not a module, is one of TorchScript, which shows neither its layers nor its functions,
        or has lazy layers that no image has given a shape yet.
    """
    if not isinstance(model, nn.Module):
        raise UnsupportedModelError(
            f"the model must be a torch.nn.Module, got {type(model).__name__}: {model!r:.80}"
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise UnsupportedModelError(
            f"the model is a {type(model).__name__} of TorchScript, which cannot be looked into; "
            "give the torch.nn.Module that it was made from"
        )
    while True:
        inner = model._modules.get("_orig_mod")
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            _refuse_lazy(model)
            return model
        model = inner


def _refuse_lazy(model: nn.Module) -> None:
    lazy = next((name for name, p in model.named_parameters() if is_lazy(p)), None)
    if lazy is not None:
        raise UnsupportedModelError(
            f'parameter "{lazy}" of {type(model).__name__} has no shape yet: run the model once on images'
        )


def floating_type(model: nn.Module) -> torch.dtype | None:
    """Give the floating type of the network's weights, which its images must have."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), None)


@contextmanager
def guarded(model: nn.Module, device: torch.device | None = None, grad: bool = False) -> Iterator[Guard]:
    """Hold a model still: `eval` mode, no gradients, hooks that are removed, everything restored.

    Training flags, buffers, device, hooks and the state of every random generator are, on the way out, what
    they were on the way in, after success, exception or cancel. Parameters are never written to. Another
    thread that wants the same model waits; the same thread may nest guards.

    Parameters
    ----------
    model : nn.Module
        The user's model.
    device : torch.device, optional
        Run there, and move the model back afterwards. None: leave it where it is.
    grad : bool
        Whether gradients are recorded.

    Yields
    ------
    Guard
        The model with its device, and the means to hook it.
    """
    with ExitStack() as stack:
        stack.enter_context(_lock_of(model))
        stack.enter_context(_random_state())
        stack.enter_context(_placed(model, device))
        stack.enter_context(_buffers(model))
        stack.enter_context(_evaluating(model))
        stack.enter_context(torch.set_grad_enabled(grad))
        guard = Guard(model, _device_of(model))
        stack.callback(guard.release)
        yield guard


def _lock_of(model: nn.Module) -> threading.RLock:
    with _locks_lock:
        return _locks.setdefault(model, threading.RLock())


def _device_of(model: nn.Module) -> torch.device:
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def _random_state() -> Iterator[None]:
    cpu, cuda = torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    legacy, python = np.random.get_state(), random.getstate()  # noqa: NPY002 (the user's state is what is kept)
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        for i, state in enumerate(cuda):
            torch.cuda.set_rng_state(state, i)
        if mps is not None:
            torch.mps.set_rng_state(mps)
        np.random.set_state(legacy)  # noqa: NPY002
        random.setstate(python)


@contextmanager
def _placed(model: nn.Module, device: torch.device | None) -> Iterator[None]:
    home = _device_of(model)
    if device is None or device == home:
        yield
        return
    _refuse_split(model)
    try:
        model.to(device)
        yield
    finally:
        model.to(home)


def _refuse_split(model: nn.Module) -> None:
    devices = {str(t.device) for t in (*model.parameters(), *model.buffers())}
    if len(devices) > 1:
        raise UnsupportedModelError(
            f"the model is spread over {sorted(devices)}; use device=None to leave it there"
        )


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    """Put back values, and the tensors themselves where the model registered others in their place."""
    owned = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    values = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for current, before in owned:
            current.clear()
            current.update(before)
        with torch.no_grad():
            for buffer, value in values:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in flags:
            module.training = training
