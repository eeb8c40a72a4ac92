"""Excitation Backprop (MWP): winners are drawn top-down, in proportion to what excites them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from causal_widget.errors import UnsupportedModelError
from causal_widget.evaluation.attributions.libraries import library
from causal_widget.evaluation.attributions.method import Method, as_method
from causal_widget.graph import trace

__all__ = ["excitation_backprop"]

ADDS = frozenset({"add", "__add__", "__radd__", "__iadd__"})
MEANS = frozenset({"mean", "avg_pool2d", "adaptive_avg_pool2d"})
PRODUCTS = frozenset({"mul", "__mul__", "__rmul__", "__imul__", "mul_"})


@as_method
def excitation_backprop(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Excitation Backprop (Zhang et al. 2018, eq. 3 and 5), with zennit's rule for layers.

    The probability that neuron j wins below a winning neuron i is ``a_j max(w_ij, 0) / sum over j`` of the
    same (zennit's ZPlus without bias; of the image, whose numbers may be negative, a product of two negative
    numbers excites too). BatchNorm is folded into the layer before it, by the network's graph. At sums of
    branches and at averages, which zennit knows only as modules, the share is in proportion to the positive
    part of each operand. For networks of ReLUs; maximum pooling passes to its winner.

    Raises
    ------
    UnsupportedModelError
        If a BatchNorm follows no layer, or the network multiplies activations with each other.
    """
    zennit = library("zennit.composites", "Excitation Backprop")
    rules, types = library("zennit.rules", "it"), library("zennit.types", "it")
    fold = library("zennit.canonizers", "it").NamedMergeBatchNorm(_norms(model, images))
    composite = zennit.LayerMapComposite(
        [(types.Linear, rules.ZPlus(zero_params=["bias"]))], canonizers=[fold]
    )
    # The rule writes into the layers while it lasts: into a copy's.
    own = copy.deepcopy(model)
    given = images.detach().clone().requires_grad_()
    with composite.context(own) as hooked:
        with _Shares():
            logits = hooked(given)
        winners = nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        (found,) = torch.autograd.grad(logits, given, grad_outputs=winners)
    return found


def _norms(model: nn.Module, images: Tensor) -> list[tuple[list[str], str]]:
    """Pair each BatchNorm with the layer that it follows."""
    graph = trace(model, images[:1])
    modules = dict(model.named_modules())
    pairs = [
        ([layer.module], layer.norm)
        for layer in graph.layers
        if layer.norm is not None and isinstance(modules[layer.norm], nn.modules.batchnorm._BatchNorm)
    ]
    folded = [norm for _, norm in pairs]
    for name, module in modules.items():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and folded.count(name) != 1:
            raise UnsupportedModelError(
                f'BatchNorm "{name}" follows no single layer directly: Excitation Backprop cannot fold it'
            )
    return pairs


class _Shares(TorchFunctionMode):
    """Let sums and averages share out their winnings in proportion to their operands."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        operands = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        if name in PRODUCTS and len(operands) > 1:
            raise UnsupportedModelError(
                "the network multiplies activations with each other: Excitation Backprop is not defined there"
            )
        if name == "add_" and len(operands) > 1:
            raise UnsupportedModelError("the network adds in place by add_: write x = x + y instead")
        if name in ADDS and len(operands) == 2:
            return _Proportional.apply(torch.add, *operands)
        if name in MEANS and operands:
            return _Proportional.apply(lambda x: func(x, *args[1:], **kwargs), operands[0])
        return func(*args, **kwargs)


class _Proportional(torch.autograd.Function):
    """A sum whose gradient is shared out in proportion to the positive part of what it sums."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *operands: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(*operands)
        return function(*operands)

    @staticmethod
    def backward(ctx: Any, *won: Tensor) -> tuple[Tensor | None, ...]:
        positive = [x.detach().clamp(min=0).requires_grad_() for x in ctx.saved_tensors]
        with torch.enable_grad():
            total = ctx.function(*positive)
        share = torch.where(total > 0, won[0] / total.detach().clamp(min=1e-30), 0.0)
        found = torch.autograd.grad(total, positive, grad_outputs=share)
        return None, *(x.detach() * each for x, each in zip(positive, found, strict=True))


METHODS: dict[str, Method] = {"Excitation Backprop": excitation_backprop}
