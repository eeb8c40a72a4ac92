"""Whether a model's control flow depends on the values of the images."""

from __future__ import annotations

from torch import fx, nn

from causal_widget.graph.calls import layer_modules


class _Tracer(fx.Tracer):
    """Do not look into layers and torch's own modules; look into everything a user wrote."""

    def __init__(self, layers: set[nn.Module]) -> None:
        super().__init__()
        self._layers = layers

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self._layers or super().is_leaf_module(m, module_qualified_name)


def why_not_symbolic(model: nn.Module) -> str:
    """Try to follow a model symbolically.

    Parameters
    ----------
    model : nn.Module
        The model, in eval mode.

    Returns
    -------
    str
        Empty where the model could be followed: its path is the same for every image. Otherwise what stood
        in the way.
    """
    try:
        _Tracer(set(layer_modules(model).values())).trace(model)
    # A model may do anything at all with a proxy, and so raise anything; whatever it is, it is the answer.
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""
