"""An edit of a path: the weights from one unit to chosen children."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Int

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph import FilterGraph, Wiring
from causal_widget.interventions.actions import build, finite
from causal_widget.interventions.intervention import frozen_units
from causal_widget.interventions.unit_edit import check_site

SHARED = ("unit", "channel")


@dataclass(frozen=True, repr=False)
class PathEdit:
    """do(w = beta w): the weights from one unit to chosen children are scaled.

    The intervention of Ahmad et al. (2023, section 3.3, "Path interventions"): the weights directed from node
    j to its targets become beta times themselves, all other weights held fixed. The paper speaks of networks
    in which each input channel of a layer carries one unit. What is done where that is so, and where not:

    - A channel that carries the source unit alone (through BatchNorm, activation, pooling, flatten,
      concatenation, ...): the weights from that channel to the children are scaled. Exactly the paper's.
    - A channel that carries other units too (a residual sum, a gate, a normalisation over channels), with
      ``shared="unit"``: the weights belong to all of them, and to scale them would intervene on all. So
      the children see that channel as it would be if the source unit's map were beta times itself at `site`,
      on the way to these children alone; everything else, the other children too, sees what it saw. Where
      the sum is linear up to the children, this is the weight w counted once for each unit and beta w for
      this one: w (a + b) becomes beta w a + w b. Behind a nonlinearity the unit's part cannot be told from
      the others', and this is the path-specific effect (Pearl 2001, "Direct and indirect effects").
    - With ``shared="channel"`` the weights are scaled there too, whatever else the channel carries: the
      paper's formula to the letter, and an intervention on all units of the channel.

    What a channel carries of the image itself, past all layers, counts as no unit's.

    Parameters
    ----------
    source : (layer name, unit)
        The unit.
    target : str
        A layer that reads it.
    children : iterable of int, optional
        Units of the target. None: all that read the source unit.
    beta : float
        What the weights are multiplied by: 0 cuts the path, 1 leaves it.
    site : str
        Where the unit is scaled on the way to channels that it shares; nothing else depends on it.
    shared : {"unit", "channel"}
        What is done on shared channels.

    Raises
    ------
    ArgumentError
        If the source is no such pair, the children are no whole numbers or none, or beta no finite number.
    UnknownNameError
        If `site` or `shared` is none.
    """

    source: tuple[str, int]
    target: str
    children: tuple[int, ...] | None = None
    beta: float = 0.0
    site: str = "activation"
    shared: str = "unit"

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", _source(self.source))
        object.__setattr__(self, "target", str(self.target))
        object.__setattr__(self, "beta", finite("beta", self.beta, "a path"))
        if self.children is not None:
            kept = frozen_units({self.target: self.children})
            if not kept:
                raise ArgumentError(
                    f'a path to "{self.target}" needs children, got none; children=None takes all'
                )
            object.__setattr__(self, "children", tuple(kept[self.target]))
        check_site(self.site)
        if self.shared not in SHARED:
            raise UnknownNameError(
                f'shared "{self.shared}" is not known; expected one of {", ".join(SHARED)}.'
                f"{nearest(str(self.shared), SHARED)}"
            )

    def checked(self, graph: FilterGraph) -> PathEdit:
        """Give the same edit, the source, target and children of which are parent and children in `graph`.

        Raises
        ------
        UnknownNameError
            If a layer or unit does not exist; the message carries the nearest name.
        ArgumentError
            If the source is a class, the target reads nothing of the source layer or has no weights, or a
            child does not read the unit. Classes may be children.
        """
        layer, unit = self.source
        graph.check_units({layer: [unit], self.target: self.children or ()})
        if graph.layer(layer).is_output:
            raise ArgumentError(f'"{layer}" gives the classes: no path leaves the outcome')
        wiring = wiring_between(graph, layer, self.target)
        if graph.layer(self.target).kind == "output":
            raise ArgumentError(
                f'"{self.target}" stands for the model\'s own output and has no weights; edit the units of '
                f'"{layer}" instead'
            )
        readers = readers_of(wiring, unit).tolist()
        for child in self.children or readers[:1] or [None]:
            if child not in readers:
                who = "no unit" if child is None else f"no path to unit {child}"
                raise ArgumentError(
                    f'{who} of "{self.target}" reads {layer}[{unit}]; those that do are {_listed(readers)}'
                )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Give the edit as plain values."""
        return {
            "source": list(self.source),
            "target": self.target,
            "children": None if self.children is None else list(self.children),
            "beta": self.beta,
            "site": self.site,
            "shared": self.shared,
        }

    def to_json(self) -> str:
        """Give the edit as JSON; `edit_from_json` reads it."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> PathEdit:
        """Make the edit of what `to_dict` gave.

        Raises
        ------
        ArgumentError, UnknownNameError
            As for the edit.
        """
        made: PathEdit = build(PathEdit, record)
        return made

    def told(self) -> str:
        """Say what is done, without the do()."""
        children = "" if self.children is None else f"[{', '.join(map(str, self.children))}]"
        how = "" if self.site == "activation" else f" at {self.site}"
        how += "" if self.shared == "unit" else " with all that shares its channels"
        return f"{self.source[0]}[{self.source[1]}] -> {self.target}{children} x {self.beta:g}{how}"

    def __repr__(self) -> str:
        return f"do({self.told()})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def wiring_between(graph: FilterGraph, source: str, target: str) -> Wiring:
    """Give the wiring from a layer to one that reads it.

    Raises
    ------
    ArgumentError
        If the second does not read the first; the message says what does.
    """
    for wiring in graph.children(source):
        if wiring.target == graph.layer(target).name:
            return wiring
    children = [w.target for w in graph.children(source)]
    raise ArgumentError(
        f'"{source}" is no parent of "{target}": no path joins them without another layer; the layers that '
        f'read "{source}" are {_listed(children)}.{nearest(target, children)}'
    )


def readers_of(wiring: Wiring, unit: int) -> Int[np.ndarray, " unit"]:
    """Units of the target that read one unit of the source, ascending."""
    reading = np.array([unit in units for units in wiring.group_reads])
    return np.flatnonzero(np.repeat(reading, wiring.target_units // wiring.groups))


def _source(source: object) -> tuple[str, int]:
    if not isinstance(source, tuple | list) or len(source) != 2:
        raise ArgumentError(f'source must be a unit such as ("conv1", 3), got {source!r:.80}')
    layer, unit = source
    if not isinstance(unit, Integral) or isinstance(unit, bool):
        raise ArgumentError(f'source must be one unit such as ("conv1", 3), got {source!r:.80}')
    return str(layer), int(unit)


def _listed(names: Sequence[Any]) -> str:
    if len(names) > 12:
        return f"{', '.join(map(str, names[:11]))}, ... {names[-1]}"
    return ", ".join(map(str, names)) or "none"
