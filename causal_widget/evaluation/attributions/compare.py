"""Attribution methods side by side, on the same images, by stability and by faithfulness."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from causal_widget.errors import ArgumentError, UnknownNameError, UnsupportedModelError, check_seed, nearest
from causal_widget.evaluation.attributions import controls, excitation, gradients, perturbations
from causal_widget.evaluation.attributions.comparison import AttributionComparison
from causal_widget.evaluation.attributions.irof import Removals, irof
from causal_widget.evaluation.attributions.lipschitz import check_runs, local_lipschitz
from causal_widget.evaluation.attributions.method import (
    Maps,
    Method,
    checked_classes,
    checked_images,
    map_with,
    normalised,
)
from causal_widget.evaluation.attributions.scores import MethodScores
from causal_widget.evaluation.attributions.superpixels import Segments, superpixels
from causal_widget.jobs import Progress

__all__ = ["ATTRIBUTION_METHODS", "CONTROLS", "compare_attributions"]

CONTROLS: tuple[str, ...] = tuple(controls.METHODS)
ATTRIBUTION_METHODS: dict[str, Method] = {
    **perturbations.METHODS,
    **gradients.METHODS,
    **excitation.METHODS,
    **controls.METHODS,
}
MEASURES = ("lipschitz", "irof")


def compare_attributions(
    model: nn.Module,
    images: Float[Tensor, "image channel height width"],
    targets: np.ndarray | Tensor,
    more: Mapping[str, Method] | None = None,
    *,
    methods: Sequence[str] = tuple(ATTRIBUTION_METHODS),
    measures: Sequence[str] = MEASURES,
    runs: int = 10,
    noise: float = 0.1,
    n_segments: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
) -> AttributionComparison:
    """Judge attribution methods by local Lipschitz estimate and IROF (Ahmad et al. 2023, section 5.2).

    One code path for all: every method is a callable (model, images, targets, seed) that gives one signed map
    an image; every map is normalised alike (`normalised`: mean 0, Euclidean norm 1); the noise, the
    superpixels and what is filled in are the same for all. Three controls tell what the numbers are worth: a
    constant map is perfectly stable, a random one is what any faithful map beats, and the image's own
    contrast is what a map must beat to say something about the network.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    images : Tensor, shape (image, channel, height, width)
        None of those by which a method of one's own was fitted.
    targets : int array, shape (image,)
        The class of each that is explained.
    more : mapping of name to callable, optional
        Methods of one's own, such as `class_attribution`.
    methods : sequence of str
        Names out of `ATTRIBUTION_METHODS`.
    measures : sequence of str
        Of "lipschitz" and "irof".
    runs, noise
        For `local_lipschitz`.
    n_segments : int
        For `superpixels`.
    seed : int
        Of all that is random.
    progress : Progress, optional
        Told of every map and measure of a method; may cancel.

    Returns
    -------
    AttributionComparison
        A method that cannot take this network is left out, and its reason told.

    Raises
    ------
    UnknownNameError
        If a method or measure does not exist.
    ArgumentError
        If a name comes twice, nothing is asked, or a number is out of range.
    MissingLibraryError
        If a library of the extra is missing.
    """
    batch, classes = checked_images(images), checked_classes(targets, len(images)).cpu().numpy()
    named, asked = _named(methods, more or {}), _measures(measures)
    cut = superpixels(batch, n_segments) if "irof" in asked else None
    if "lipschitz" in asked:
        check_runs(runs, noise)
    told = progress or Progress()
    told.start(len(named) * (1 + runs * ("lipschitz" in asked) + ("irof" in asked)), unit="maps")
    bench = _Bench(
        model, batch, classes, cut, runs if "lipschitz" in asked else 0, noise, check_seed(seed), told
    )
    try:
        for name, method in named.items():
            bench.judge(name, method)
    finally:
        told.finish()
    settings = {"runs": runs, "noise": noise, "n_segments": n_segments, "seed": seed}
    return bench.result(tuple(more or {}), settings)


@dataclass
class _Bench:
    """Images and what was measured on them, method by method."""

    model: nn.Module
    images: Tensor
    targets: np.ndarray
    segments: Segments | None
    runs: int
    noise: float
    seed: int
    told: Progress
    maps: dict[str, Maps] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    stable: dict[str, np.ndarray] = field(default_factory=dict)
    removals: dict[str, Removals] = field(default_factory=dict)

    def judge(self, name: str, method: Method) -> None:
        """Map the images with one method, and measure it; or say why it cannot take the network."""
        began = time.perf_counter()
        try:
            maps = map_with(name, method, self.model, self.images, self.targets, self.seed)
        except UnsupportedModelError as error:
            self.skipped[name] = str(error)
            return
        self.seconds[name] = time.perf_counter() - began
        self.maps[name] = normalised(maps)
        self.told.advance(message=name)
        if self.segments is not None:
            self.removals[name] = irof(
                self.model, self.images, self.targets, maps, segments=self.segments, seed=self.seed
            )
            self.told.advance()
        if self.runs:
            self.stable[name] = local_lipschitz(
                self.model, self.images, self.targets, method, runs=self.runs, noise=self.noise, maps=maps,
                name=name, seed=self.seed, progress=self.told,
            )  # fmt: skip

    def result(self, own: tuple[str, ...], settings: dict[str, Any]) -> AttributionComparison:
        """Give all that was measured."""
        faithful = {name: found.scores for name, found in self.removals.items()}
        return AttributionComparison(
            self.targets,
            self.maps,
            MethodScores("local Lipschitz estimate", False, self.stable, CONTROLS) if self.stable else None,
            MethodScores("IROF, area over the curve, 0..1", True, faithful, CONTROLS) if faithful else None,
            self.removals,
            self.seconds,
            self.skipped,
            own,
            settings,
        )


def _named(methods: Sequence[str], more: Mapping[str, Method]) -> dict[str, Method]:
    listed = [methods] if isinstance(methods, str) else list(methods)
    for name in listed:
        if name not in ATTRIBUTION_METHODS:
            raise UnknownNameError(
                f'method "{name}" does not exist; expected some of {", ".join(ATTRIBUTION_METHODS)}.'
                f"{nearest(str(name), ATTRIBUTION_METHODS)}"
            )
    everything = [*more, *listed]
    if not everything or len(set(everything)) < len(everything):
        raise ArgumentError(f"methods must be one or more, each by a name of its own, got {everything!r:.80}")
    return {**more, **{name: ATTRIBUTION_METHODS[name] for name in listed}}


def _measures(measures: Sequence[str]) -> tuple[str, ...]:
    listed = (measures,) if isinstance(measures, str) else tuple(measures)
    for name in listed:
        if name not in MEASURES:
            raise UnknownNameError(
                f'measure "{name}" does not exist; expected some of {MEASURES}.{nearest(str(name), MEASURES)}'
            )
    if not listed:
        raise ArgumentError(f"measures must be some of {MEASURES}, got none")
    return listed
