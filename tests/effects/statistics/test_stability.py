"""Stability: plain loops as oracle, rankings whose stability is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from causal_widget.effects.statistics import (
    agreement,
    bootstrap_means,
    halves,
    ranks_of,
    stability,
    stability_of_estimates,
    top_overlap,
)
from causal_widget.errors import ArgumentError, UnknownNameError


def effects(means: np.ndarray, n: int = 200, sd: float = 1.0, seed: int = 0) -> np.ndarray:
    return means + sd * np.random.default_rng(seed).normal(size=(n, len(means)))


def test_bootstrap_is_a_plain_loop() -> None:
    x = effects(np.arange(6.0), n=15).reshape(15, 3, 2)
    found = bootstrap_means(x, 50, seed=3)
    rng = np.random.default_rng(3)
    for draw in found:
        counts = rng.multinomial(15, np.full(15, 1 / 15))
        np.testing.assert_allclose(draw, np.repeat(x, counts, axis=0).mean(0), rtol=1e-11, atol=1e-12)


def test_bootstrap_has_the_standard_error_of_the_mean() -> None:
    x = effects(np.zeros(40), n=120)
    spread = bootstrap_means(x, 2000).std(axis=0)
    assert np.median(spread / (x.std(0) / np.sqrt(120))) == pytest.approx(1, abs=0.02)
    half = bootstrap_means(x, 2000, population=240).std(axis=0)
    np.testing.assert_allclose(half, spread * np.sqrt(0.5), rtol=1e-12)
    assert (bootstrap_means(x, 5, population=120) == x.mean(0)).all()


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    x = effects(np.zeros(3), n=30)
    whole = bootstrap_means(x, 100, seed=1)
    monkeypatch.setattr("causal_widget.effects.statistics.bootstrap.CHUNK", 30 * 7)
    np.testing.assert_allclose(bootstrap_means(x, 100, seed=1), whole, rtol=1e-12, atol=1e-15)


def test_ranks() -> None:
    assert ranks_of([-3.0, 1.0, 2.0]).tolist() == [1, 3, 2]
    assert ranks_of([-3.0, 1.0, 2.0], "high").tolist() == [3, 2, 1]
    assert ranks_of([-3.0, 1.0, 2.0], "low").tolist() == [1, 2, 3]
    assert ranks_of([0.0, 0.0, 5.0]).tolist() == [2.5, 2.5, 1]


def test_intervals_by_hand() -> None:
    x = effects(np.array([0.5, -0.4, 0.3, 0.0]), n=50)
    found = stability(x, top=2, draws=300, seed=4)
    drawn = np.abs(bootstrap_means(x, 300, seed=4))
    ranks = np.array([stats.rankdata(-row) for row in drawn])
    for unit in range(4):
        assert found.low[unit] == np.sort(ranks[:, unit])[round(0.025 * 299)]
        assert found.high[unit] == np.sort(ranks[:, unit])[round(0.975 * 299)]
        assert found.in_top[unit] == pytest.approx((ranks[:, unit] <= 2).mean())
    first = set(np.argsort(-np.abs(x.mean(0)))[:2])
    shares = [len(first & set(np.argsort(-row)[:2])) / 2 for row in drawn]
    assert found.overlap == pytest.approx(np.mean(shares))
    rhos = [stats.spearmanr(np.abs(x.mean(0)), row).statistic for row in drawn]
    assert found.spearman == pytest.approx(np.mean(rhos))


def test_clear_rankings_are_sure_and_noise_is_not() -> None:
    clear = stability(effects(np.arange(20.0)), top=5)
    np.testing.assert_array_equal(clear.low, clear.high)
    assert (clear.overlap, clear.span.max()) == (1, 1)
    assert clear.spearman == pytest.approx(1)
    noise = stability(effects(np.zeros(20)), top=5, by="high")
    assert np.median(noise.span) > 12


def test_rank_intervals_hold_the_true_rank() -> None:
    """Of 30 units a standard error apart, 95 % intervals of 40 experiments hold the true rank in 95 %."""
    means = np.arange(30)[::-1] * 0.1
    held = []
    for seed in range(40):
        found = stability(effects(means, n=100, seed=seed), by="high", draws=300, seed=seed)
        held.append(((found.low <= np.arange(1, 31)) & (np.arange(1, 31) <= found.high)).mean())
    assert np.mean(held) >= 0.95


def test_from_estimates_alone() -> None:
    x = effects(np.linspace(0, 2, 15), n=80)
    ours = stability_of_estimates(x.mean(0), x.std(0, ddof=1) / np.sqrt(80), top=4, draws=3000)
    theirs = stability(x, top=4, draws=3000)
    np.testing.assert_allclose(ours.low, theirs.low, atol=1)
    np.testing.assert_allclose(ours.high, theirs.high, atol=1)
    np.testing.assert_allclose(ours.in_top, theirs.in_top, atol=0.06)


def test_halves() -> None:
    clear = halves(effects(np.arange(20.0)), repeats=5)
    assert len(clear) == 5
    np.testing.assert_allclose(clear, 1)
    noise = halves(effects(np.zeros(100)), by="high", repeats=10)
    assert abs(noise["spearman"].mean()) < 0.15
    assert noise["overlap"].mean() < 0.4


def test_agreement_over_strengths() -> None:
    table = agreement({0.0: [3.0, -2.0, 1.0], 0.5: [1.5, -1.0, 0.5], 0.9: [-0.1, 0.2, 0.3]}, top=2)
    assert table[["first", "second"]].to_numpy().tolist() == [[0.0, 0.5], [0.0, 0.9], [0.5, 0.9]]
    assert table["spearman"].tolist() == [1, -1, -1]
    assert table["overlap"].tolist() == [1, 0.5, 0.5]
    assert top_overlap([1, 2, 3], [1, 2, 3], 3) == 1


def test_bad_input() -> None:
    x = effects(np.zeros(3))
    with pytest.raises(ArgumentError, match="top must be a whole number from 1 to 3, got 4"):
        stability(x, top=4)
    with pytest.raises(ArgumentError, match="one outcome at a time"):
        stability(x[:, :, None], top=1)
    with pytest.raises(UnknownNameError, match='"big"'):
        stability(x, top=1, by="big")
    with pytest.raises(ArgumentError, match="2 images or more, got 1"):
        bootstrap_means(x[:1])
    with pytest.raises(ArgumentError, match="seed"):
        stability(x, top=1, seed=-1)
    with pytest.raises(ArgumentError, match="two rankings"):
        agreement({"a": [1.0]})
    with pytest.raises(ArgumentError, match="se from 0"):
        stability_of_estimates([1.0, 2.0], [1.0, -1.0], top=1)


def test_it_says_itself() -> None:
    found = stability(effects(np.arange(20.0)), top=5)
    assert "20 units, 1,000 draws" in repr(found)
    assert "top 5: 100% the same" in repr(found)
    assert found.table().index[0] == 19
    assert "<table" in found._repr_html_()
