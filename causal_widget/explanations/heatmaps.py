"""Maps over the image: a layer's weighted activations, one unit's, and what do() changes in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional

from causal_widget.effects import in_halves, sizes_said
from causal_widget.errors import ArgumentError, DataError, NonFiniteError
from causal_widget.graph import FilterGraph, Layer, as_maps, watch
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.interventions import Intervention, Lever

__all__ = ["difference", "heatmap"]

Maps = Float64[np.ndarray, "image height width"]


def heatmap(
    model: nn.Module,
    graph: FilterGraph,
    images: Float[Tensor, "image channel height width"],
    layer: str | int,
    *,
    weights: Float64[np.ndarray, " unit"] | Sequence[float] | None = None,
    unit: int | None = None,
    intervention: Intervention | None = None,
    site: str = "activation",
    device: torch.device | None = None,
) -> Maps:
    """Map a layer's activation over the images, for all images in one pass.

    Formula: ``M(y, x) = sum over units u of w_u * A_u(y, x)`` with A the layer's maps at the site and w the
    weights; with `unit` instead, ``M = A_unit``. Then M is interpolated bilinearly (pixel centres aligned) to
    the images' size. Nothing is normalised and nothing is cut: the map is signed where the activations are.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network, which is not changed, and its graph.
    images : tensor, shape (image, channel, height, width)
        As the network takes them; a single image without the first axis will do.
    layer : str or int
        A layer with maps, by name or index.
    weights : array, shape (unit,), optional
        One number a unit, for example an importance.
    unit : int, optional
        One unit instead of weights.
    intervention : Intervention, optional
        Map the network under do().
    site : str
        Where the maps are read.
    device : torch.device, optional
        Where to run. None: where the model is.

    Returns
    -------
    array, shape (image, height, width)
        In float64, at the images' size.

    Raises
    ------
    UnknownNameError
        If the layer or unit does not exist.
    ArgumentError
        If not exactly one of `weights` and `unit` is given, or the weights are not one finite number a unit.
    DataError, NonFiniteError
        If the images are not such, or of a size that the network cannot take, or maps are NaN or infinite.
    DeviceError
        If the memory is too small for one image; several are taken in halves then, with a warning.
    """
    settings = [None if intervention is None else intervention.checked(graph)]
    (maps,) = _maps(model, graph, images, layer, weights, unit, settings, site, device)
    return maps


def difference(
    model: nn.Module,
    graph: FilterGraph,
    images: Float[Tensor, "image channel height width"],
    layer: str | int,
    intervention: Intervention,
    *,
    weights: Float64[np.ndarray, " unit"] | Sequence[float] | None = None,
    unit: int | None = None,
    site: str = "activation",
    device: torch.device | None = None,
) -> Maps:
    """Map what an intervention changes: ``M under do() - M``, signed, with M as in `heatmap`.

    Raises
    ------
    UnknownNameError, ArgumentError, DataError, NonFiniteError
        As for `heatmap`; ArgumentError also if the intervention is on the output.
    """
    settings = [None, intervention.checked(graph)]
    before, after = _maps(model, graph, images, layer, weights, unit, settings, site, device)
    return np.asarray(after - before)


def _maps(
    model: nn.Module,
    graph: FilterGraph,
    images: Tensor,
    layer: str | int,
    weights: Float64[np.ndarray, " unit"] | Sequence[float] | None,
    unit: int | None,
    settings: Sequence[Intervention | None],
    site: str,
    device: torch.device | None,
) -> list[Maps]:
    chosen = graph.layer(layer)
    if chosen.unit_axis != -3:
        raise ArgumentError(f'layer "{chosen.name}" has no maps: its units have no place in the image')
    mix = _mix(graph, chosen, weights, unit)
    batch = _images(images)
    seen: list[Tensor] = []

    def read(maps: Tensor) -> None:
        # MPS has no float64
        wide = as_maps(chosen, maps).to("cpu" if maps.device.type == "mps" else maps.device).double()
        seen.append(torch.einsum("nuhw,u->nhw", wide, mix.to(wide.device)).cpu())

    lever = Lever(graph, [one for one in settings if one is not None])
    handlers = [*lever.handlers, (chosen.name, chosen.site(site), read)]
    network = bare(model)

    def run(part: Tensor) -> Tensor:
        seen.clear()
        network(part)
        return seen[0]

    found = []
    with guarded(network, device) as guard, watch(network, graph, handlers):
        given = batch.to(guard.device, floating_type(network))
        for setting in settings:
            lever.pull(setting)
            with sizes_said(graph, batch, "the images are"):
                found.append(in_halves(run, given))
    return [_upsampled(maps, batch, chosen) for maps in found]


def _mix(
    graph: FilterGraph,
    layer: Layer,
    weights: Float64[np.ndarray, " unit"] | Sequence[float] | None,
    unit: int | None,
) -> Float64[Tensor, " unit"]:
    if (weights is None) == (unit is None):
        raise ArgumentError("give either weights or a unit, and not both")
    if unit is not None:
        ((_, (number,)),) = graph.check_units({layer.name: [unit]}).items()
        return functional.one_hot(torch.tensor(number), layer.units).double()
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (layer.units,) or not np.isfinite(values).all():
        raise ArgumentError(
            f'weights of layer "{layer.name}" must be {layer.units} finite numbers, got shape '
            f"{values.shape} with {int((~np.isfinite(values)).sum())} not finite"
        )
    return torch.from_numpy(values.copy())


def _images(images: Tensor) -> Tensor:
    if not isinstance(images, Tensor) or images.ndim not in (3, 4) or not images.is_floating_point():
        got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise DataError(f"images must be a float tensor (image, channel, height, width), got {got}")
    if not torch.isfinite(images).all():
        raise NonFiniteError("the images hold NaN or infinity")
    return images[None] if images.ndim == 3 else images


def _upsampled(maps: Float64[Tensor, "image h w"], images: Tensor, layer: Layer) -> Maps:
    if not torch.isfinite(maps).all():
        raise NonFiniteError(f'the activations of layer "{layer.name}" hold NaN or infinity')
    size = (int(images.shape[-2]), int(images.shape[-1]))
    full = functional.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)
    return np.asarray(full[:, 0].numpy())
