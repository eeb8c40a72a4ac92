"""What a network says under many edits: the class of every image under each, sets of units at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from causal_widget.effects.cutting import CutModel, Pace, Place, WholeModel
from causal_widget.effects.questions import Context, Questions, answers, entries_of, questions_of_edits
from causal_widget.errors import DataError, NonFiniteError
from causal_widget.explanations.class_graphs.measuring import Network
from causal_widget.guard import floating_type
from causal_widget.interventions import Edits as Together
from causal_widget.interventions import PathEdit, UnitEdit
from causal_widget.jobs import Progress
from causal_widget.responses import batches, check_range

__all__ = ["Labelled", "labelled", "predictions"]

_IMAGES, _ITEMS = 256, 256


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with their classes.

    Attributes
    ----------
    images : Tensor, shape (image, channel, height, width)
    labels, index : int64 array (image,)
        Classes, and numbers in the data.
    """

    images: Float[Tensor, "image channel height width"]
    labels: Int64[np.ndarray, " image"]
    index: Int64[np.ndarray, " image"]

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.images)

    def take(self, rows: Int64[np.ndarray, " image"]) -> Labelled:
        """Give some of the images."""
        return Labelled(self.images[rows.tolist()], self.labels[rows], self.index[rows])


def labelled(model: nn.Module, images: Iterable[Any], classes: int, device: torch.device) -> Labelled:
    """Gather images with labels.

    Raises
    ------
    DataError
        If a batch has no labels.
    """
    found, labels, index = [], [], []
    for batch in batches(images, device, dtype=floating_type(model)):
        if batch.labels is None:
            raise DataError(f"images need labels here, and batch {batch.index} has none")
        check_range(batch.labels, batch.index, classes)
        found.append(batch.images)
        labels.append(batch.labels.cpu().numpy())
        index.append(batch.first + np.arange(len(batch.images)))
    return Labelled(torch.cat(found), np.concatenate(labels).astype(np.int64), np.concatenate(index))


def predictions(
    network: Network, given: Labelled, edits: Sequence[Sequence[UnitEdit | PathEdit]], progress: Progress
) -> Int64[np.ndarray, "setting image"]:
    """Give the class that the network says under each setting, all its edits in force together.

    Equal settings are run once, and those that edit nothing not at all beyond the plain pass. Sets of units
    of one layer enter the cut network there, several at once.

    Raises
    ------
    NonFiniteError
        If an answer is NaN or infinite.
    Cancelled
        If the progress was cancelled.
    """
    settings = [Together(tuple(one)) for one in edits]
    distinct = list(dict.fromkeys(one for one in settings if len(one)))
    plain = network.logits(given.images).argmax(1)
    place = {setting: k for k, setting in enumerate(distinct)}
    found = np.empty((len(distinct), given.n), dtype=np.int64)
    if distinct:
        asked = questions_of_edits(network.graph, distinct)
        for layer in asked.groups:
            _of_group(network, given, asked, layer, place, found, progress)
    return np.stack([found[place[one]] if len(one) else plain for one in settings])


def _of_group(
    network: Network,
    given: Labelled,
    asked: Questions,
    layer: str,
    place: dict[Together, int],
    found: Int64[np.ndarray, "setting image"],
    progress: Progress,
) -> None:
    group = asked.group(layer)
    entered = entries_of(network.graph, group)
    model, places = network.entered(entered)
    rows_of = np.array([place[Together.of(one.edit)] for one in group])
    for rows in np.array_split(np.arange(given.n), -(-given.n // _at_once(network, model, places, given.n))):
        with model.run(given.images[rows.tolist()], places) as state:
            context = Context(torch.as_tensor(given.index[rows]))
            for answer in answers(
                state, group, context, pace=Pace([_ITEMS]), budget=network.budget, entered=entered
            ):
                if not bool(torch.isfinite(answer.logits).all()):
                    raise NonFiniteError(
                        f"under one of {group[answer.questions]!r:.200} the output is NaN or infinite"
                    )
                into = np.ix_(rows_of[answer.questions], rows)
                found[into] = answer.logits.argmax(2).cpu().numpy()
                progress.advance(len(answer.logits) * len(rows), layer)


def _at_once(network: Network, model: CutModel | WholeModel, places: Sequence[Place], n: int) -> int:
    if isinstance(model, WholeModel):
        return min(n, _IMAGES)
    return max(1, min(n, _IMAGES, network.budget // max(model.kept_bytes(places, 1), 1)))
