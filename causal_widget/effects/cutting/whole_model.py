"""Networks that cannot be cut: every change costs a whole forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causal_widget.effects.cutting.batch_dependent import refuse_batch_dependent
from causal_widget.effects.cutting.carried import size_in_bytes
from causal_widget.effects.cutting.places import Place
from causal_widget.effects.cutting.state import replaced, rows_of
from causal_widget.effects.forward import logits_of
from causal_widget.errors import OrderError
from causal_widget.graph import FilterGraph, watch
from causal_widget.guard import bare, floating_type, guarded

__all__ = ["WholeModel", "WholeState"]


class WholeModel:
    """A network that is run as a whole, with the interface of `CutModel`.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The user's network and its graph.
    reason : str
        Why it is not cut.
    """

    def __init__(self, model: nn.Module, graph: FilterGraph, reason: str) -> None:
        self.model, self.graph, self.reason = bare(model), graph, reason
        refuse_batch_dependent(self.model)

    @contextmanager
    def run(
        self, images: Float[Tensor, "image channel height width"], at: Iterable[Place] = ()
    ) -> Iterator[WholeState]:
        """Run the network once, and keep the tensors at some sites while the block lasts."""
        with guarded(self.model) as guard:
            state = WholeState(self.model, self.graph, self.reason)
            state.fill(images.to(guard.device, floating_type(self.model)), list(at))
            try:
                yield state
            finally:
                state.clear()

    def __repr__(self) -> str:
        return f"WholeModel of {type(self.model).__name__}: whole forward passes, because {self.reason}"


class WholeState:
    """What was kept of one run over some images; `CutState` says what its members mean."""

    def __init__(self, model: nn.Module, graph: FilterGraph, reason: str) -> None:
        self.graph, self.reason, self._model = graph, reason, model
        self._images: Tensor | None = None
        self._values: dict[Place, Tensor] = {}
        self.logits = torch.empty(0)

    def fill(self, images: Tensor, places: list[Place]) -> None:
        """Run the network once, and keep the tensors at some sites."""

        def keep(place: Place) -> tuple[str, str, object]:
            return (*place, lambda tensor: self._values.__setitem__(place, tensor.clone()))

        with watch(self._model, self.graph, [keep(place) for place in places]):  # type: ignore[misc]
            self.logits = logits_of(self._model, images)
        self._images = images

    def clear(self) -> None:
        """Let go of what was kept; the logits stay."""
        self._images, self._values = None, {}

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.logits)

    @property
    def bytes(self) -> int:
        """Memory of what is kept, in bytes."""
        return size_in_bytes(list(self._values.values()))

    def value(self, layer: str, site: str) -> Tensor:
        """Give the tensor at a site as it is without any change."""
        if (layer, site) not in self._values:
            raise OrderError(f'nothing was kept for a change at "{layer}", {site}: name it when running')
        return self._values[layer, site]

    def bytes_per_item(self, layer: str, site: str) -> int:
        """Bytes that one item takes: at least a few times its largest known tensor."""
        images = size_in_bytes(self._images) // max(self.n, 1)
        return 4 * max(images, size_in_bytes(self.value(layer, site)) // max(self.n, 1))

    def again(self, layer: str, site: str, tensor: Tensor, rows: Tensor | None = None) -> Tensor:
        """Run the network again, with another tensor at a site."""
        rows = rows_of(tensor, rows, self.n, self.value(layer, site))
        if self._images is None:
            raise OrderError("the run is over: use the state within its with block")
        images = self._images.index_select(0, rows)
        with watch(self._model, self.graph, [(layer, site, lambda _: tensor.clone())]):
            return self._model(images)  # type: ignore[no-any-return]

    def again_units(
        self,
        layer: str,
        site: str,
        units: Int[Tensor, " item"],
        maps: Float[Tensor, "item ..."],
        rows: Int[Tensor, " item"],
    ) -> Tensor:
        """Run the network again, with one unit's map replaced in each item."""
        axis = self.graph.layer(layer).unit_axis
        return self.again(layer, site, replaced(self.value(layer, site), axis, units, maps, rows), rows)
