"""Random interventions: for each image a layer is drawn and a share of its units is set to a value."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from causal_widget.errors import ArgumentError, UnknownNameError, check_seed, nearest
from causal_widget.graph import SITES, FilterGraph
from causal_widget.responses.split import scrambled, stream, uniform

__all__ = ["Draw", "RandomInterventions"]

_LAYER, _UNITS = 0x1A7E4, 0x0417


@dataclass(frozen=True, eq=False)
class Draw:
    """What was drawn for some images.

    Attributes
    ----------
    layers
        The layers that can be drawn, in forward order.
    layer
        (image,), the position in `layers` of each image's layer.
    units
        (image, unit), which units of that layer are set; as wide as the widest layer, False beyond a layer's
        units.
    value
        What every element of their maps is set to.
    """

    layers: tuple[str, ...]
    layer: Int64[np.ndarray, " image"]
    units: Bool[np.ndarray, "image unit"]
    value: float

    def take(self, chosen: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Draw:
        """Return the draw of some of the images."""
        return Draw(self.layers, self.layer[chosen], self.units[chosen], self.value)


@dataclass(frozen=True)
class RandomInterventions:
    """Set a random share of the units of one random layer, another for every image.

    Narendra et al. 2018, section 4.2, zero a tenth of the filters of a layer; the layer is drawn evenly here,
    so that one more forward pass tells of every layer. What is drawn is a function of seed and image index
    alone: neither batch size nor resumption changes it, and nothing needs to be stored.

    Attributes
    ----------
    fraction
        Share of the layer's units, above 0 and up to 1; rounded, and at least one unit.
    layers
        Which layers are drawn from; None takes all that are not the output and have descendants.
    value
        What every element of the units' maps is set to.
    seed
        Of the draw; None takes that of `collect`.
    site
        Where they are set: "conv", "norm" or "activation"; None sets them where responses are read. Not
        after that: a response must be of the map that the children read.

    Raises
    ------
    ArgumentError
        A number is out of range.
    """

    fraction: float = 0.1
    layers: tuple[str, ...] | None = None
    value: float = 0.0
    seed: int | None = None
    site: str | None = None

    def __post_init__(self) -> None:
        if not _number(self.fraction) or not 0 < self.fraction <= 1:
            raise ArgumentError(
                f"the fraction of units to intervene on is {self.fraction!r:.80}; "
                "expected a number above 0 and up to 1"
            )
        if not _number(self.value):
            raise ArgumentError(
                f"the value of an intervention must be a finite number, got {self.value!r:.80}"
            )
        if self.seed is not None:
            check_seed(self.seed)
        if self.site is not None and self.site not in SITES:
            raise UnknownNameError(
                f"site {self.site!r:.80} is not known; expected one of {SITES}."
                f"{nearest(str(self.site), SITES)}"
            )
        if isinstance(self.layers, str):
            raise ArgumentError(f"layers must be a list of layer names, got the text {self.layers!r:.80}")
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))

    def checked(self, graph: FilterGraph, seed: int = 0, site: str = "activation") -> RandomInterventions:
        """Return the same with layers named in forward order, a seed, and a site.

        Parameters
        ----------
        graph
            The network's layers.
        seed
            Taken where there is none.
        site
            Where responses are read.

        Raises
        ------
        UnknownNameError
            A layer does not exist.
        ArgumentError
            The output, or a layer that nothing reads, is asked for; no layer is left; or units are set after
            the site where they are read.
        """
        if self.site is not None and site in SITES and SITES.index(self.site) > SITES.index(site):
            raise ArgumentError(
                f'units would be set at "{self.site}", after "{site}" where their responses are read: '
                "these would not show the intervention"
            )
        return dataclasses.replace(
            self,
            layers=self._checked_layers(graph),
            seed=seed if self.seed is None else self.seed,
            site=site if self.site is None else self.site,
        )

    def _checked_layers(self, graph: FilterGraph) -> tuple[str, ...]:
        able = [layer.name for layer in graph.layers if not layer.is_output and graph.children(layer.name)]
        asked = able if self.layers is None else [graph.layer(name).name for name in self.layers]
        for name in asked:
            if graph.layer(name).is_output:
                raise ArgumentError(
                    f'layer "{name}" gives the classes: the outcome cannot be intervened on; '
                    "choose an earlier layer"
                )
            if name not in able:
                raise ArgumentError(
                    f'nothing reads layer "{name}": an intervention there tells of no equation'
                )
        if not asked:
            raise ArgumentError("there is no layer to intervene on: expected at least one before the output")
        return tuple(name for name in able if name in asked)

    def draw(self, graph: FilterGraph, index: NDArray[np.integer]) -> Draw:
        """Return what is drawn for the images with these indices.

        Each unit of the drawn layer gets a number from (seed, image, unit); the smallest are set.
        """
        known = self.layers is not None and self.seed is not None
        one = self if known else self.checked(graph, site=self.site or "activation")
        assert one.layers is not None
        assert one.seed is not None
        index = np.asarray(index)
        widths = np.array([graph.layer(name).units for name in one.layers])
        layer = (uniform(index, stream(one.seed, _LAYER)) * len(widths)).astype(np.int64)
        keys = scrambled(index, stream(one.seed, _UNITS))
        numbers = uniform(np.arange(widths.max())[None], keys[:, None])
        numbers[np.arange(widths.max()) >= widths[layer, None]] = math.inf
        counts = np.array([one.count(int(units)) for units in widths])[layer]
        ranks = numbers.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        return Draw(one.layers, layer, ranks < counts[:, None], float(one.value))

    def count(self, units: int) -> int:
        """Return how many of a layer's units are set: the rounded share, at least one."""
        return max(1, math.floor(self.fraction * units + 0.5))


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
