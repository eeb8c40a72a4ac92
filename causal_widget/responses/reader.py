"""Responses of all layers for a batch of images, from one forward pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.errors import DeviceError, NonFiniteError, UnsupportedModelError
from causal_widget.graph import FilterGraph, Layer, as_maps, watch
from causal_widget.responses.forcing import Forcing
from causal_widget.responses.layout import Layout
from causal_widget.responses.probe import transform_of
from causal_widget.responses.randomised import Draw
from causal_widget.responses.transforms import Transform


class ResponseReader:
    """Runs a model and reads every layer's responses at a site.

    The output layer's response is its signed value: the logit. Used within `guarded` and `reading`.

    Parameters
    ----------
    model
        The network, in eval mode.
    graph, layout
        Its layers and their columns.
    transform, site
        What makes a response, and where the activation is read.
    put_site
        Where random interventions set units, at or before `site`; None is there.
    """

    def __init__(
        self,
        model: nn.Module,
        graph: FilterGraph,
        layout: Layout,
        transform: Transform,
        site: str,
        put_site: str | None = None,
    ) -> None:
        self._model, self._graph, self._layout = model, graph, layout
        self._transform, self._site, self._put_site = transform, site, put_site or site
        self._found: dict[str, Tensor] = {}
        self._forcing: Forcing | None = None
        self._most: int | None = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Watch every layer for the length of the block."""
        handlers = []
        for layer in self._graph.layers:
            if not layer.is_output:
                handlers.append((layer.name, layer.site(self._put_site), self._putting(layer)))
            site = layer.site("conv" if layer.is_output else self._site)
            handlers.append((layer.name, site, self._keeping(layer)))
        with watch(self._model, self._graph, handlers):
            yield

    def _putting(self, layer: Layer) -> Callable[[Tensor], None]:
        def put(tensor: Tensor) -> None:
            if self._forcing is not None:
                self._forcing.put(layer, tensor.detach())

        return put

    def _keeping(self, layer: Layer) -> Callable[[Tensor], None]:
        transform = transform_of(self._transform, layer)

        def keep(tensor: Tensor) -> None:
            maps = tensor.detach()
            if self._forcing is not None:
                maps = maps[: self._forcing.n_reached(layer)]
            if len(maps):
                # Of a vector-valued response a unit's components stand side by side.
                self._found[layer.name] = transform(as_maps(layer, maps)).flatten(1)

        return keep

    def read(self, images: Tensor, index: int) -> Float[np.ndarray, "image column"]:
        """Return the responses of a batch, all layers side by side.

        Where the accelerator's memory does not hold the batch it is halved, with a warning, for this and all
        later batches.

        Raises
        ------
        NonFiniteError
            A response is NaN or infinite; names layer and batch.
        DeviceError
            Not even one image fits.
        """
        found = self._in_parts(len(images), lambda rows: self._forward(images[rows], index))
        self._check_finite(found, index)
        return found

    def read_under(
        self, images: Tensor, index: int, draw: Draw, natural: Float[np.ndarray, "image column"]
    ) -> Float[np.ndarray, "image column"]:
        """Return the actual responses of a batch under random interventions; one forward pass.

        Parameters
        ----------
        images, index
            The batch.
        draw
            What is intervened on.
        natural
            Its responses without interventions, from `read`.

        Raises
        ------
        NonFiniteError, DeviceError
            As `read`.
        """
        found = self._in_parts(
            len(images), lambda rows: self._forward_under(images[rows], index, draw.take(rows), natural[rows])
        )
        self._check_finite(found, index)
        return found

    def _in_parts(
        self, n_images: int, run: Callable[[slice], Float[np.ndarray, "image column"]]
    ) -> Float[np.ndarray, "image column"]:
        while True:
            size = min(self._most or n_images, n_images)
            try:
                parts = [run(slice(first, first + size)) for first in range(0, n_images, size)]
                return np.concatenate(parts) if len(parts) > 1 else parts[0]
            except torch.cuda.OutOfMemoryError as error:
                if size == 1:
                    raise DeviceError(
                        "The device is out of memory with a single image; take another device."
                    ) from error
                self._found.clear()
            self._most = (size + 1) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            warnings.warn(
                f"The device is out of memory with {size} images at once; going on with {self._most}.",
                RuntimeWarning,
                stacklevel=7,
            )

    def _forward(self, images: Tensor, index: int) -> Float[np.ndarray, "image column"]:
        self._found.clear()
        self._model(images)
        columns = [self._column(name, len(images), index) for name in self._layout.widths]
        self._found.clear()
        return np.asarray(torch.cat(columns, dim=1).cpu().numpy())

    def _forward_under(
        self, images: Tensor, index: int, draw: Draw, natural: Float[np.ndarray, "image column"]
    ) -> Float[np.ndarray, "image column"]:
        self._found.clear()
        self._forcing = forcing = Forcing(self._graph, draw)
        try:
            self._model(images[torch.from_numpy(forcing.order).to(images.device)])
        finally:
            self._forcing = None
        reached = {layer.name: forcing.n_reached(layer) for layer in self._graph.layers}
        read = {name: self._column(name, n_images, index) for name, n_images in reached.items() if n_images}
        self._found.clear()
        # One transfer from the device for all layers.
        flat = torch.cat([columns.flatten() for columns in read.values()]).cpu().numpy()
        ends = np.cumsum([columns.numel() for columns in read.values()])
        found = {
            name: part.reshape(reached[name], -1)
            for name, part in zip(read, np.split(flat, ends[:-1]), strict=True)
        }
        return forcing.actual(self._layout, found, natural)

    def _column(self, name: str, n_images: int, index: int) -> Tensor:
        if name not in self._found:
            raise UnsupportedModelError(
                f"Layer {name!r} did not run for batch {index}; expected every layer to run for every image."
            )
        found = self._found[name]
        expected = (n_images, self._layout.widths[name])
        if tuple(found.shape) != expected:
            raise UnsupportedModelError(
                f"Layer {name!r} has responses of shape {tuple(found.shape)} for batch {index}; "
                f"expected {expected}."
            )
        return found.float() if found.dtype in (torch.float16, torch.bfloat16) else found

    def _check_finite(self, found: Float[np.ndarray, "image column"], index: int) -> None:
        finite = np.isfinite(found)
        if finite.all():
            return
        column = int(np.flatnonzero(~finite.all(axis=0))[0])
        for name, columns in self._layout.slices.items():
            if columns.start <= column < columns.stop:
                image = int(np.flatnonzero(~finite[:, column])[0])
                unit = (column - columns.start) // self._layout.components[name]
                raise NonFiniteError(
                    f"Layer {name!r}, unit {unit}, has a NaN or infinite response "
                    f"in batch {index} (image {image} of the batch)."
                )
