"""Which images are drawn first: strata by expected size, more of where estimates spread, by every prefix."""

from __future__ import annotations

import numpy as np

from causal_widget.effects.evidence import ControlledEvidence, StratifiedEvidence
from causal_widget.effects.remembered import Remembered
from causal_widget.effects.strata import CUTS, EVEN, LEAST, Strata, allocation, interleaved, size

N = 400


def remembered(rows: int = N) -> Remembered:
    drawn = np.random.default_rng(1)
    hardness = drawn.permutation(N).astype(float)
    found = {
        "a": drawn.normal(size=(N, 2, 1)) * (1 + hardness // 100)[:, None, None],
        "b": np.zeros((N, 1, 1)),  # no estimate, which says nothing of where to draw
    }
    shapes = {layer: one.shape[1:] for layer, one in found.items()}
    known = Remembered.empty(3, shapes, 4 * 23 * rows, None)
    moved = {layer: np.ones(one.shape[:2], bool) for layer, one in found.items()}
    for some in (np.arange(200, N), np.arange(200)):  # rows are not in the order of images
        given = ({layer: one[some] for layer, one in each.items()} for each in (found, moved))
        known.see(some, *given, hardness[some])
    return known


def test_strata_by_size_and_neyman_shares() -> None:
    known, order = remembered(), np.random.default_rng(0).permutation(N)
    strata = Strata.of(known, N, 200, order)
    assert strata is not None
    values = known.values["a"][known.rows(), :, 0].astype(np.float64)
    expected = np.sqrt(((values / values.std(0)) ** 2).sum(1))
    np.testing.assert_allclose(size(known), expected, rtol=1e-6)
    cuts = [cut for cut in CUTS if N * (1 - cut) >= LEAST]
    assert strata.count == len(cuts) + 1 == 5
    rank = np.argsort(np.argsort(expected))
    np.testing.assert_array_equal(strata.stratum, (rank[:, None] >= np.array(cuts) * N).sum(1))
    shares = allocation(known, strata.stratum)
    assert np.isclose(shares.sum(), 1)
    parts = np.zeros(strata.count)
    for unit in range(2):
        groups = [(strata.stratum == h) for h in range(5)]
        spread = [of.mean() * np.sqrt(values[of, unit].std()) for of in groups]
        parts += np.array(spread) / sum(spread)
    even = np.bincount(strata.stratum) / N
    np.testing.assert_allclose(shares, EVEN * even + (1 - EVEN) * parts / 2, rtol=1e-6)
    assert sorted(strata.order) == list(range(N))


def test_without_estimates_hard_images_are_large() -> None:
    known = remembered()
    known.values["a"][:] = 0.0
    strata = Strata.of(known, N, 200, np.arange(N))
    assert strata is not None
    hardness = known.hardness[known.rows()]
    means = [hardness[strata.stratum == h].mean() for h in range(strata.count)]
    assert means == sorted(means)
    np.testing.assert_allclose(allocation(known, strata.stratum), np.bincount(strata.stratum) / N)


def test_every_beginning_of_the_order_has_the_shares() -> None:
    order = np.random.default_rng(0).permutation(N)
    stratum, shares = np.arange(N) // 100, np.array([0.1, 0.2, 0.3, 0.4])
    found = interleaved(order, stratum, shares)
    for n in range(1, 250):
        counts = np.bincount(stratum[found[:n]], minlength=4)
        assert (np.abs(counts - n * shares) <= 1.5).all()
    for h in range(4):  # within a stratum the order is the random one
        assert np.array_equal(found[stratum[found] == h], order[stratum[order] == h])


def test_none_where_not_all_is_remembered_or_few_images_are() -> None:
    order = np.arange(N)
    assert Strata.of(None, N, 200, order) is None
    assert Strata.of(remembered(N - 1), N, 200, order) is None
    assert Strata.of(remembered(), N, 90, order) is None


def test_evidence_in_strata_has_all_estimates() -> None:
    known = remembered()
    strata = Strata.of(known, N, 200, np.arange(N))
    assert strata is not None
    whole = ControlledEvidence.empty(2, 1).with_cheap(known.values["a"][known.rows()], np.ones((N, 2), bool))
    (found,) = strata.grouped({"a": whole}).values()
    assert isinstance(found, StratifiedEvidence)
    assert np.allclose(found.estimate("given").mean, whole.estimate("given").mean)
    assert (found.images == N).all()
    assert strata.grouped({"a": found})["a"] is found
