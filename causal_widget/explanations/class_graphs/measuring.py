"""Per image, what comes of each question for the class's output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from causal_widget.effects.cutting import BUDGET, CutModel, CutState, Pace, Place, WholeModel, WholeState
from causal_widget.effects.questions import Context, Question, answers, entries_of
from causal_widget.errors import NonFiniteError
from causal_widget.graph import FilterGraph
from causal_widget.jobs import Progress

__all__ = ["Measured", "Network"]

_IMAGES = 256
_ITEMS = {"cpu": 64}
_ITEMS_ELSEWHERE = 512
_ROUNDING = 32.0


@dataclass(frozen=True, eq=False)
class Network:
    """A network that questions can be put to, cut where that is possible.

    Attributes
    ----------
    graph : FilterGraph
        Its graph.
    cut : CutModel or str
        The network, cut, or why it cannot be.
    whole : WholeModel
        The network as a whole.
    budget : int
        Bytes for what is kept, and again for what runs.
    """

    graph: FilterGraph
    cut: CutModel | str
    whole: WholeModel
    budget: int = BUDGET

    @staticmethod
    def of(model: nn.Module, graph: FilterGraph, budget: int = BUDGET) -> Network:
        """Cut a network.

        Raises
        ------
        UnsupportedModelError
            If an image's answer depends on the images beside it.
        """
        cut = CutModel.of(model, graph)
        return Network(
            graph, cut, WholeModel(model, graph, cut if isinstance(cut, str) else "a site"), budget
        )

    def logits(self, images: Float[Tensor, "image ..."]) -> Float64[np.ndarray, "image class"]:
        """Give the network's answers."""
        found = []
        for batch in images.split(_IMAGES):
            with self.whole.run(batch) as state:
                found.append(state.logits.double().cpu().numpy())
        return np.concatenate(found)

    def entered(self, entries: Sequence[Any]) -> tuple[CutModel | WholeModel, tuple[Place, ...]]:
        """Give the network as questions that enter so need it, and what a run must keep for them."""
        places = dict.fromkeys(p for entry in entries if not isinstance(entry, str) for p in entry.needs)
        cut = self.cut
        if isinstance(cut, str) or any(isinstance(cut.region(*place), str) for place in places):
            return self.whole, tuple(place for place in places if ">" not in place[1])
        return cut, tuple(places)


@dataclass(frozen=True, eq=False)
class Measured:
    """Questions put to some images of one class.

    Attributes
    ----------
    network : Network
        Whom they are put to.
    images : Tensor, shape (image, channel, height, width)
    index : int64 array (image,)
        Numbers of the images in the data.
    column : int
        The class.
    """

    network: Network
    images: Float[Tensor, "image channel height width"]
    index: Int64[np.ndarray, " image"]
    column: int

    def take(self, rows: Int64[np.ndarray, " image"]) -> Measured:
        """Give the same for some of the images."""
        chosen = torch.as_tensor(rows, device=self.images.device)
        return Measured(self.network, self.images[chosen], self.index[rows], self.column)

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.images)

    def effects(
        self, questions: Iterable[Question], progress: Progress
    ) -> Float64[np.ndarray, "image question"]:
        """Give the class's output under each question's edit minus that without: eq. (2), image by image.

        Effects that may be rounding (up to 32 units in the last place of an image's largest output) are 0.

        Raises
        ------
        NonFiniteError
            If one is NaN or infinite.
        Cancelled
            If the progress was cancelled.
        """
        asked = list(questions)
        found = np.zeros((self.n, len(asked)))
        entries = entries_of(self.network.graph, asked)
        model, places = self.network.entered(entries)
        for rows in torch.arange(self.n).split(self._at_once(model, places)):
            with model.run(self.images[rows.to(self.images.device)], places) as state:
                self._fill(found[int(rows[0]) : int(rows[-1]) + 1], state, asked, entries, rows, progress)
        bad = np.argwhere(~np.isfinite(found))
        if len(bad):
            image, question = bad[0]
            raise NonFiniteError(
                f"under {asked[question].edit!r} the output of class {self.column} for image "
                f"{self.index[image]} is NaN or infinite"
            )
        return found

    def _fill(
        self,
        found: Float64[np.ndarray, "image question"],
        state: CutState | WholeState,
        asked: Sequence[Question],
        entries: Sequence[Any],
        rows: Tensor,
        progress: Progress,
    ) -> None:
        before = state.logits[:, self.column].double()
        # What is the same but for the order of the sums is no effect, however sure its mean may seem.
        least = _ROUNDING * torch.finfo(state.logits.dtype).eps * state.logits.abs().amax(1).double()
        context = Context(torch.as_tensor(self.index[rows.numpy()]))
        pace = Pace([_ITEMS.get(before.device.type, _ITEMS_ELSEWHERE)])
        for answer in answers(state, asked, context, pace=pace, budget=self.network.budget, entered=entries):
            effects = answer.logits[:, :, self.column].double() - before
            effects = torch.where(effects.abs() > least, effects, 0.0)
            found[:, answer.questions] = effects.T.cpu().numpy()
            progress.advance(len(effects) * state.n, asked[answer.questions.start].name.partition("[")[0])

    def _at_once(self, model: CutModel | WholeModel, places: Sequence[Place]) -> int:
        """Give how many images to run at one time: as many as one batch takes, in parts of one size."""
        if isinstance(model, WholeModel):
            return min(self.n, _IMAGES)
        size = _ITEMS.get(self.images.device.type, _ITEMS_ELSEWHERE)
        most = max(1, min(size, self.network.budget // max(model.kept_bytes(places, 1), 1)))
        return math.ceil(self.n / math.ceil(self.n / most))
