import dataclasses

import numpy as np
import pytest

from causal_widget.errors import ArgumentError
from causal_widget.graph import trace
from causal_widget.responses import Moments, layout_of
from tests.responses.networks import images, plain, residual


@pytest.fixture(scope="module")
def graph():
    return trace(residual(), images(1))


def test_readings_are_the_graphs_parents(graph):
    layout = layout_of(graph)
    for layer in graph.layers:
        found = {unit: set() for unit in range(layer.units)}
        for reading in layout.readings.get(layer.name, ()):
            names = [(source, u) for source in reading.sources for u in range(layout.widths[source])]
            for parents, children in zip(reading.parents, reading.children, strict=True):
                for child in children:
                    assert not found[child]
                    found[child] = {names[p] for p in parents}
        for unit in range(layer.units):
            expected = {(s, int(u)) for s, units in graph.parents_of(layer.name, unit).items() for u in units}
            assert found[unit] == expected


def test_depthwise_and_grouped_layers_keep_stacks_and_no_full_block(graph):
    layout = layout_of(graph)
    assert {target for target, _ in layout.stacks} == {"depthwise", "grouped"}
    assert not any("depthwise" in pair for pair in layout.pairs)


def test_a_block_that_several_layers_need_is_kept_once(graph):
    layout = layout_of(graph)
    assert len(set(layout.pairs)) == len(layout.pairs)
    assert not any((b, a) in layout.pairs for a, b in layout.pairs if a != b)


def test_components_widen_every_reading(graph):
    components = {"stem": 4, "branch": 4, "left": 4, "depthwise": 2, "grouped": 3}
    layout = layout_of(graph, components)
    assert layout.components == {**components, "head": 1}
    assert layout.total == 8 * 4 + 8 * 4 + 6 * 4 + 8 * 2 + 12 * 3 + 4
    for layer in graph.layers:
        for reading in layout.readings.get(layer.name, ()):
            names = [(s, c // layout.components[s]) for s in reading.sources for c in range(layout.widths[s])]
            for parents, children in zip(reading.parents, reading.children, strict=True):
                for child in children:
                    known = graph.parents_of(layer.name, int(child) // layout.components[layer.name])
                    expected = [
                        (s, int(u)) for s, units in known.items() for u in units for _ in range(components[s])
                    ]
                    assert [names[p] for p in parents] == expected


def test_bytes_are_what_is_allocated(graph):
    layout = layout_of(graph)
    moments = Moments(layout)
    moments.update_matrix(np.zeros((2, layout.total)))
    arrays = [*moments._blocks.values(), *(a for pair in moments._stacks.values() for a in pair)]
    assert layout.bytes == sum(a.nbytes for a in arrays) + moments._mean.nbytes + moments._squares.nbytes


def test_what_does_not_fit_is_refused_with_bytes_and_layer(graph):
    layout = layout_of(graph)
    layout.check_memory(1, layout.bytes)
    with pytest.raises(ArgumentError, match=f"{2 * layout.bytes:,} bytes") as caught:
        layout.check_memory(2, layout.bytes)
    assert "'head'" in str(caught.value)
    assert "18 parents" in str(caught.value)
    assert f"{layout.bytes_of('head'):,} bytes a set" in str(caught.value)


def test_the_default_limit_is_the_memory_of_the_machine():
    layout = layout_of(trace(plain(), images(1)))
    layout.check_memory(2)
    huge = dataclasses.replace(layout, widths=dict.fromkeys(layout.widths, 10_000_000))
    with pytest.raises(ArgumentError, match="memory_limit"):
        huge.check_memory(1)
