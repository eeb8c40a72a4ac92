"""One intervention after another on the same images: what none of them changes is computed once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from causal_widget.effects.cutting import CutModel, CutState
from causal_widget.effects.cutting.pace import BUDGET
from causal_widget.effects.effect import Effect
from causal_widget.effects.forward import in_halves, logits_of, sizes_said
from causal_widget.errors import DataError, NonFiniteError, check_seed
from causal_widget.graph import FilterGraph, watch
from causal_widget.guard import bare, floating_type, guarded
from causal_widget.interventions import Intervention, Lever
from causal_widget.jobs import Progress
from causal_widget.responses import batches, check_range
from causal_widget.responses.evaluation import Evaluation

__all__ = ["LiveEffects"]

# images in a part: few at first, so that the first answer is there soon, then as many as take so long
_FIRST, _MOST = 8, 64
_SECONDS = 0.2

Logits = Float64[np.ndarray, "image class"]
Place = tuple[str, str]


@dataclass(eq=False)
class _Part:
    """Some images, and what was computed of them without any change."""

    order: Int64[np.ndarray, " image"]
    before: dict[bool, Logits] = field(default_factory=dict)  # by whether the network was cut
    state: CutState | None = None


@dataclass(eq=False)
class _Answer:
    """The latest intervention, as far as it was measured."""

    do: Intervention
    logits: list[Logits] = field(default_factory=list)
    seconds: float = 0.0


class LiveEffects:
    """Effects of whatever is chosen next.

    The images stay, in a random order, so that a part of them speaks for all. Of each part are kept: the
    answers without a change, and, while they fit into the budget, the maps at which changes enter. A change
    of units of one layer then runs only what lies below it again, and only where something changes.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network and its graph. Its weights must stay as they are.
    loader : iterable
        Images, with or without labels; all are kept in memory.
    class_names : sequence of str
        One name a class.
    device : torch.device, optional
        Where to run. None: where the model is.
    budget : int
        Bytes for the maps that are kept.
    seed : int, optional
        Of the order. None: the loader's.

    Raises
    ------
    DataError
        If there are no images, or labels are no classes.
    """

    def __init__(
        self,
        model: nn.Module,
        graph: FilterGraph,
        loader: Iterable[Any],
        *,
        class_names: Sequence[str],
        device: torch.device | None = None,
        budget: int = BUDGET,
        seed: int | None = 0,
    ) -> None:
        self.graph, self.class_names = graph, tuple(class_names)
        self._model, self._device, self._budget = bare(model), device, budget
        self._images = _Images.read(loader, len(self.class_names))
        order = np.arange(len(self._images.places))
        if seed is not None:
            order = np.random.default_rng(check_seed(seed)).permutation(order)
        self._labels = None if self._images.labels is None else self._images.labels[order]
        self._order, self._parts = order, list[_Part]()
        self._cut = CutModel.of(self._model, graph)
        self._kept: tuple[Place, ...] = ()
        self._latest: _Answer | None = None

    @property
    def n_images(self) -> int:
        """How many images there are."""
        return len(self._images.places)

    def effect(
        self, intervention: Intervention, seconds: float | None = None, progress: Progress | None = None
    ) -> Effect:
        """Measure what an intervention does, on all images or on as many as there is time for.

        Asked again about the same intervention, it goes on where it stopped.

        Parameters
        ----------
        intervention : Intervention
        seconds : float, optional
            Stop after the part of the images in which so much time is over. None: measure on all.
        progress : Progress, optional
            Told of images; may cancel.

        Returns
        -------
        Effect
            On the images that were run so far; `n_images` says of how many.

        Raises
        ------
        UnknownNameError, ArgumentError
            If a layer or unit does not exist, or is a class.
        NonFiniteError
            If a logit is NaN or infinite.
        """
        do, began = intervention.checked(self.graph), time.perf_counter()
        if self._latest is None or self._latest.do != do:
            self._latest = _Answer(do)
        answer, told = self._latest, progress or Progress()
        place = self._entry(do)
        with guarded(self._model, self._device):
            told.start(self.n_images, "images")
            told.advance(sum(map(len, answer.logits)))
            for part in self._left(len(answer.logits)):
                answer.logits.append(self._under(do, part, place))
                told.advance(len(part.order))
                if seconds is not None and time.perf_counter() - began > seconds:
                    break
            told.finish()
        answer.seconds += time.perf_counter() - began
        return self._result(answer, place is not None)

    def _left(self, done: int) -> Iterator[_Part]:
        """Give the parts from some number on; new ones are cut by how long the last one took."""
        yield from self._parts[done:]
        first = sum(len(part.order) for part in self._parts)
        size, began = _FIRST, time.perf_counter()
        while first < self.n_images:
            part = _Part(self._order[first : first + size])
            self._parts.append(part)
            yield part
            first += size
            took = (time.perf_counter() - began) / size
            size, began = max(_FIRST, min(_MOST, round(_SECONDS / max(took, 1e-9)))), time.perf_counter()

    def _result(self, answer: _Answer, cut: bool) -> Effect:
        before = np.concatenate([part.before[cut] for part in self._parts[: len(answer.logits)]])
        after = np.concatenate(answer.logits)
        labels = None if self._labels is None else self._labels[: len(after)]
        return Effect(
            answer.do,
            Evaluation(before, labels, self.class_names),
            Evaluation(after, labels, self.class_names, answer.seconds),
        )

    def _entry(self, do: Intervention) -> Place | None:
        """Where the change enters; None where the whole network has to run."""
        if isinstance(self._cut, str) or len(do.units) != 1 or not self._images.fit(self.graph):
            return None
        ((layer, _),) = do.units.items()
        place = layer, self.graph.layer(layer).site(do.site)
        if isinstance(self._cut.region(*place), str):
            return None
        if place not in self._kept:
            self._keep_at(place)
        return place

    def _keep_at(self, place: Place) -> None:
        """Forget what is kept, and keep from now on what changes at this site need, or at this one alone."""
        assert isinstance(self._cut, CutModel)
        sites = {(layer.name, layer.site(place[1])) for layer in self.graph.layers if not layer.is_output}
        every = [one for one in sorted(sites | {place}) if not isinstance(self._cut.region(*one), str)]
        fits = self._cut.kept_bytes(every, self.n_images) <= self._budget
        self._kept = tuple(every) if fits else (place,)
        for part in self._parts:
            part.state = None

    def _under(self, do: Intervention, part: _Part, place: Place | None) -> Logits:
        if place is None:
            return self._whole(do, part)
        state = self._state(part, place)
        ((_, numbers),) = do.units.items()
        units = torch.tensor(tuple(numbers), device=state.logits.device)
        axis = self.graph.layer(place[0]).unit_axis
        maps = state.value(*place).movedim(axis, 1)[:, units]
        after = torch.full_like(maps, do.value) if do.scale is None else maps * do.scale
        rows = (after != maps).flatten(1).any(1).nonzero().flatten()
        logits = state.logits.clone()
        if len(rows):
            again = lambda some: state.again_sets(*place, units.expand(len(some), -1), after[some], some)  # noqa: E731
            logits[rows] = in_halves(again, rows)
        return _numbers(logits)

    def _state(self, part: _Part, place: Place) -> CutState:
        assert isinstance(self._cut, CutModel)
        state = part.state
        if state is None:
            state = self._cut.keep(self._images.take(part.order), self._kept)
            part.before[True] = _numbers(state.logits)
            one_alone = self._cut.kept_bytes([place], self.n_images)
            part.state = state if one_alone <= self._budget else None
        return state

    def _whole(self, do: Intervention, part: _Part) -> Logits:
        """Run the whole network under do(), and the first time without."""
        images = self._images.take(part.order).to(_device(self._model), floating_type(self._model))
        with sizes_said(self.graph, images, "the loader gives images"):
            if False not in part.before:
                part.before[False] = _numbers(logits_of(self._model, images))
            if not do.units:
                return part.before[False]
            lever = Lever(self.graph, [do])
            lever.pull(do)
            with watch(self._model, self.graph, lever.handlers):
                return _numbers(logits_of(self._model, images))

    def __repr__(self) -> str:
        how = f"whole passes, because {self._cut}" if isinstance(self._cut, str) else "the network is cut"
        return f"LiveEffects on {self.n_images:,} images: {how}"


def _device(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class _Images:
    """The loader's batches as they are, and where each image is."""

    batches: list[Tensor]
    labels: Int64[np.ndarray, " image"] | None
    places: list[tuple[int, int]]

    @staticmethod
    def read(loader: Iterable[Any], classes: int) -> _Images:
        """Read all of a loader."""
        images, labels = [], []
        for batch in batches(loader):
            check_range(batch.labels, batch.index, classes)
            images.append(batch.images.cpu())
            labels.append(None if batch.labels is None else batch.labels.cpu().numpy())
        known = [each for each in labels if each is not None]
        if 0 < len(known) < len(labels):
            raise DataError(f"only {len(known)} of {len(labels)} batches have labels; expected all or none")
        found = np.concatenate(known).astype(np.int64) if known else None
        places = [(b, i) for b, batch in enumerate(images) for i in range(len(batch))]
        return _Images(images, found, places)

    def fit(self, graph: FilterGraph) -> bool:
        """Whether all have the shape that was traced."""
        return all(tuple(batch.shape[1:]) == tuple(graph.example_shape) for batch in self.batches)

    def take(self, order: Int64[np.ndarray, " image"]) -> Float[Tensor, "image channel height width"]:
        """Give some of the images."""
        chosen = [self.places[k] for k in order]
        if len({self.batches[b].shape[1:] for b, _ in chosen}) > 1:
            raise DataError("the loader gives images of several sizes; expected one size")
        return torch.stack([self.batches[b][i] for b, i in chosen])


def _numbers(logits: Tensor) -> Logits:
    numbers = np.asarray(logits.detach().cpu().numpy(), dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise NonFiniteError("the network's output is NaN or infinite in one of the images that are kept")
    return numbers
