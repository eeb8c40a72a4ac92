"""Networks that cannot be cut: every change costs a whole forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causal_widget.effects.cutting.along import replaced
from causal_widget.effects.cutting.batch_dependent import refuse_batch_dependent
from causal_widget.effects.cutting.carried import size_in_bytes
from causal_widget.effects.cutting.places import Place, input_of
from causal_widget.effects.cutting.state import recorded, rows_of
from causal_widget.effects.cutting.under import logits_under
from causal_widget.effects.forward import logits_of
from causal_widget.errors import OrderError
from causal_widget.graph import SITES, FilterGraph, watch
from causal_widget.graph.calls import call_name, on_calls
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.interventions import Donors, Edits, MeanMaps

__all__ = ["WholeModel", "WholeState"]

Handler = Callable[[Tensor], Tensor | None]


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
        self,
        images: Float[Tensor, "image channel height width"],
        at: Iterable[Place] = (),
        *,
        grad: bool = False,
    ) -> Iterator[WholeState]:
        """Run the network once, and keep the tensors at some sites while the block lasts.

        With `grad` the run is recorded: the logits have gradients with respect to the kept tensors.
        """
        with guarded(self.model, grad=grad) as guard:
            state = WholeState(self.model, self.graph, self.reason)
            placed = images.to(guard.device, floating_type(self.model))
            state.fill(recorded(placed) if grad else placed, list(at))
            try:
                yield state
            finally:
                state.clear()

    def __repr__(self) -> str:
        return f"WholeModel of {type(self.model).__name__}: whole forward passes, because {self.reason}"


class WholeState:
    """What was kept of one run over some images; `CutState` says what its members mean."""

    def __init__(self, model: nn.Module, graph: FilterGraph, reason: str) -> None:
        self.graph, self.reason, self.model = graph, reason, model
        self._images: Tensor | None = None
        self._values: dict[Place, Tensor] = {}
        self.logits = torch.empty(0)

    def fill(self, images: Tensor, places: list[Place]) -> None:
        """Run the network once, and keep the tensors at some sites."""

        def keep(place: Place) -> tuple[str, str, Handler]:
            def kept(tensor: Tensor) -> Tensor | None:
                self._values[place] = tensor.clone()
                # The network goes on with a copy of the kept tensor, so that it has a gradient although an
                # activation may write into what it gets.
                return self._values[place].clone() if torch.is_grad_enabled() else None

            return (*place, kept)

        sites = [place for place in places if place[1] in SITES]
        inputs = {layer for layer, site in places if site == "input"}
        with (
            watch(self.model, self.graph, [keep(place) for place in sites]),
            on_calls(self.model, self._keeper(inputs), lambda *_: None),
        ):
            self.logits = logits_of(self.model, images)
        self._images = images

    def _keeper(self, inputs: set[str]) -> Callable[[str, int, Tensor], None]:
        """Keep what some layers read, for what is computed of it beside the network."""

        def keep(path: str, call: int, given: Tensor) -> None:
            if call_name(path, call) in inputs:
                self._values[input_of(call_name(path, call))] = given.detach().clone()

        return keep

    def under(
        self,
        edits: Edits,
        index: Int[Tensor, " image"],
        means: MeanMaps | None = None,
        donors: Donors | None = None,
    ) -> Tensor:
        """Give the logits under any edits."""
        return logits_under(self.model, self.graph, self._images, edits, index, means, donors)

    def clear(self) -> None:
        """Let go of what was kept; the logits stay."""
        self._images, self._values = None, {}

    @property
    def rows(self) -> Int[Tensor, " image"]:
        """The image of each row: all in order."""
        return torch.arange(self.n, device=self.logits.device)

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
        images = self._images.detach().index_select(0, rows)
        with torch.no_grad(), watch(self.model, self.graph, [(layer, site, lambda _: tensor.clone())]):
            return self.model(images)  # type: ignore[no-any-return]

    def again_units(
        self,
        layer: str,
        site: str,
        units: Int[Tensor, " item"],
        maps: Float[Tensor, "item ..."],
        rows: Int[Tensor, " item"],
    ) -> Tensor:
        """Run the network again, with one unit's map replaced in each item."""
        return self.again_sets(layer, site, units[:, None], maps[:, None], rows)

    def again_sets(
        self,
        layer: str,
        site: str,
        units: Int[Tensor, "item unit"],
        maps: Float[Tensor, "item unit ..."],
        rows: Int[Tensor, " item"],
    ) -> Tensor:
        """Run the network again, with the maps of some units replaced in each item."""
        axis = self.graph.layer(layer).unit_axis
        return self.again(layer, site, replaced(self.value(layer, site), axis, units, maps, rows), rows)
