"""A copy of a network in which chosen paths are blocked."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from causal_widget.evaluation.class_graphs.repair_result import RepairCurve, told
from causal_widget.graph import FilterGraph
from causal_widget.interventions import Edits, PathEdit, TargetPlan, UnitEdit, check_plain, edited, plan_paths

__all__ = ["Repaired"]

_WRITABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Repaired(nn.Module):
    """A copy of a network that blocks paths; the network itself is not changed.

    A path through channels that carry one unit alone is blocked for good, by zero weights in the copy. Where
    units share channels (residual sums), a layer is called several times, or its weights are made up by
    others, no weight stands for the path: there the copy blocks it while it runs, without gradients.

    Parameters
    ----------
    model : nn.Module
        The network.
    graph : FilterGraph
        Its graph.
    edits : sequence of PathEdit or UnitEdit
        What is blocked.
    target : int
        The class that is repaired.
    share : float
        Of its harmful paths.
    units : sequence of (layer, unit)
        Whose paths they are.
    curve, check : RepairCurve, optional
        What the share was chosen by, and what came of it on images apart.

    Attributes
    ----------
    model : nn.Module
        The copy, with the weights of blocked paths zero.
    held : Edits
        What it must be held under besides; empty where the weights say all.
    """

    def __init__(
        self,
        model: nn.Module,
        graph: FilterGraph,
        edits: Sequence[PathEdit | UnitEdit],
        target: int,
        share: float,
        units: Sequence[tuple[str, int]],
        curve: RepairCurve | None = None,
        check: RepairCurve | None = None,
    ) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        self.target, self.share, self.units = target, share, tuple(units)
        self.curve, self.check = curve, check
        self._graph = graph
        self.held = Edits(tuple(_written(self.model, graph, edits)))
        self.train(model.training)

    def forward(self, x: Tensor) -> Tensor:
        """Give the network's output with the paths blocked."""
        if not len(self.held):
            return self.model(x)  # type: ignore[no-any-return]
        with edited(self.model, self._graph, self.held) as held:
            return held(x)  # type: ignore[no-any-return]

    def report(self) -> str:
        """Say what is blocked, and what is known of the accuracy before and after."""
        held = len({edit.source for edit in self.held.paths})
        how = f", {held:,} of them while it runs" if held else ""
        lines = [
            f"{type(self.model).__name__} repaired for class {self.target}: the paths of {len(self.units):,} "
            f"detrimental units blocked ({self.share:.0%}){how}"
        ]
        if not self.units:
            lines[0] = f"{type(self.model).__name__} as it was: no share blocked was better than none"
        shown = self.check or self.curve
        if shown is None:
            return "\n".join([*lines, "  not measured: no images were given"])
        table = shown.table(self.target)
        rows = table[table["share"] == self.share].to_dict("records")
        lines += [f"  {row['n']:,} images, {told(row)}" for row in rows]
        return "\n".join([*lines, f"  images: {shown.held_out}"])

    def __repr__(self) -> str:
        return self.report()


def _written(
    model: nn.Module, graph: FilterGraph, edits: Sequence[PathEdit | UnitEdit]
) -> list[PathEdit | UnitEdit]:
    """Write what weights can say, and give the rest."""
    left: list[PathEdit | UnitEdit] = [edit for edit in edits if isinstance(edit, UnitEdit)]
    calls = Counter(layer.module for layer in graph.layers)
    for plan in plan_paths(graph, [edit for edit in edits if isinstance(edit, PathEdit)]):
        module = model.get_submodule(plan.layer.module)
        check_plain(plan.layer.name, module)
        if plan.shadows or calls[plan.layer.module] > 1 or not _is_own(module):
            left += plan.edits
        else:
            _write(module, plan)
    return left


def _is_own(module: nn.Module) -> bool:
    """Whether the weight is a parameter of its own, laid out unit by channel."""
    return (
        isinstance(module, _WRITABLE)
        and "weight" in module._parameters
        and not parametrize.is_parametrized(module, "weight")
    )


@torch.no_grad()
def _write(module: nn.Module, plan: TargetPlan) -> None:
    weight = module.weight
    assert isinstance(weight, Tensor)
    for piece in plan.pieces:
        rows = torch.as_tensor(piece.units, device=weight.device)
        columns = torch.as_tensor(piece.channels, device=weight.device) % weight.shape[1]
        factor = torch.as_tensor(piece.factor, device=weight.device, dtype=weight.dtype)
        place = (rows[:, None], columns)
        weight[place] *= factor.reshape(*factor.shape, *[1] * (weight.ndim - 2))
