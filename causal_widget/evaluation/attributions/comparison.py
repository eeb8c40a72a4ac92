"""The result of a comparison of attribution methods."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Int64

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.evaluation.attributions.irof import Removals
from causal_widget.evaluation.attributions.method import Maps
from causal_widget.evaluation.attributions.scores import MethodScores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AttributionComparison"]


@dataclass(frozen=True, repr=False, eq=False)
class AttributionComparison:
    """How stable and how faithful attribution methods are, on the same images.

    Attributes
    ----------
    targets : int array, shape (image,)
        The class of each image that was explained.
    maps : mapping of method to array, shape (image, height, width)
        Normalised.
    lipschitz, irof : MethodScores or None
        None where it was not asked.
    removals : mapping of method to Removals
        The curves behind IROF.
    seconds : mapping of method to float
        Time of the images' maps, once.
    skipped : mapping of method to reason
        Methods that cannot take this network.
    own : tuple of str
        The methods that were given beside those by name.
    settings : mapping
        Runs, noise, superpixels asked, seed.
    """

    targets: Int64[np.ndarray, " image"]
    maps: Mapping[str, Maps] = field(repr=False)
    lipschitz: MethodScores | None
    irof: MethodScores | None
    removals: Mapping[str, Removals] = field(repr=False)
    seconds: Mapping[str, float]
    skipped: Mapping[str, str]
    own: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.targets)

    @property
    def measured(self) -> dict[str, MethodScores]:
        """The scores by measure: "lipschitz", "irof"."""
        both = {"lipschitz": self.lipschitz, "irof": self.irof}
        return {name: scores for name, scores in both.items() if scores is not None}

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """One row a method: each measure's mean with its interval, and seconds for all images' maps."""
        columns: dict[str, Any] = {}
        for name, scores in self.measured.items():
            part = scores.table(level).set_index("method")
            for column in ("mean", "low", "high", "rank"):
                columns[f"{name}_{column}" if column != "mean" else name] = part[column]
        columns["seconds"] = pd.Series(dict(self.seconds))
        order = next(iter(reversed(self.measured.values()))).methods
        return pd.DataFrame(columns).loc[list(order)].rename_axis("method").reset_index()

    def against(self, method: str, measure: str = "irof", level: float = 0.95) -> pd.DataFrame:
        """Compare one method with every other, paired by image; see `MethodScores.against`.

        Raises
        ------
        UnknownNameError
            If the method or measure was not measured.
        """
        if measure not in self.measured:
            raise UnknownNameError(f'"{measure}" was not measured.{nearest(measure, self.measured)}')
        return self.measured[measure].against(method, level)

    def plot(self, figsize: tuple[float, float] | None = None) -> Figure:
        """Show every method's means with their 95 % intervals (the paper's Fig. 8), best IROF first."""
        from causal_widget.plots.attributions import score_intervals

        panels = {scores.label: scores.intervals() for scores in reversed(self.measured.values())}
        controls = next(iter(self.measured.values())).controls
        return score_intervals(panels, self.own, controls, figsize=figsize)

    def plot_removal(self, figsize: tuple[float, float] = (6.4, 4.4)) -> Figure:
        """Show what is left of the class's probability as superpixels are removed, a line a method.

        Raises
        ------
        ArgumentError
            If IROF was not asked.
        """
        from causal_widget.plots.attributions import removal_curves

        if self.irof is None:
            raise ArgumentError("IROF was not measured: there are no curves")
        lines = {name: self.removals[name].mean_curve for name in self.irof.methods}
        return removal_curves(lines, self.own, self.irof.controls, self.n_images, figsize)

    def plot_maps(
        self, pictures: Sequence[np.ndarray], images: Sequence[int] | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> Figure:  # fmt: skip
        """Show the maps of every method for some images.

        Parameters
        ----------
        pictures : sequence of arrays (height, width) or (height, width, 3)
            All images as a person sees them, in 0..1.
        images : sequence of int, optional
            Which; None: the first four.
        figsize : tuple of float, optional
            In inches.
        """
        from causal_widget.plots.attributions import map_gallery

        shown = list(range(min(4, self.n_images))) if images is None else list(images)
        if not shown or min(shown) < 0 or max(shown) >= self.n_images:
            raise UnknownNameError(f"images must be some of 0 to {self.n_images - 1}, got {shown!r:.80}")
        maps = {name: found[shown] for name, found in self.maps.items()}
        labels = [f"class {self.targets[k]}" for k in shown]
        return map_gallery([np.asarray(pictures[k]) for k in shown], maps, labels, figsize)

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        lines = [
            f"AttributionComparison on {self.n_images} images ({said}); maps have mean 0 and norm 1",
            self.table().to_string(index=False, float_format="{:.4g}".format),
            *(f"{name} left out: {why}" for name, why in self.skipped.items()),
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *_ = repr(self).splitlines()
        table = self.table().to_html(index=False, float_format="{:.4g}".format)
        left = "".join(f"<p>{html.escape(f'{n} left out: {why}')}</p>" for n, why in self.skipped.items())
        return f"<p>{html.escape(head)}</p>{table}{left}"
