"""Methods that follow gradients: captum's, each with the settings it is compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from causal_widget.errors import UnsupportedModelError
from causal_widget.evaluation.attributions.libraries import library
from causal_widget.evaluation.attributions.method import Method, as_method, filled, sow
from causal_widget.graph.rules import words

__all__ = [
    "deconvolution",
    "gradient_shap",
    "guided_backprop",
    "input_x_gradient",
    "integrated_gradients",
    "saliency",
]

STEPS, SAMPLES, SPREAD = 32, 16, 0.1


def _captum() -> Any:
    return library("captum.attr", "this attribution method")


@as_method
def saliency(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Largest absolute gradient over the channels (Simonyan et al. 2014, section 3.1), from captum."""
    found: Tensor = _captum().Saliency(model).attribute(images, target=targets, abs=True)
    return found.amax(dim=1)


@as_method
def input_x_gradient(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Image times gradient of the class's logit (Shrikumar et al. 2017), from captum."""
    found: Tensor = _captum().InputXGradient(model).attribute(images, target=targets)
    return found


@as_method
def integrated_gradients(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Integrated Gradients (Sundararajan et al. 2017), from captum: 32 steps from the image's mean."""
    method = _captum().IntegratedGradients(model)
    found: Tensor = method.attribute(
        images, baselines=filled(images), target=targets, n_steps=STEPS, internal_batch_size=len(images) * 8
    )
    return found


@as_method
def gradient_shap(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """GradientSHAP (Lundberg and Lee 2017), from captum: 16 noisy samples between the image and its mean.

    Image by image, each with the same random numbers, so that a map does not depend on its neighbours.
    """
    method = _captum().GradientShap(model)
    found = []
    for image, target in zip(images.split(1), targets.split(1), strict=True):
        sow(seed)
        found.append(
            method.attribute(image, baselines=filled(image), target=target, n_samples=SAMPLES, stdevs=SPREAD)
        )
    return torch.cat(found)


@as_method
def deconvolution(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Deconvolution (Zeiler and Fergus 2014), from captum; for networks whose only activation is nn.ReLU."""
    _refuse_hidden_relus(model, images, "Deconvolution")
    found: Tensor = _captum().Deconvolution(model).attribute(images, target=targets)
    return found


@as_method
def guided_backprop(model: nn.Module, images: Tensor, targets: Tensor, seed: int) -> Tensor:
    """Guided Backprop (Springenberg et al. 2015), from captum; where the only activation is nn.ReLU."""
    _refuse_hidden_relus(model, images, "Guided Backprop")
    found: Tensor = _captum().GuidedBackprop(model).attribute(images, target=targets)
    return found


ACTIVATIONS = words(
    """
    relu leaky_relu elu gelu silu mish softplus hardtanh hardswish hardsigmoid sigmoid tanh prelu
    _prelu_kernel
    """
)


class _Activations(TorchDispatchMode):
    """Counts the activations that a network computes, of modules and of functions alike."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[-1]
        self.count += (name.rstrip("_") if func._schema.is_mutable else name) in ACTIVATIONS
        return func(*args, **(kwargs or {}))


def _refuse_hidden_relus(model: nn.Module, images: Tensor, method: str) -> None:
    """Refuse a network with activations that captum would pass over, leaving a plain gradient there."""
    calls: list[nn.Module] = []
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    handles = [relu.register_forward_hook(lambda module, *_: calls.append(module)) for relu in relus]
    counter = _Activations()
    try:
        with torch.no_grad(), counter:
            model(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    if len(calls) != counter.count or not calls:
        raise UnsupportedModelError(
            f"{method} changes the gradient of nn.ReLU modules; this network computes {counter.count} "
            f"activations, of which {len(calls)} are such modules"
        )


METHODS: dict[str, Method] = {
    "Integrated Gradients": integrated_gradients,
    "Saliency": saliency,
    "GradientSHAP": gradient_shap,
    "Input x Gradient": input_x_gradient,
    "Deconvolution": deconvolution,
    "Guided Backprop": guided_backprop,
}
