"""What is remembered of estimates: those of the first images in the order, whatever happens in between."""

from __future__ import annotations

import numpy as np
import pytest

from causal_widget.effects.pool import keys_of
from causal_widget.effects.remembered import Remembered

SHAPES = {"a": (3, 2), "b": (1, 2)}
EACH = 4 * (3 * 2 + 1 * 2) + 3 + 1 + 8


def values(n: int) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(0)
    return {layer: drawn.normal(size=(n, *shape)) for layer, shape in SHAPES.items()}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 7, 20, 30])
def test_the_first_of_the_order_are_there(rows: int, again: bool) -> None:
    n, whole = 20, values(20)
    known = Remembered.empty(5, SHAPES, 4 * EACH * rows, None)
    for first in (0, 6, 6, 12) if again else (0, 6, 12):
        some = np.arange(first, min(first + (6 if first < 12 else 8), n))
        moved = {layer: one[some, :, 0] > 0 for layer, one in whole.items()}
        known.see(some, {layer: one[some] for layer, one in whole.items()}, moved, some / 2)
        known = Remembered.from_arrays(5, {name: one.copy() for name, one in known.arrays().items()})
    first_ones = np.argsort(keys_of(5, np.arange(n)))[:rows]
    assert {image for image in range(n) if known.knows(np.array([image]))} == set(first_ones.tolist())
    where = np.array([True, False, True])
    found = known.estimates(first_ones, "a", where)
    assert np.array_equal(found, whole["a"][first_ones][:, where].astype(np.float32))
    assert known.whole(n) == (rows == n)
    if rows == n:
        assert np.array_equal(known.hardness[known.rows()], np.arange(n) / 2)
        assert np.array_equal(known.changed["b"][known.rows()], whole["b"][:, :, 0] > 0)


def test_no_more_rows_than_images() -> None:
    assert len(Remembered.empty(0, SHAPES, 2**40, 11).index) == 11
