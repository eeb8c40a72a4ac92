"""An intervention is a value: ordered, hashable, printable, refused where it makes no sense."""

import numpy as np
import pytest

from causal_widget.errors import ArgumentError, UnknownNameError
from causal_widget.graph import trace
from causal_widget.interventions import Intervention
from tests.interventions.networks import FullyConvolutional, Plain, images, seeded


def test_order_and_repeats_do_not_matter() -> None:
    one = Intervention({"b": [3, 1, 3], "a": np.array([2]), "c": []}, 0, "norm")
    two = Intervention({"a": (2,), "b": range(1, 4, 2)}, 0.0, "norm")
    assert one == two
    assert hash(one) == hash(two)
    assert len({one, two}) == 1
    assert dict(one.units) == {"a": (2,), "b": (1, 3)}
    assert one.n_units == 3


def test_a_number_stands_for_one_unit_and_every_part_counts() -> None:
    base = Intervention({"a": 3})
    assert base == Intervention({"a": [3]})
    assert base != Intervention({"a": [3]}, 1.0)
    assert base != Intervention({"a": [3]}, site="conv")
    assert base != Intervention({"a": [4]})
    half = Intervention({"a": [3]}, scale=0.5)
    assert half != base
    assert half != Intervention({"a": [3]}, scale=0.25)
    assert len({half, Intervention({"a": 3}, scale=1 / 2), base}) == 2


def test_it_says_itself_and_escapes_names() -> None:
    assert repr(Intervention({"conv1": [7, 3]}, 0.5, "conv")) == "do(conv1[3, 7] = 0.5 at conv)"
    scaled = Intervention({"conv2": [4]}, scale=0.5)
    assert repr(scaled) == "do(conv2[4] x 0.5 at activation)"
    assert repr(Intervention({})) == "do(nothing)"
    assert "<script>" not in Intervention({"<script>": [1]})._repr_html_()


def test_it_cannot_be_changed_from_outside() -> None:
    units = {"a": [1]}
    intervention = Intervention(units)
    units["a"].append(2)
    assert dict(intervention.units) == {"a": (1,)}
    with pytest.raises(TypeError):
        intervention.units["a"] = (5,)  # type: ignore[index]


@pytest.mark.parametrize(
    ("units", "options", "error", "says"),
    [
        (["conv1"], {}, ArgumentError, "mapping"),
        ({"conv1": "12"}, {}, ArgumentError, "'12'"),
        ({"conv1": [1.5]}, {}, ArgumentError, "1.5"),
        ({"conv1": [True]}, {}, ArgumentError, "True"),
        ({"conv1": None}, {}, ArgumentError, "None"),
        ({"conv1": [0]}, {"value": float("nan")}, ArgumentError, "nan"),
        ({"conv1": [0]}, {"value": float("inf")}, ArgumentError, "inf"),
        ({"conv1": [0]}, {"value": "0"}, ArgumentError, "'0'"),
        ({"conv1": [0]}, {"scale": float("inf")}, ArgumentError, "scale .* inf"),
        ({"conv1": [0]}, {"scale": "half"}, ArgumentError, "'half'"),
        ({"conv1": [0]}, {"scale": True}, ArgumentError, "True"),
        ({"conv1": [0]}, {"value": 2.0, "scale": 0.5}, ArgumentError, "value 2 and scale 0.5"),
        ({"conv1": [0]}, {"site": "activations"}, UnknownNameError, 'Did you mean "activation"'),
    ],
)
def test_nonsense_is_refused(
    units: object, options: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Intervention(units, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("units", "error", "says"),
    [
        ({"conv11": [0]}, UnknownNameError, 'Did you mean "conv1"'),
        ({"conv1": [6]}, UnknownNameError, "unit 6"),
        ({"conv1": [-1]}, UnknownNameError, "unit -1"),
        ({"fc": [0]}, ArgumentError, '"fc" gives the classes'),
    ],
)
def test_it_is_checked_against_the_graph(
    units: dict[str, list[int]], error: type[Exception], says: str
) -> None:
    graph = trace(seeded(Plain), images())
    with pytest.raises(error, match=says):
        Intervention(units).checked(graph)


def test_the_outcome_of_a_network_without_a_last_layer_is_refused_too() -> None:
    graph = trace(seeded(FullyConvolutional), images())
    assert graph.output.kind == "output"
    with pytest.raises(ArgumentError, match="outcome"):
        Intervention({graph.output.name: [0]}).checked(graph)
