"""What eq. (3) found: a signed map a unit, its aggregate, its peaks."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from causal_widget.errors import ArgumentError, UnknownNameError
from causal_widget.explanations.attribution.peaks import local_extrema
from causal_widget.explanations.attribution.receptive_field import ReceptiveField

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Attribution"]


@dataclass(frozen=True, repr=False, eq=False)
class Attribution:
    """Signed maps of units over images, by eq. (3) of Ahmad et al. 2023.

    Attributes
    ----------
    layer : str
    units : tuple of int
    weights : array, shape (unit,), or None
        What each unit counts in the aggregate; None: all alike.
    n_parents : int array, shape (unit,)
        Input channels that each unit's map is the mean of.
    responses : array, shape (image, unit, h, w)
        Eq. (3) at the layer's own positions, in the units of its output.
    field : ReceptiveField
        Which pixels those positions read.
    """

    layer: str
    units: tuple[int, ...]
    weights: Float64[np.ndarray, " unit"] | None
    n_parents: Int64[np.ndarray, " unit"]
    responses: Float64[np.ndarray, "image unit h w"]
    field: ReceptiveField = field(repr=False)

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.responses)

    @cached_property
    def maps(self) -> Float64[np.ndarray, "image unit height width"]:
        """Each unit's map over the image."""
        return self.field.upsampled(self.responses)

    @cached_property
    def aggregate(self) -> Float64[np.ndarray, "image height width"]:
        """One signed map an image: the units' mean, or ``sum w_i s_i / sum |w_i|`` where they have weights.

        Raises
        ------
        ArgumentError
            If all weights are zero.
        """
        return self.field.upsampled(self._mixed(self.responses))

    @cached_property
    def magnitude(self) -> Float64[np.ndarray, "image height width"]:
        """How strongly the units respond, whatever the sign: the aggregate of ``|s_i|``.

        Negative responses are as much a unit's reading of the image as positive ones: eq. (3) leaves out the
        bias, so zero is no threshold of the unit's.
        """
        return self.field.upsampled(self._mixed(np.abs(self.responses)))

    def _mixed(self, responses: Float64[np.ndarray, "image unit h w"]) -> Float64[np.ndarray, "image h w"]:
        if self.weights is None:
            return np.asarray(responses.mean(axis=1))
        total = np.abs(self.weights).sum()
        if not total > 0:
            raise ArgumentError("the units' weights are all zero: there is nothing to aggregate")
        return np.asarray(np.einsum("nuhw,u->nhw", responses, self.weights / total))

    def of(self, unit: int) -> Float64[np.ndarray, "image height width"]:
        """Give one unit's maps over the images.

        Raises
        ------
        UnknownNameError
            If the unit is not among those mapped.
        """
        return np.asarray(self.maps[:, self._place(unit)])

    def peaks(self, n: int = 1, unit: int | None = None) -> pd.DataFrame:
        """Find the strongest local maxima and minima of each map (the paper's Fig. 6).

        Parameters
        ----------
        n : int
            How many a map, by absolute value.
        unit : int, optional
            Of this unit alone.

        Returns
        -------
        DataFrame
            One row a peak: image, unit, kind ("maximum", "minimum"), value, and where it looks: row and
            column of the middle of its window (pixels, cut to the image).
        """
        if n < 1:
            raise ArgumentError(f"n must be a number of peaks, 1 or more, got {n!r:.80}")
        places = range(len(self.units)) if unit is None else [self._place(unit)]
        rows, columns = self.field.rows, self.field.columns
        found = []
        for image in range(self.n_images):
            for place in places:
                for y, x, value in local_extrema(self.responses[image, place])[:n]:
                    row = float(np.clip(rows.centres[y], 0, rows.pixels - 1))
                    column = float(np.clip(columns.centres[x], 0, columns.pixels - 1))
                    kind = "maximum" if value >= 0 else "minimum"
                    found.append((image, self.units[place], kind, value, row, column))
        return pd.DataFrame(found, columns=["image", "unit", "kind", "value", "row", "column"])

    def table(self) -> pd.DataFrame:
        """One row an image and unit: parents, weight, mean, least and greatest response, and its peak."""
        peaks = self.peaks(1)
        flat = self.responses.reshape(self.n_images, len(self.units), -1)
        weights = np.full(len(self.units), np.nan) if self.weights is None else self.weights
        return pd.DataFrame(
            {
                "image": np.repeat(np.arange(self.n_images), len(self.units)),
                "layer": self.layer,
                "unit": np.tile(self.units, self.n_images),
                "parents": np.tile(self.n_parents, self.n_images),
                "weight": np.tile(weights, self.n_images),
                "mean": flat.mean(axis=2).ravel(),
                "low": flat.min(axis=2).ravel(),
                "high": flat.max(axis=2).ravel(),
                "peak_row": peaks["row"].to_numpy(),
                "peak_column": peaks["column"].to_numpy(),
            }
        )

    def plot(
        self,
        images: Float64[np.ndarray, "image height width"]
        | Float64[np.ndarray, "image height width rgb"]
        | None = None,
        image: int = 0,
        most: int = 8,
        n_peaks: int = 1,
        figsize: tuple[float, float] | None = None,
    ) -> Figure:
        """Show one image's maps, the aggregate first, with their peaks.

        Parameters
        ----------
        images : array, shape (image, height, width) or (image, height, width, 3), optional
            The pictures in 0..1, to be drawn under the maps.
        image : int
            Which.
        most : int
            Units shown at most, those with the strongest responses.
        n_peaks : int
            Peaks marked in each unit's map; 0 marks none.
        figsize : tuple of float, optional
            In inches.
        """
        from causal_widget.plots.attributions import unit_maps

        if not 0 <= image < self.n_images:
            raise UnknownNameError(f"image {image} does not exist; there are {self.n_images}")
        strength = np.abs(self.responses[image]).max(axis=(1, 2))
        shown = np.sort(np.argsort(-strength, kind="stable")[:most])
        panels = {"aggregate": (self.aggregate[image], np.empty((0, 2)))}
        for place in shown:
            unit = self.units[place]
            marks = np.empty((0, 2))
            if n_peaks:
                peaks = self.peaks(n_peaks, unit)
                marks = peaks.loc[peaks["image"] == image, ["row", "column"]].to_numpy(dtype=float)
            panels[f"unit {unit}"] = (self.maps[image, place], marks)
        left_out = len(self.units) - len(shown)
        title = f"{self.layer}: responses of {len(self.units)} units" + (
            f", the strongest {len(shown)} shown" if left_out else ""
        )
        return unit_maps(None if images is None else np.asarray(images)[image], panels, title, figsize)

    def _place(self, unit: int) -> int:
        if unit not in self.units:
            raise UnknownNameError(
                f"unit {unit} of layer {self.layer} was not mapped; mapped are {list(self.units)!r:.80}"
            )
        return self.units.index(unit)

    def __repr__(self) -> str:
        how = "their mean" if self.weights is None else "their weighted mean"
        return (
            f"Attribution: {len(self.units)} units of {self.layer} over {self.n_images} images and {how} "
            f"(eq. 3 of Ahmad et al. 2023)\n{self.field!r}"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>{self.table().head(20).to_html(index=False)}"
