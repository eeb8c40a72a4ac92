"""Which filters a percentage removes."""

import numpy as np
import pytest

from causal_widget.errors import ArgumentError
from causal_widget.graph import trace
from causal_widget.pruning import lowest, prunable, random_order, ranking
from causal_widget.pruning.choose import count
from tests.interventions.networks import FullyConvolutional, Functional, Plain, Residual, images, seeded


@pytest.mark.parametrize(
    ("filters", "percent", "expected"),
    [(10, 0, 0), (10, 9.9, 0), (10, 10, 1), (10, 19, 1), (10, 99, 9), (10, 100, 10), (3, 33, 0), (3, 34, 1),
     (1, 99.9, 0), (1, 100, 1), (3, np.nextafter(100, 0), 2), (64, 50, 32)],
)  # fmt: skip
def test_the_whole_part_is_taken_and_only_all_empties_a_layer(
    filters: int, percent: float, expected: int
) -> None:
    assert count(filters, percent) == expected


def test_the_lowest_go_first_and_equals_by_index() -> None:
    graph = trace(seeded(Plain), images())
    importance = {"conv1": np.array([3.0, 1, 2, 1, 0, 3]), "conv2": np.zeros(8)}
    assert lowest(ranking(graph, importance), 50) == {"conv1": (1, 3, 4), "conv2": (0, 1, 2, 3)}
    assert lowest(ranking(graph, importance), 0) == {}


def test_filters_that_are_classes_stay() -> None:
    assert prunable(trace(seeded(FullyConvolutional), images())) == {"conv1": 6}
    assert "down" not in " ".join(prunable(trace(seeded(Plain), images())))
    assert "block1.down.0" in prunable(trace(seeded(Residual), images()))


def test_a_module_called_twice_has_one_order_by_the_sum() -> None:
    graph = trace(seeded(Functional), images())
    importance = {
        "first": np.ones(5),
        "twice": np.array([1.0, 5, 1, 1, 1]),
        "twice#2": np.array([9.0, 0, 3, 1, 4]),
    }
    order = ranking(graph, importance)
    assert set(order) == {"first", "twice"}
    assert order["twice"].tolist() == [3, 2, 1, 4, 0]


def test_random_choice_is_seeded_nested_and_leaves_the_global_state() -> None:
    graph = trace(seeded(Residual), images())
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = random_order(graph, 3, 1), random_order(graph, 3, 1), random_order(graph, 3, 2)
    assert all((one[m] == same[m]).all() for m in one)
    assert any((one[m] != other[m]).any() for m in one)
    few, many = lowest(one, 20), lowest(one, 60)
    assert all(set(few[m]) <= set(many[m]) for m in few)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("percent", [-1, 100.5, float("nan"), "10", None, True])
def test_percent_outside_is_refused(percent: object) -> None:
    graph = trace(seeded(Plain), images())
    with pytest.raises(ArgumentError, match=r"0\.\.100"):
        lowest(random_order(graph, 0), percent)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "importance",
    [
        {},
        {"conv1": np.ones(6)},
        {"conv1": np.ones(5), "conv2": np.ones(8)},
        {"conv1": np.full(6, np.nan), "conv2": np.ones(8)},
    ],
)
def test_missing_importances_are_named(importance: dict[str, np.ndarray]) -> None:
    with pytest.raises(ArgumentError, match="finite importances"):
        ranking(trace(seeded(Plain), images()), importance)
