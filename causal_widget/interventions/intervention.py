"""An intervention as a value: which units, set to what, at which site."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from types import MappingProxyType

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import SITES, FilterGraph

Units = Mapping[str, Iterable[int]]


@dataclass(frozen=True, repr=False)
class Intervention:
    """do(units = value), do(units x scale): the units' activation maps become a constant, or are scaled.

    Parameters
    ----------
    units : mapping of layer name to units
        Stored with names and units sorted, each unit once; layers without units are left out.
    value : float
        What every element of the units' maps is set to.
    site : str
        Where: ``"conv"`` (the layer's own output), ``"norm"`` (after BatchNorm) or ``"activation"`` (after
        the nonlinearity). A layer without the site is set at the last one before it.
    scale : float, optional
        What every element is multiplied by instead: 1 leaves the units as they are, 0 silences them. Units of
        several layers are each scaled as they are under what is done to the layers before.

    Raises
    ------
    ArgumentError
        If value or scale is no finite number, both are given, or the units are no whole numbers.
    UnknownNameError
        If the site is none.
    """

    units: Units
    value: float = 0.0
    site: str = "activation"
    scale: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", frozen_units(self.units))
        object.__setattr__(self, "value", _finite("value", self.value))
        if self.scale is not None:
            object.__setattr__(self, "scale", _finite("scale", self.scale))
            if self.value != 0.0:
                raise ArgumentError(
                    f"an intervention sets or scales: got value {self.value:g} and scale {self.scale:g}"
                )
        if self.site not in SITES:
            raise UnknownNameError(
                f'site "{self.site}" is not known; expected one of {", ".join(SITES)}.'
                f"{nearest(str(self.site), SITES)}"
            )

    def __hash__(self) -> int:
        return hash((tuple(self.units.items()), self.value, self.site, self.scale))

    @property
    def n_units(self) -> int:
        """How many units are set."""
        return sum(len(tuple(units)) for units in self.units.values())

    def checked(self, graph: FilterGraph) -> Intervention:
        """Give the same intervention, every layer and unit of which exists in `graph`.

        Raises
        ------
        UnknownNameError
            If a layer or unit does not exist.
        ArgumentError
            If a unit is a class: the outcome cannot be intervened on.
        """
        return replace(self, units=units_in(graph, self.units))

    def __repr__(self) -> str:
        if not self.units:
            return "do(nothing)"
        where = ", ".join(f"{layer}[{', '.join(map(str, units))}]" for layer, units in self.units.items())
        what = f"= {self.value:g}" if self.scale is None else f"x {self.scale:g}"
        return f"do({where} {what} at {self.site})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def frozen_units(units: object) -> Mapping[str, tuple[int, ...]]:
    """Give a choice of units that cannot be changed, names and numbers sorted, layers without units left out.

    Raises
    ------
    ArgumentError
        If it is no mapping of names to whole numbers.
    """
    if not isinstance(units, Mapping):
        raise ArgumentError(f"units must be a mapping of layer name to unit numbers, got {units!r:.80}")
    kept = {str(layer): _sorted_units(str(layer), units[layer]) for layer in sorted(units, key=str)}
    return MappingProxyType({layer: numbers for layer, numbers in kept.items() if numbers})


def units_in(graph: FilterGraph, units: Units) -> dict[str, tuple[int, ...]]:
    """Give a choice of units in the graph's order, each of which exists and is no class.

    Raises
    ------
    UnknownNameError
        If a layer or unit does not exist.
    ArgumentError
        If a unit is a class: the outcome cannot be intervened on.
    """
    if graph.output.name in units:
        raise ArgumentError(
            f'"{graph.output.name}" gives the classes: the outcome cannot be intervened on; '
            "choose an earlier layer"
        )
    return graph.check_units(dict(units))


def _sorted_units(layer: str, units: object) -> tuple[int, ...]:
    listed = [units] if isinstance(units, Integral) else units
    if isinstance(listed, str) or not isinstance(listed, Iterable):
        raise ArgumentError(f'units of "{layer}" must be whole numbers, got {units!r:.80}')
    numbers = list(listed)
    for number in numbers:
        if not isinstance(number, Integral) or isinstance(number, bool):
            raise ArgumentError(f'units of "{layer}" must be whole numbers, got {number!r:.80}')
    return tuple(sorted({int(number) for number in numbers}))


def _finite(name: str, value: object) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ArgumentError(f"the {name} of an intervention must be a finite number, got {value!r:.80}")
    return float(value)
