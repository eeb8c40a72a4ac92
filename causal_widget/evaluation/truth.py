"""What the network itself does under random interventions, image by image: the truth to be judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor, nn

from causal_widget.effects.forward import for_each_setting
from causal_widget.errors import ArgumentError, DataError, UnknownNameError, check_seed, nearest
from causal_widget.evaluation.kinds import KINDS, Kind, kind_of, units_of
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Intervention
from causal_widget.jobs import Progress
from causal_widget.responses import batches

__all__ = ["Truth", "answers_under", "first_labelled", "margins", "true_logits", "truth_under"]

BATCH = 128
Logits = Float64[np.ndarray, "*any class"]


@dataclass(frozen=True, repr=False, eq=False)
class Truth:
    """The network's logits on some images, as it is and under random sets of silenced units.

    Attributes
    ----------
    model, graph, site
        The network, its graph, and where units were silenced.
    images : Tensor, shape (image, channel, height, width)
    labels : array, shape (image,)
    logits : array, shape (image, class)
        Without an intervention.
    masks : mapping of kind to array, shape (mask, unit)
        The units silenced, of all layers but the output.
    after : mapping of kind to array, shape (image, mask, class)
        The logits under each.
    device
        Where the network ran.
    """

    model: nn.Module
    graph: FilterGraph
    site: str
    images: Float[Tensor, "image channel height width"] = field(repr=False)
    labels: Int64[np.ndarray, " image"] = field(repr=False)
    logits: Float64[np.ndarray, "image class"] = field(repr=False)
    masks: Mapping[str, Bool[np.ndarray, "mask unit"]] = field(repr=False)
    after: Mapping[str, Float64[np.ndarray, "image mask class"]] = field(repr=False)
    device: torch.device | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of intervention."""
        return tuple(self.masks)

    @property
    def n_images(self) -> int:
        """How many images."""
        return len(self.logits)

    @property
    def loader(self) -> list[tuple[Tensor, Tensor]]:
        """The images and labels in batches."""
        labels = torch.from_numpy(self.labels)
        return list(zip(self.images.split(BATCH), labels.split(BATCH), strict=True))

    def first(self, n: int) -> list[tuple[Tensor, Tensor]]:
        """Give the first images and labels in batches."""
        labels = torch.from_numpy(self.labels[:n])
        return list(zip(self.images[:n].split(BATCH), labels.split(BATCH), strict=True))

    def true_change(self, kind: str) -> Float64[np.ndarray, "image mask"]:
        """Change of the true class's logit."""
        own = true_logits(self.logits, self.labels)[:, None]
        return np.asarray(true_logits(self._after(kind), self.labels) - own)

    def margin_change(self, kind: str) -> Float64[np.ndarray, "image mask"]:
        """Change of the margin: the true class's logit minus the largest other."""
        return np.asarray(margins(self._after(kind), self.labels) - self.margin[:, None])

    @property
    def margin(self) -> Float64[np.ndarray, " image"]:
        """Each image's margin without an intervention."""
        return margins(self.logits, self.labels)

    def interventions(self, kind: str) -> list[Intervention]:
        """Give the sets of silenced units as interventions."""
        return [Intervention(units_of(self.graph, mask), site=self.site) for mask in self.masks[kind]]

    def _after(self, kind: str) -> Float64[np.ndarray, "image mask class"]:
        if kind not in self.after:
            raise UnknownNameError(f'kind "{kind}" was not measured.{nearest(kind, self.after)}')
        return self.after[kind]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{kind} ({len(masks)})" for kind, masks in self.masks.items())
        return f"Truth: {self.n_images:,} images of {self.graph.model_name} under {sizes}"


def true_logits(logits: Logits, labels: Int[np.ndarray, " image"]) -> Float64[np.ndarray, "*any"]:
    """Pick each image's true class from logits (image, ..., class)."""
    at = labels.reshape(-1, *[1] * (logits.ndim - 1))
    return np.asarray(np.take_along_axis(logits, np.broadcast_to(at, (*logits.shape[:-1], 1)), -1)[..., 0])


def margins(logits: Logits, labels: Int[np.ndarray, " image"]) -> Float64[np.ndarray, "*any"]:
    """Give the true class's logit minus the largest other, from logits (image, ..., class)."""
    others = np.array(logits, dtype=np.float64)
    at = np.broadcast_to(labels.reshape(-1, *[1] * (logits.ndim - 1)), (*logits.shape[:-1], 1))
    np.put_along_axis(others, at, -np.inf, -1)
    return np.asarray(true_logits(logits, labels) - others.max(axis=-1))


def first_labelled(
    loader: Iterable[Any], n: int | None, dtype: torch.dtype | None = None
) -> tuple[Float[Tensor, "image channel height width"], Int64[np.ndarray, " image"]]:
    """Give the first images of a loader with their labels.

    Raises
    ------
    DataError
        If there are no labels.
    ArgumentError
        If the number is not one from 1.
    """
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 1):
        raise ArgumentError(f"images must be a whole number from 1, or None for all, got {n!r:.80}")
    found, labels, count = [], [], 0
    for batch in batches(loader, dtype=dtype):
        if batch.labels is None:
            raise DataError(
                "the images have no labels; expected (images, labels): fidelity is about true classes"
            )
        found.append(batch.images.cpu())
        labels.append(batch.labels.cpu())
        count += len(batch.images)
        if n is not None and count >= n:
            break
    return torch.cat(found)[:n], torch.cat(labels)[:n].numpy()


def truth_under(
    model: nn.Module,
    graph: FilterGraph,
    loader: Iterable[Any],
    *,
    kinds: Sequence[str] = KINDS,
    images: int | None = 200,
    n_masks: int = 10,
    site: str = "activation",
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Truth:
    """Run the network on the first images of a loader under random interventions of several kinds.

    Parameters
    ----------
    model, graph : nn.Module, FilterGraph
        The network and its graph.
    loader : iterable
        As for `evaluate`, with labels.
    kinds : sequence of str
        ``"single"``, ``"layer 10%"``, ``"network 10%"``, with any shares.
    images : int or None
        How many; None for all.
    n_masks : int
        Random sets of each kind; every image sees every set.
    site : str
        Where units are silenced.
    seed : int
        Of the sets.
    device, progress
        Where to run, whom to tell.

    Raises
    ------
    UnknownNameError
        If a kind or the site does not exist.
    ArgumentError
        If a number is out of range.
    DataError
        If there are no labels.
    """
    chosen = _checked_kinds(kinds)
    if not isinstance(n_masks, int) or isinstance(n_masks, bool) or n_masks < 1:
        raise ArgumentError(f"n_masks must be a whole number from 1, got {n_masks!r:.80}")
    x, y = first_labelled(loader, images)
    masks = {kind.name: kind.draw(graph, n_masks, check_seed(seed)) for kind in chosen}
    everything = np.concatenate(
        [np.zeros((1, next(iter(masks.values())).shape[1]), dtype=bool), *masks.values()]
    )
    logits = answers_under(
        model, graph, everything, (x, torch.from_numpy(y)), site=site, device=device, progress=progress
    )
    after = {name: logits[:, 1 + k * n_masks : 1 + (k + 1) * n_masks] for k, name in enumerate(masks)}
    return Truth(model, graph, site, x, y, logits[:, 0], masks, after, device)


def answers_under(
    model: nn.Module,
    graph: FilterGraph,
    masks: Bool[np.ndarray, "mask unit"],
    loader: Iterable[Any],
    *,
    site: str = "activation",
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Float64[np.ndarray, "image mask class"]:
    """Run every image once for every set of silenced units; an empty set is the network as it is."""
    settings = [
        Intervention(units_of(graph, m), site=site).checked(graph) if m.any() else None for m in masks
    ]
    kept: list[list[Float64[np.ndarray, "image class"]]] = [[] for _ in settings]

    def keep(position: int, logits: Float64[np.ndarray, "image class"], _: object) -> None:
        kept[position].append(logits)

    for_each_setting(model, graph, settings, loader, keep, device=device, progress=progress)
    return np.stack([np.concatenate(parts) for parts in kept], axis=1)


def _checked_kinds(kinds: Sequence[str]) -> list[Kind]:
    listed = [kinds] if isinstance(kinds, str) else list(kinds)
    if not listed or len(set(listed)) < len(listed):
        raise ArgumentError(f"kinds must be one or more, each once, got {kinds!r:.80}")
    return [kind_of(name) for name in listed]
