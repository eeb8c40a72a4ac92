"""What is seen of each layer call while a model is traced, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int
from torch import Tensor

from causal_widget.graph.calls import call_name
from causal_widget.graph.layer import Step
from causal_widget.graph.steps import NORMS, is_nonlinear


@dataclass(eq=False)
class CallRecord:
    """One call of a layer.

    Attributes
    ----------
    module, call : str, int
        Which module, which of its calls.
    kind : {"conv", "linear", "output"}
        What it is.
    units, unit_axis, shape, groups : int, int, tuple of int, int
        As in `Layer`.
    first : int
        Code of its unit 0 among all units.
    channels : int array (input channel,)
        Label of each input channel.
    labels : Tensor of int, shape (unit,)
        Labels of its own units.
    functions, reads, owned : lists
        One entry a step: the function's name, the positions it read, whether its result is still this
        layer's own.
    norm : str or None
        Path of the normalisation module of the first norm step.
    """

    module: str
    call: int
    kind: str
    groups: int
    channels: Int[np.ndarray, " channel"]
    units: int = 0
    unit_axis: int = -1
    shape: tuple[int, ...] = ()
    first: int = 0
    labels: Tensor = field(default_factory=Tensor)
    functions: list[str] = field(default_factory=list)
    reads: list[list[int]] = field(default_factory=list)
    owned: list[bool] = field(default_factory=list)
    norm: str | None = None

    @property
    def name(self) -> str:
        """Name of the layer."""
        return call_name(self.module, self.call)

    def is_cut(self, position: int) -> bool:
        """Whether everything after a position reads the layer only through it."""
        return all(min(reads) >= position for reads in self.reads[position:])

    def norm_position(self) -> int | None:
        """Give the first step that normalises the layer's own channels."""
        steps = enumerate(zip(self.functions, self.owned, strict=True), 1)
        return next((k for k, (name, owned) in steps if owned and name in NORMS), None)

    def activation_position(self) -> int | None:
        """Give the last step whose result is all that the rest of the network sees of this layer.

        A nonlinearity must lie on the way; pooling, addition and everything else that changes the shape or
        mixes in other units comes after it.
        """
        last, nonlinear = None, False
        for k, (name, owned) in enumerate(zip(self.functions, self.owned, strict=True), 1):
            nonlinear = nonlinear or (owned and is_nonlinear(name))
            if owned and nonlinear and self.is_cut(k):
                last = k
        return last

    def steps(self) -> tuple[Step, ...]:
        """Give the steps up to the last site, with the sites on them."""
        found = {"norm": self.norm_position(), "activation": self.activation_position()}
        end = max((k for k in found.values() if k is not None), default=0)
        return tuple(
            Step(
                self.functions[k - 1], self.owned[k - 1], tuple(site for site, at in found.items() if at == k)
            )
            for k in range(1, end + 1)
        )
