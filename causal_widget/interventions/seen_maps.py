"""What units' maps are over the data: their means, and the maps of some images that others may be given."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, DataError, NonFiniteError
from causal_widget.graph import FilterGraph, Layer, watch
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.interventions.unit_edit import check_site
from causal_widget.jobs import Progress


@dataclass(frozen=True, eq=False)
class _Seen:
    """Something of each layer's maps at one site."""

    site: str
    layers: Mapping[str, Tensor] = field(repr=False)

    def at(self, layer: Layer, site: str) -> Tensor:
        """Give a layer's.

        Raises
        ------
        ArgumentError
            If that layer, or that site of it, was not looked at.
        """
        if layer.name not in self.layers:
            raise ArgumentError(f'layer "{layer.name}" was not looked at, only {", ".join(self.layers)}')
        if layer.site(self.site) != site:
            raise ArgumentError(
                f'"{layer.name}" was looked at at {layer.site(self.site)} and is to be edited at {site}'
            )
        return self.layers[layer.name]


@dataclass(frozen=True, eq=False)
class MeanMaps(_Seen):
    """Mean map value of each unit, over images and positions.

    Attributes
    ----------
    site : str
        Where.
    layers : mapping of str to Tensor of float64, shape (unit,)
        By layer.
    n_images : int
        Over how many images.
    """

    n_images: int = 0


@dataclass(frozen=True, eq=False)
class Donors(_Seen):
    """Maps of some images.

    Attributes
    ----------
    site : str
        Where.
    layers : mapping of str to Tensor, shape (donor, unit, ...)
        By layer.
    index : int64 Tensor, shape (donor,)
        Numbers of the images in the data.
    """

    index: Int[Tensor, " donor"] = field(default_factory=lambda: torch.arange(0))


def means(
    model: nn.Module,
    graph: FilterGraph,
    images: Iterable[Any],
    site: str = "activation",
    layers: Iterable[str] | None = None,
    *,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> MeanMaps:
    """Take the mean map value of each unit in one pass over the images.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network.
    images : Tensor or iterable of batches
        Images of shape (image, channel, height, width), one pair (images, labels), or batches: tensors,
        (images, labels) or ``{"image": images}``.
    site : str
        Where; a layer without it is looked at at the last one before.
    layers : iterable of str, optional
        Which. None: all but the one that gives the classes.
    device : torch.device, optional
        Where the model runs. None: where it is.
    progress : Progress, optional
        Told of each batch; cancels.

    Returns
    -------
    MeanMaps
        Sums are float64; memory does not grow with the images.

    Raises
    ------
    DataError
        If there is no image, or a batch is none.
    NonFiniteError
        If a mean is NaN or infinite.
    """
    sums: dict[str, Float[Tensor, " unit"]] = {}
    counts: dict[str, int] = {}

    def look(layer: Layer, maps: Tensor) -> None:
        flat = maps.detach().movedim(layer.unit_axis, 0).flatten(1).double()
        sums[layer.name] = sums.get(layer.name, 0) + flat.sum(1)
        counts[layer.name] = counts.get(layer.name, 0) + flat.shape[1]

    n = sum(_looked(model, graph, images, site, layers, look, device, progress))
    found = {name: (total / counts[name]).cpu() for name, total in sums.items()}
    bad = next((name for name, mean in found.items() if not torch.isfinite(mean).all()), None)
    if bad is not None:
        unit = int((~torch.isfinite(found[bad])).nonzero()[0, 0])
        raise NonFiniteError(f"the mean of {bad}[{unit}] is {float(found[bad][unit])}: look at the images")
    return MeanMaps(site, found, n)


def donors(
    model: nn.Module,
    graph: FilterGraph,
    images: Iterable[Any],
    site: str = "activation",
    layers: Iterable[str] | None = None,
    *,
    n: int = 32,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Donors:
    """Keep the maps of the first `n` images, for `Resample` to give to others.

    Parameters
    ----------
    model, graph, images, site, layers, device, progress
        As for `means`.
    n : int
        How many images. Their maps are held in memory: n times all units' positions.

    Raises
    ------
    ArgumentError
        If n is less than 2: an image needs another one.
    DataError
        If there are fewer than 2 images.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 2:
        raise ArgumentError(f"n must be a whole number of donor images from 2, got {n!r:.80}")
    kept: dict[str, list[Tensor]] = {}

    def look(layer: Layer, maps: Tensor) -> None:
        kept.setdefault(layer.name, []).append(maps.detach().movedim(layer.unit_axis, 1).clone())

    found = 0
    with closing(_looked(model, graph, images, site, layers, look, device, progress)) as sizes:
        for size in sizes:
            found += size
            if found >= n:
                break
    if found < 2:
        raise DataError(f"donors must be 2 images or more, and there is {found}")
    maps = {name: torch.cat(parts)[:n] for name, parts in kept.items()}
    return Donors(site, maps, torch.arange(min(n, found)))


def _looked(
    model: nn.Module,
    graph: FilterGraph,
    images: Iterable[Any],
    site: str,
    layers: Iterable[str] | None,
    look: Callable[[Layer, Tensor], None],
    device: torch.device | None,
    progress: Progress | None,
) -> Generator[int, None, None]:
    """Run the images, show each layer's maps, and yield how many images a batch had."""
    check_site(site)
    asked = [layer.name for layer in graph.layers if not layer.is_output] if layers is None else list(layers)
    chosen = [graph.layer(name) for name in asked]
    handlers = [(layer.name, layer.site(site), _looker(layer, look)) for layer in chosen]
    network, empty = bare(model), True
    with guarded(network, device) as guard, watch(network, graph, handlers):
        for batch in _batches(images):
            empty = False
            network(batch.to(guard.device, floating_type(network)))
            if progress is not None:
                progress.advance(len(batch))
            yield len(batch)
    if empty:
        raise DataError("the loader is empty: it yielded no batch of images")


def _looker(layer: Layer, look: Callable[[Layer, Tensor], None]) -> Callable[[Tensor], None]:
    return lambda maps: look(layer, maps)


def _batches(images: Iterable[Any]) -> Iterator[Tensor]:
    if (
        isinstance(images, tuple)
        and len(images) == 2
        and isinstance(images[1], Tensor)
        and images[1].ndim == 1
    ):
        images = images[0]  # one pair of images and labels
    for raw in images.split(128) if isinstance(images, Tensor) else images:
        batch = raw
        if isinstance(raw, Mapping):
            batch = next((raw[key] for key in ("image", "images") if key in raw), None)
        elif isinstance(raw, list | tuple) and raw:
            batch = raw[0]
        if not isinstance(batch, Tensor) or batch.ndim < 3 or not len(batch):
            raise DataError(f"expected batches of images (image, channel, height, width), got {raw!r:.80}")
        yield batch
