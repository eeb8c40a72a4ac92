"""Moments of effects: plain loops and scipy as oracles, same bits in any order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from causal_widget.effects.statistics import EffectMoments, images_needed, spread_of_mean
from causal_widget.errors import ArgumentError, NonFiniteError


def effects(n: int = 103, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, 2, (n, *(shape or (5, 2))))


def batches(x: np.ndarray, size: int) -> list[np.ndarray]:
    return [x[i : i + size] for i in range(0, len(x), size)]


def bits(m: EffectMoments) -> bytes:
    return m.n.tobytes() + m.mean.tobytes() + m.squares.tobytes()


def test_like_numpy_over_all_images() -> None:
    x = effects()
    m = EffectMoments.empty((5, 2))
    for batch in batches(x, 10):
        m = m.update(batch)
    assert (m.n == 103).all()
    np.testing.assert_allclose(m.mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(m.sd, x.std(0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(m.se(), stats.sem(x), rtol=1e-12)


def test_interval_is_scipys() -> None:
    x = effects(12, 3)
    low, high = EffectMoments.of(x).interval(0.9)
    for k in range(3):
        theirs = stats.ttest_1samp(x[:, k], 0).confidence_interval(0.9)
        assert (low[k], high[k]) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_parts_measured_in_any_order_give_the_same_bits() -> None:
    parts = {i: EffectMoments.of(batch) for i, batch in enumerate(batches(effects(), 7))}
    backwards = dict(sorted(parts.items(), reverse=True))
    assert bits(EffectMoments.merge_all(parts)) == bits(EffectMoments.merge_all(backwards))


@pytest.mark.parametrize("columns", [[0], [3], [1, 4], [0, 1, 2, 3]])
def test_a_unit_has_the_same_bits_whichever_units_stand_beside_it(columns: list[int]) -> None:
    x = effects(1000, 5)
    assert bits(EffectMoments.of(x[:, columns])) == bits(EffectMoments.of(x).take(columns))


def test_silent_images_count_as_zeros() -> None:
    x = np.concatenate([effects(20, 3), np.zeros((7, 3))])
    m = EffectMoments.of(x[:20]).merge(EffectMoments.zeros([7, 7, 7]))
    np.testing.assert_allclose(m.mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(m.variance, x.var(0, ddof=1), rtol=1e-12)


def test_only_open_questions_get_more_images() -> None:
    x = effects(40, 3)
    m = EffectMoments.of(x[:10]).update(x[10:, [0, 2]], where=[True, False, True])
    assert m.n.tolist() == [40, 10, 40]
    np.testing.assert_allclose(m.mean, [x[:, 0].mean(), x[:10, 1].mean(), x[:, 2].mean()], rtol=1e-13)
    np.testing.assert_allclose(m.sd[1], x[:10, 1].std(ddof=1))


def test_far_from_zero_no_digits_are_lost() -> None:
    x = effects(1000, 1) * 1e-3 + 1e6
    m = EffectMoments.empty((1,))
    for batch in batches(x, 11):
        m = m.update(batch)
    np.testing.assert_allclose(m.variance, x.var(0, ddof=1), rtol=1e-6)


def test_no_doubt_is_left_when_all_images_were_measured() -> None:
    m = EffectMoments.of(effects(50, 2))
    assert (m.se(population=50) == 0).all()
    np.testing.assert_allclose(m.se(population=100), m.se() * np.sqrt(0.5))
    low, high = m.interval(population=50)
    np.testing.assert_array_equal(low, high)


def test_coverage_of_a_finite_population() -> None:
    """2000 samples of 60 of 200 images: the mean over the 200 lies in 95 % of the intervals."""
    rng = np.random.default_rng(1)
    images = rng.exponential(1, 200)
    chosen = np.argsort(rng.random((200, 2000)), axis=0)[:60]
    low, high = EffectMoments.of(images[chosen]).interval(0.95, population=200)
    covered = ((low <= images.mean()) & (images.mean() <= high)).mean()
    assert 0.93 <= covered <= 0.97
    wide_low, wide_high = EffectMoments.of(images[chosen]).interval(0.95)
    assert ((wide_low <= images.mean()) & (images.mean() <= wide_high)).mean() > covered


def test_images_needed_inverts_the_standard_error() -> None:
    for population in (None, 500):
        n = images_needed(2.0, 0.3, 1.96, population)
        assert 1.96 * spread_of_mean(2.0, n, population) <= 0.3
        assert 1.96 * spread_of_mean(2.0, n - 1, population) > 0.3
    assert images_needed(1.0, 0.0, 2.0, None) == np.inf
    assert images_needed(1.0, 0.0, 2.0, 500) == 500
    assert images_needed(0.0, 0.1, 2.0, None) == 1


def test_bad_input() -> None:
    m = EffectMoments.of(effects(10, 3))
    with pytest.raises(NonFiniteError, match=r"nan at .* = \(1, 0\)"):
        EffectMoments.of([[1.0], [np.nan]])
    with pytest.raises(ArgumentError, match=r"\(3,\) and \(2,\)"):
        m.merge(EffectMoments.empty((2,)))
    with pytest.raises(ArgumentError, match="no less than the images measured"):
        m.se(population=9)
    with pytest.raises(ArgumentError, match=r"bool of shape \(3,\)"):
        m.update(effects(2, 1), where=[0, 1, 0])
    with pytest.raises(ArgumentError, match=r"\(2,\) and \(3,\) questions"):
        m.update(effects(2, 3), where=[True, True, False])
    with pytest.raises(ArgumentError, match=r"level .* 95"):
        m.interval(95)
    with pytest.raises(ArgumentError, match="one part or more"):
        EffectMoments.merge_all({})
    assert bits(m.update(np.zeros((0, 3)))) == bits(m)
    assert np.isnan(EffectMoments.of(effects(1, 2)).se()).all()
    assert "3 questions, 10 images" in repr(m)
