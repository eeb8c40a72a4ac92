"""How one layer reads another."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int


@dataclass(frozen=True, eq=False)
class Wiring:
    """Which units of a source layer reach which input channels, and so which units, of a target layer.

    Input channels that carry the same source units share one row, so that an identity costs one entry a
    channel, and a normalisation over all channels one row in all.

    Attributes
    ----------
    source, target : str
        Names of the two layers.
    source_units, target_units : int
        Their numbers of units.
    groups : int
        Groups of the target: its units and input channels are cut into so many blocks.
    row_of_channel : int array (input channel,)
        The row that says what an input channel of the target carries, -1 for nothing of this source.
    starts, units : int arrays
        Row r holds the source units ``units[starts[r]:starts[r + 1]]``, ascending.
    """

    source: str
    target: str
    source_units: int
    target_units: int
    groups: int
    row_of_channel: Int[np.ndarray, " channel"] = field(repr=False)
    starts: Int[np.ndarray, " row_end"] = field(repr=False)
    units: Int[np.ndarray, " entry"] = field(repr=False)

    def row(self, channel: int) -> Int[np.ndarray, " unit"]:
        """Source units that one input channel of the target carries."""
        r = int(self.row_of_channel[channel])
        return self.units[:0] if r < 0 else self.units[self.starts[r] : self.starts[r + 1]]

    def channels_of(self, unit: int) -> Int[np.ndarray, " channel"]:
        """Input channels (or features) of the target's weight that carry one source unit."""
        rows = np.searchsorted(self.starts, np.flatnonzero(self.units == unit), side="right") - 1
        return np.flatnonzero(np.isin(self.row_of_channel, rows))

    @cached_property
    def group_reads(self) -> tuple[Int[np.ndarray, " unit"], ...]:
        """Source units that each group of the target reads, ascending."""
        blocks = np.array_split(self.row_of_channel, self.groups)
        return tuple(self._carried(block) for block in blocks)

    def _carried(self, rows: Int[np.ndarray, " channel"]) -> Int[np.ndarray, " unit"]:
        distinct = np.unique(rows[rows >= 0])
        parts = [self.units[self.starts[r] : self.starts[r + 1]] for r in distinct]
        return np.unique(np.concatenate(parts)) if parts else self.units[:0]

    def reads(self, target_unit: int) -> Int[np.ndarray, " unit"]:
        """Source units that one target unit reads: its parents in the source layer."""
        return self.group_reads[target_unit * self.groups // self.target_units]

    def mask(self) -> Bool[np.ndarray, "target_unit source_unit"]:
        """Say which source units are parents: True where row's target unit reads column's source unit."""
        mask = np.zeros((self.groups, self.source_units), dtype=bool)
        for group, units in enumerate(self.group_reads):
            mask[group, units] = True
        return np.repeat(mask, self.target_units // self.groups, axis=0)

    @cached_property
    def n_edges(self) -> int:
        """Number of unit-to-unit edges."""
        return sum(len(units) for units in self.group_reads) * (self.target_units // self.groups)

    @property
    def is_full(self) -> bool:
        """Whether every target unit reads every source unit."""
        return self.n_edges == self.target_units * self.source_units

    @cached_property
    def kind(self) -> str:
        """Kind of the wiring.

        ``"dense"``: every unit reads every source unit; ``"offset"``: the same, but beside other sources
        that were concatenated; ``"one-to-one"``: each target unit reads at most one source unit, none twice
        (depthwise); ``"blocks"``: anything else (groups, shuffles, slices).
        """
        if self.groups > 1 or self.target_units == self.n_edges:
            counts = [len(units) for units in self.group_reads]
            distinct = np.unique(np.concatenate(self.group_reads)) if self.group_reads else self.units[:0]
            if self.groups == self.target_units and max(counts) <= 1 and len(distinct) == sum(counts):
                return "one-to-one"
        if not self.is_full:
            return "blocks"
        return "offset" if (self.row_of_channel < 0).any() else "dense"
