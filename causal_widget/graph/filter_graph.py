"""The graph of a network's filters: layers, units, and who is whose parent."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx
import numpy as np
import pandas as pd
from jaxtyping import Int

from causal_widget.errors import ArgumentError, UnknownNameError, nearest
from causal_widget.graph.convert import Strength, layer_digraph, strongest_digraph, unit_digraph
from causal_widget.graph.layer import Layer
from causal_widget.graph.wiring import Wiring

Units = Mapping[str, Int[np.ndarray, " unit"]]


@dataclass(frozen=True, eq=False)
class FilterGraph:
    """Layers in forward order and the wirings between them, read from the network itself.

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which the network calls them.
    wirings : tuple of Wiring
        One for each pair of layers of which the second reads the first through anything that is not itself
        a layer, in forward order of the target, then of the source.
    model_name : str
        Class name of the model.
    traced_by : {"symbolic", "recorded"}
        ``"symbolic"``: the model's control flow does not depend on the values of the images, so the graph
        holds for every image of this size. ``"recorded"``: it could not be followed symbolically, and the
        graph is that of the path which the example image took.
    example_shape : tuple of int
        Shape of the one image that was traced, without the batch axis.
    note : str
        Why symbolic tracing was not possible, empty where it was.
    """

    layers: tuple[Layer, ...]
    wirings: tuple[Wiring, ...]
    model_name: str = ""
    traced_by: str = "symbolic"
    example_shape: tuple[int, ...] = ()
    note: str = field(default="", repr=False)

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def _parents(self) -> dict[str, tuple[Wiring, ...]]:
        return {n: tuple(w for w in self.wirings if w.target == n) for n in self._by_name}

    @cached_property
    def _children(self) -> dict[str, tuple[Wiring, ...]]:
        return {n: tuple(w for w in self.wirings if w.source == n) for n in self._by_name}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers in forward order."""
        return tuple(self._by_name)

    @property
    def output(self) -> Layer:
        """The layer whose units are the classes."""
        return next(layer for layer in self.layers if layer.is_output)

    @property
    def conv_layers(self) -> tuple[Layer, ...]:
        """The convolutions in forward order."""
        return tuple(layer for layer in self.layers if layer.kind == "conv")

    @property
    def hidden_conv_layers(self) -> tuple[Layer, ...]:
        """The convolutions whose filters are not the classes themselves.

        A fully convolutional classifier ends in a convolution with one filter a class; to remove one of
        those is to remove the class.
        """
        ends = {w.source for w in self.parents(self.output.name) if w.kind == "one-to-one"}
        classes = {self.output.name} | (ends if self.output.kind == "output" else set())
        return tuple(layer for layer in self.conv_layers if layer.name not in classes)

    @property
    def n_filters(self) -> int:
        """Number of filters: units of all convolutions."""
        return sum(layer.units for layer in self.conv_layers)

    def layer(self, name: str | int) -> Layer:
        """Give a layer by its name or its index.

        Raises
        ------
        UnknownNameError
            If there is none; the message carries the nearest name.
        """
        if isinstance(name, int | np.integer) and not isinstance(name, bool):
            if 0 <= name < len(self.layers):
                return self.layers[name]
            raise UnknownNameError(
                f"layer {name} does not exist; the layers are numbered 0 to {len(self.layers) - 1}"
            )
        if name not in self._by_name:
            known = ", ".join(self.names[:8]) + (", ..." if len(self.names) > 8 else "")
            hint = nearest(str(name), self.names) or f" The layers are {known}."
            raise UnknownNameError(f'layer "{name}" does not exist.{hint}')
        return self._by_name[str(name)]

    def parents(self, name: str | int) -> tuple[Wiring, ...]:
        """Wirings into a layer, in forward order of their sources."""
        return self._parents[self.layer(name).name]

    def children(self, name: str | int) -> tuple[Wiring, ...]:
        """Wirings out of a layer, in forward order of their targets."""
        return self._children[self.layer(name).name]

    def parents_of(self, name: str | int, unit: int) -> dict[str, Int[np.ndarray, " unit"]]:
        """Parent units of one unit, by layer."""
        ((layer, (unit,)),) = self.check_units({self.layer(name).name: [unit]}).items()
        found = {w.source: w.reads(unit) for w in self.parents(layer)}
        return {source: units for source, units in found.items() if len(units)}

    def children_of(self, name: str | int, unit: int) -> dict[str, Int[np.ndarray, " unit"]]:
        """Child units of one unit, by layer."""
        ((layer, (unit,)),) = self.check_units({self.layer(name).name: [unit]}).items()
        found = {}
        for w in self.children(layer):
            groups = [g for g, units in enumerate(w.group_reads) if unit in units]
            found[w.target] = np.flatnonzero(
                np.isin(np.arange(w.target_units) * w.groups // w.target_units, groups)
            )
        return {target: units for target, units in found.items() if len(units)}

    def check_units(self, units: Mapping[str, Iterable[int]]) -> dict[str, tuple[int, ...]]:
        """Validate a choice of units.

        Parameters
        ----------
        units : mapping of layer name to iterable of int
            For example ``{"conv1": [3, 7]}``.

        Returns
        -------
        dict of str to tuple of int
            The same in forward order, ascending and without repeats; layers without units are left out.

        Raises
        ------
        UnknownNameError
            If a layer or a unit does not exist.
        """
        if not isinstance(units, Mapping):
            raise ArgumentError(f'units must be a mapping such as {{"conv1": [3, 7]}}, got {units!r:.80}')
        asked: dict[str, tuple[int, ...]] = {}
        for name, chosen in units.items():
            layer = self.layer(name)
            if isinstance(chosen, str) or not isinstance(chosen, Iterable):
                raise ArgumentError(f'units of "{layer.name}" must be a list of integers, got {chosen!r:.80}')
            asked[layer.name] = tuple(sorted({_unit(layer, unit) for unit in chosen}))
        return {layer.name: asked[layer.name] for layer in self.layers if asked.get(layer.name)}

    def to_networkx(
        self,
        level: str = "layer",
        *,
        layers: Sequence[str] | None = None,
        limit: int = 1_000_000,
        top_k: int | None = None,
        strength: Strength | None = None,
    ) -> nx.DiGraph:
        """Convert to a networkx directed graph.

        Parameters
        ----------
        level : {"layer", "unit"}
            Nodes are layer names, or pairs ``(layer name, unit)``.
        layers : sequence of str, optional
            Only these layers.
        limit : int
            Refuse to make more unit-level edges than this.
        top_k : int, optional
            Make only so many unit-level edges, the strongest.
        strength : callable (source, target) -> array (target unit, source unit), optional
            What makes an edge strong, for example ``explainer.scm.standardised``; its absolute value counts.
            Needed by `top_k`.

        Raises
        ------
        ArgumentError
            If `level` is neither, there are more than `limit` edges, or `top_k` comes without `strength`.
        """
        kept = self.names if layers is None else tuple(self.layer(name).name for name in layers)
        if level == "layer":
            return layer_digraph(self.layers, self.wirings, kept)
        if level != "unit":
            raise ArgumentError(f'level must be "layer" or "unit", got {level!r}')
        shown = [layer for layer in self.layers if layer.name in kept]
        wirings = [w for w in self.wirings if w.source in kept and w.target in kept]
        if top_k is None:
            return unit_digraph(shown, wirings, limit)
        if strength is None or top_k < 1:
            raise ArgumentError(f"top_k={top_k} needs to be at least 1 and to come with strength=...")
        return strongest_digraph(shown, wirings, top_k, strength)

    def table(self) -> pd.DataFrame:
        """Give one row a layer."""
        rows = [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "units": layer.units,
                "shape": "x".join(map(str, layer.shape)),
                "sites": ", ".join(layer.sites),
                "parents": ", ".join(w.source for w in self.parents(layer.name)),
                "classes": layer.is_output,
            }
            for layer in self.layers
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        edges = sum(w.n_edges for w in self.wirings)
        return (
            f"FilterGraph of {self.model_name or 'a model'}: {len(self.layers)} layers, "
            f"{self.n_filters} filters, {self.output.units} classes, "
            f"{len(self.wirings)} wirings with {edges} edges ({self.traced_by})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.table().to_html(index=False, escape=True)}"


def _unit(layer: Layer, unit: object) -> int:
    if isinstance(unit, bool) or not isinstance(unit, int | np.integer):
        raise ArgumentError(f'unit {unit!r} of layer "{layer.name}" must be an integer')
    if not 0 <= unit < layer.units:
        raise UnknownNameError(
            f'unit {unit} does not exist: layer "{layer.name}" has units 0 to {layer.units - 1}'
        )
    return int(unit)
