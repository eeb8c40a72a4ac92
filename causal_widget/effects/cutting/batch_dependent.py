"""Networks in which one image's answer depends on the images beside it."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from causal_widget.errors import UnsupportedModelError

__all__ = ["refuse_batch_dependent"]


def refuse_batch_dependent(model: nn.Module) -> None:
    """Refuse a model whose effects would depend on how its images are cut into batches.

    Instance normalisation is computed within an image, and is no reason.

    Raises
    ------
    UnsupportedModelError
        If a BatchNorm has no running statistics: it then normalises by those of the batch, also in eval mode.
    """
    for path, module in model.named_modules():
        if isinstance(module, _BatchNorm) and (module.running_mean is None or module.running_var is None):
            raise UnsupportedModelError(
                f'"{path}" ({type(module).__name__}) has no running statistics: it normalises by the batch '
                "at hand, so that an image's answer depends on the images beside it and no image has an "
                "effect of its own; train it with track_running_stats=True"
            )
