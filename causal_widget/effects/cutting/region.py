"""What lies below a cut: which nodes run again, what they need of the first run, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, fx

from causal_widget.effects.cutting.carried import is_known, is_plain, size_in_bytes
from causal_widget.effects.cutting.program import Program, last_uses
from causal_widget.effects.cutting.rules import Rule

__all__ = ["Region", "region_below"]


@dataclass(frozen=True, eq=False)
class Region:
    """Everything below one node, up to another.

    Attributes
    ----------
    start, end : fx.Node
        The node whose value is replaced, and the node whose value is wanted.
    nodes : tuple of fx.Node
        What runs again, in order; the start is not among them.
    needs : frozenset of fx.Node
        Nodes whose values must be kept from the first run.
    frees : mapping
        After which node which values are needed no more.
    bytes_per_item : int
        Most bytes that one item holds at one time while the region runs on whole values.
    """

    start: fx.Node
    end: fx.Node
    nodes: tuple[fx.Node, ...]
    needs: frozenset[fx.Node]
    frees: Mapping[fx.Node, list[fx.Node]]
    bytes_per_item: int

    @cached_property
    def nodes_set(self) -> frozenset[fx.Node]:
        """The nodes, to ask whether one is among them."""
        return frozenset(self.nodes)


def region_below(
    program: Program,
    start: fx.Node,
    specs: Mapping[fx.Node, Any],
    rules: Mapping[fx.Node, Rule | None],
    example: Callable[[fx.Node], Any],
    end: fx.Node | None = None,
    stops: Collection[fx.Node] = (),
) -> Region | str:
    """Find what runs again when a node's value is replaced.

    Parameters
    ----------
    program, start : Program, fx.Node
        The network and the node.
    specs, rules, example : mappings and callable
        How values depend on the batch, how nodes follow a change, and values that tell shapes.
    end : fx.Node, optional
        The node whose value is wanted; None: the network's output.
    stops : collection of nodes
        Nodes that keep their value whatever they read.

    Returns
    -------
    Region, or str
        A reason: a value from above the cut does not say what it would be for another batch.
    """
    end = program.result if end is None else end
    below = _below(program, start, specs, example, end, stops)
    nodes = tuple(node for node in program.nodes if node in below)
    if end is not start and end not in below:
        return f"nothing leads from {start.name} to {end.name} but through other layers"
    above = {n for node in nodes for n in node.all_input_nodes if n not in below and n is not start}
    for node in above:
        if not is_known(specs[node]):
            return f"the value of {node.name} depends on the number of images in a way that is not understood"
    frees = last_uses(nodes)
    needs = frozenset(above | {start} | _needed_by_rules(nodes, start, rules, end))
    return Region(start, end, nodes, needs, frees, _peak(nodes, start, frees, example))


def _below(
    program: Program,
    start: fx.Node,
    specs: Mapping[fx.Node, Any],
    example: Callable[[fx.Node], Any],
    end: fx.Node,
    stops: Collection[fx.Node],
) -> set[fx.Node]:
    """Nodes that read the start, and that the end reads. Sizes are known beforehand, and left out."""
    reached = {start}
    for node in program.nodes:
        keeps = node in stops or (is_plain(example(node)) and is_known(specs[node]))
        if not keeps and any(read in reached for read in node.all_input_nodes):
            reached.add(node)
    wanted = {end}
    for node in reversed(program.nodes):
        if node in wanted:
            wanted.update(node.all_input_nodes)
    return (reached & wanted) - {start}


def _needed_by_rules(
    nodes: tuple[fx.Node, ...], start: fx.Node, rules: Mapping[fx.Node, Rule | None], result: fx.Node
) -> set[fx.Node]:
    below, sparse, needed = {start, *nodes}, {start}, set()
    for node in nodes:
        changed = [n for n in node.all_input_nodes if n in below]
        few = [n for n in changed if n in sparse]
        rule = rules[node] if len(few) == len(changed) else None
        if rule is None or rule.needs_input:
            needed.update(few)
        if rule is not None and rule.needs_output:
            needed.add(node)
        if rule is not None and rule.sparse:
            sparse.add(node)
    return needed | (sparse & {result})


def _peak(
    nodes: tuple[fx.Node, ...],
    start: fx.Node,
    frees: Mapping[fx.Node, list[fx.Node]],
    example: Callable[[fx.Node], Any],
) -> int:
    """Most bytes at one time, for one image: whole values throughout, and one more for a kept one carried."""
    sizes = {n: _bytes_of_one(example(n)) for n in (start, *nodes)}
    live, most = sizes[start], 0
    for node in nodes:
        live += sizes[node]
        most = max(most, live + max((_bytes_of_one(example(n)) for n in node.all_input_nodes), default=0))
        live -= sum(sizes.get(done, 0) for done in frees.get(node, ()))
    return most or 2 * sizes[start]


def _bytes_of_one(value: Any) -> int:
    return size_in_bytes(value) // 2 if isinstance(value, Tensor | tuple | list) else 0
