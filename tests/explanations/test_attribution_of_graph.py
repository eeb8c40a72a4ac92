"""A class's graph knows its network, until it has been to a file."""

import numpy as np
import pytest

import causal_widget as cw


@pytest.fixture(scope="module")
def found():
    digits = cw.samples.digits()
    return digits, cw.explain_class(digits.model, digits.train_loader, 3, max_images=64)


def test_a_graph_brings_its_network_and_its_units(found):
    digits, graph = found
    image = next(iter(digits.test_loader))[0][:1]
    short, long = cw.attribute(graph, image, "conv2"), cw.attribute(digits.model, image, "conv2", graph)
    assert short.units == tuple(graph.critical("conv2")["unit"].sort_values())
    np.testing.assert_array_equal(short.responses, long.responses)


def test_a_loaded_graph_says_what_it_lacks(found, tmp_path):
    digits, graph = found
    graph.save(tmp_path / "three.json")
    loaded = cw.ClassGraph.load(tmp_path / "three.json")
    image = next(iter(digits.test_loader))[0][:1]
    with pytest.raises(cw.OrderError, match="does not know its network"):
        cw.attribute(loaded, image, "conv2")
    cw.attribute(digits.model, image, "conv2", loaded)
