"""Moments against plain float64 loops over the raw table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causal_widget.errors import ArgumentError, OrderError
from causal_widget.graph import trace
from causal_widget.responses import Moments, layout_of
from causal_widget.responses import moments as module
from tests.responses.networks import images, plain, residual


@pytest.fixture(scope="module")
def layout():
    return layout_of(trace(residual(), images(1)))


def draw(layout, n, seed=0, shift=3.0):
    return np.random.default_rng(seed).normal(size=(n, layout.total)) * 2 + shift


def of(layout, *tables):
    found = Moments(layout)
    for table in tables:
        found.update_matrix(table)
    return found


def same(a, b):
    """Bit for bit."""
    assert a.count == b.count
    for layer in a.layout.widths:
        np.testing.assert_array_equal(a.mean(layer), b.mean(layer))
        np.testing.assert_array_equal(a.variance(layer), b.variance(layer))
    for pair in a.layout.pairs:
        np.testing.assert_array_equal(a.products(*pair), b.products(*pair))
    for stack in a.layout.stacks:
        for mine, theirs in zip(a.stack(*stack), b.stack(*stack), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def check_against_table(moments, table):
    layout = moments.layout
    columns = {name: table[:, part] for name, part in layout.slices.items()}
    for layer, x in columns.items():
        np.testing.assert_allclose(moments.mean(layer), x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(moments.variance(layer), x.var(0), rtol=1e-10, atol=1e-12)
    for a, b in layout.pairs:
        expected = (columns[a] - columns[a].mean(0)).T @ (columns[b] - columns[b].mean(0)) / len(table)
        np.testing.assert_allclose(moments.covariance(a, b), expected, atol=1e-10)
        np.testing.assert_allclose(moments.covariance(b, a), expected.T, atol=1e-10)
    for (target, i), reading in layout.stacks.items():
        x = np.concatenate([columns[source] for source in reading.sources], axis=1)
        y = columns[target]
        among, across = moments.stack(target, i)
        for g in range(reading.n_groups):
            p = x[:, reading.parents[g]] - x[:, reading.parents[g]].mean(0)
            c = y[:, reading.children[g]] - y[:, reading.children[g]].mean(0)
            np.testing.assert_allclose(among[g], p.T @ p, atol=1e-8)
            np.testing.assert_allclose(across[g], p.T @ c, atol=1e-8)


def test_one_batch_equals_the_table(layout):
    table = draw(layout, 40)
    check_against_table(of(layout, table), table)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_any_cut_into_batches_equals_the_table(sizes, seed):
    layout = layout_of(trace(residual(), images(1)))
    table = draw(layout, sum(sizes), seed)
    parts = np.split(table, np.cumsum(sizes)[:-1])
    check_against_table(of(layout, *parts), table)


def test_update_is_the_merge_with_a_batch_bit_for_bit(layout):
    parts = [draw(layout, n, seed) for seed, n in enumerate((7, 1, 30))]
    merged = Moments(layout)
    for part in parts:
        merged = merged.merge(of(layout, part))
    same(merged, of(layout, *parts))


def test_merge_is_associative_to_rounding_and_changes_neither_part(layout):
    a, b, c = (of(layout, draw(layout, n, seed)) for seed, n in enumerate((5, 20, 11)))
    kept = a.copy()
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    same(a, kept)
    for pair in layout.pairs:
        np.testing.assert_allclose(left.products(*pair), right.products(*pair), rtol=1e-10, atol=1e-10)
    same(left, a.merge(b).merge(c))


def test_empty_moments_are_neutral(layout):
    a = of(layout, draw(layout, 9))
    same(a.merge(Moments(layout)), a)
    same(Moments(layout).merge(a), a)
    a.update_matrix(np.empty((0, layout.total)))
    assert a.count == 9


def test_a_large_mean_does_not_swallow_the_variance(layout):
    table = draw(layout, 200, shift=0.0)
    near, far = of(layout, table), of(layout, table[:90] + 1e7, table[90:] + 1e7)
    for pair in layout.pairs:
        np.testing.assert_allclose(far.covariance(*pair), near.covariance(*pair), atol=1e-6)


def test_panels_smaller_than_a_layer_change_nothing(layout, monkeypatch):
    table = draw(layout, 50)
    monkeypatch.setattr(module, "PANEL", 3)
    check_against_table(of(layout, table[:20], table[20:]), table)


def test_update_takes_layers_by_name(layout):
    table = draw(layout, 12)
    found = Moments(layout)
    found.update({name: table[:, part] for name, part in layout.slices.items()})
    same(found, of(layout, table))
    with pytest.raises(ArgumentError, match="'stem'"):
        found.update({})
    with pytest.raises(ArgumentError, match=r"'stem' has responses of shape \(12, 3\)"):
        found.update({"stem": table[:, :3]})


def test_constant_units_are_dead_whatever_their_scale(layout):
    table = draw(layout, 30)
    stem = layout.slices["stem"].start
    table[:, stem], table[:, stem + 1] = 0.1, 0.0
    table[:, stem + 2] *= 1e-12
    assert np.flatnonzero(of(layout, table[:10], table[10:]).dead("stem")).tolist() == [0, 1]


def test_what_was_not_collected_is_an_order_error(layout):
    with pytest.raises(OrderError, match="collect first"):
        Moments(layout).mean("stem")
    with pytest.raises(OrderError, match="'stem' and 'head'"):
        of(layout, draw(layout, 5)).covariance("stem", "head")


def test_moments_of_another_network_are_refused(layout):
    other = layout_of(trace(plain(), images(1)))
    with pytest.raises(ArgumentError, match="different networks"):
        of(layout, draw(layout, 5)).merge(of(other, draw(other, 5)))
