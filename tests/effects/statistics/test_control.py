"""The control variate: unbiased, its standard error honest, nothing left when all images are exact."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from causal_widget.effects.statistics import (
    Controlled,
    EffectMoments,
    PairMoments,
    controlled,
    controlled_both_ways,
)
from causal_widget.errors import ArgumentError


def images(n: int, units: int = 1, rho: float = 0.97, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Exact effects and cheap ones twice too large and shifted, with correlation rho."""
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(n, units))
    e = 0.5 * rho * g + 0.5 * np.sqrt(1 - rho**2) * rng.normal(size=(n, units)) + 0.3
    return e, g


def estimate(
    e: np.ndarray, g: np.ndarray, pilot: object, main: object, both: bool = False, population: int | None = -1
) -> Controlled:
    how = controlled_both_ways if both else controlled
    return how(
        PairMoments.of(e[pilot], g[pilot]),
        PairMoments.of(e[main], g[main]),
        EffectMoments.of(g),
        population=len(e) if population == -1 else population,
    )


def test_pair_moments_are_numpys() -> None:
    e, g = images(50, 4)
    m = PairMoments.of(e[:20], g[:20]).merge(PairMoments.of(e[20:], g[20:]))
    for k in range(4):
        assert m.coefficient[k] == pytest.approx(np.polyfit(g[:, k], e[:, k], 1)[0], rel=1e-11)
        assert m.correlation[k] == pytest.approx(np.corrcoef(e[:, k], g[:, k])[0, 1], rel=1e-12)
    left = m.residual(0.7)
    np.testing.assert_allclose(left.mean, (e - 0.7 * g).mean(0), rtol=1e-12)
    np.testing.assert_allclose(left.variance, (e - 0.7 * g).var(0, ddof=1), rtol=1e-10)


def test_only_open_questions_get_more_images() -> None:
    e, g = images(40, 3)
    open_ones = np.array([True, False, True])
    m = PairMoments.empty((3,)).update(e[:15], g[:15])
    m = m.update(e[15:, open_ones], g[15:, open_ones], open_ones)
    assert m.n.tolist() == [40, 15, 40]
    for k, upto in enumerate((40, 15, 40)):
        assert m.coefficient[k] == pytest.approx(np.polyfit(g[:upto, k], e[:upto, k], 1)[0], rel=1e-10)


def test_the_formula_is_the_one_in_the_docstring() -> None:
    e, g = images(40, 1)
    e, g = e[:, 0], g[:, 0]
    pilot, main, rest = np.arange(6), np.arange(6, 15), np.arange(6, 40)
    told = 10 * g.var()
    c = (6 * np.cov(e[pilot], g[pilot], ddof=0)[0, 1] + told) / (6 * g[pilot].var() + told)
    plain = (6 * e[pilot].mean() + 34 * (c * g[rest].mean() + (e - c * g)[main].mean())) / 40
    se = 34 / 40 * (e - c * g)[main].std(ddof=1) * np.sqrt(1 / 9 - 1 / 34)
    found = estimate(e, g, pilot, main)
    assert found.coefficient == pytest.approx(c, rel=1e-12)
    assert found.mean == pytest.approx(plain, rel=1e-12)
    assert found.se == pytest.approx(se, rel=1e-10)


def test_a_coefficient_of_few_images_stays_near_one_and_of_many_is_their_own() -> None:
    e, g = images(4000, 50)
    cheap = EffectMoments.of(g)
    off = {
        n: np.abs(PairMoments.of(e[:n], g[:n]).coefficient_near_one(cheap) - 1).mean() for n in (0, 10, 4000)
    }
    assert off[0] == 0
    assert 0.15 < off[10] < 0.35  # half of the way from 1 to 0.485
    assert off[4000] == pytest.approx(0.515, abs=0.01)
    none = PairMoments.of(e[:50], np.zeros((50, 50)))
    assert not none.coefficient_near_one(EffectMoments.of(np.zeros((4000, 50)))).any()


def test_few_images_with_an_effect_make_a_worse_coefficient_alone_than_with_one_in_mind() -> None:
    rng = np.random.default_rng(8)
    right = (rng.random((2000, 300)) < 0.03) * rng.choice([-1.0, 1.0], (2000, 300))
    e = np.where(rng.random(right.shape) < 0.8, right, 0.0)
    truth, cheap = e.mean(0), EffectMoments.of(right)
    found = estimate(e, right, slice(0, 50), slice(50, 100), both=True)
    halves = [PairMoments.of(e[some], right[some]) for some in (slice(0, 50), slice(50, 100))]
    alone = np.zeros(300)
    for pilot, main in (halves, halves[::-1]):
        c, rest = pilot.coefficient, 1950
        left = (2000 * cheap.mean - 50 * pilot.cheap.mean) / rest
        alone += (50 * pilot.exact.mean + rest * (c * left + main.residual(c).mean)) / 2000 / 2
    assert ((found.mean - truth) ** 2).mean() < 0.8 * ((alone - truth) ** 2).mean()


@pytest.mark.parametrize("both", [False, True])
def test_no_bias_over_every_possible_sample(both: bool) -> None:
    """All 140 ways to draw 3 + 3 of 7 images, with a good g and a misleading one: no error on average."""
    rng = np.random.default_rng(3)
    e = rng.exponential(1, 7)
    e = np.stack([e, e], axis=1)
    g = np.stack([e[:, 0] ** 2 + rng.normal(size=7), rng.normal(size=7)], axis=1)
    total, ways = np.zeros(2), 0
    for six in combinations(range(7), 6):
        for three in combinations(six, 3):
            found = estimate(e, g, list(three), [i for i in six if i not in three], both)
            total, ways = total + found.mean, ways + 1
    np.testing.assert_allclose(total / ways, e.mean(0), rtol=1e-12)


@pytest.mark.parametrize("both", [False, True])
def test_all_images_exact_leaves_no_doubt(both: bool) -> None:
    e, g = images(30, 3)
    found = estimate(e, g, slice(0, 10), slice(10, 30), both)
    np.testing.assert_allclose(found.mean, e.mean(0), rtol=1e-12)
    np.testing.assert_array_equal(found.se, 0)


def test_both_ways_is_more_precise_and_reduces_variance_as_promised() -> None:
    """With correlation r the variance falls by 1 / (1 - r**2) = 16.9."""
    e, g = images(5_000, 200)
    found = estimate(e, g, slice(0, 200), slice(200, 400), both=True)
    once = estimate(e, g, slice(0, 200), slice(200, 400))
    assert 14 < np.median(found.reduction) < 20
    assert (found.se**2).mean() == pytest.approx((once.se**2).mean() / 2, rel=0.07)


def coverage(both: bool, population: int | None, n: int, size: int, runs: int = 1500) -> tuple[float, float]:
    """Run many draws as columns. Give the coverage of 95 % intervals, and true over reckoned variance."""
    rng = np.random.default_rng(5)
    everyone = images(size, 1, seed=7)
    everyone = (everyone[0] + 0.1 * everyone[0] ** 2, everyone[1])
    truth = everyone[0].mean()
    whole = population is not None
    drawn = np.argsort(rng.random((size, runs)), axis=0) if whole else rng.integers(0, size, (500, runs))
    e, g = everyone[0][drawn, 0], everyone[1][drawn, 0]
    half = n // 2
    found = estimate(e, g, slice(0, half), slice(half, n), both, population)
    low, high = found.interval()
    covered = float(((low <= truth) & (truth <= high)).mean())
    return covered, float(((found.mean - truth) ** 2).mean() / (found.se**2).mean())


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("n", [60, 300])
def test_coverage_of_the_mean_over_these_images(both: bool, n: int) -> None:
    covered, ratio = coverage(both, 400, n, 400)
    assert 0.93 <= covered <= 0.97
    assert 0.85 <= ratio <= 1.15


def test_coverage_of_the_mean_over_all_images_there_might_be() -> None:
    covered, ratio = coverage(True, None, 100, 50_000)
    assert 0.93 <= covered <= 0.97
    assert 0.85 <= ratio <= 1.15


def sparse(units: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A unit active on one image in fourteen: no effect and no estimate on the others."""
    rng = np.random.default_rng(seed)
    g = (rng.random((2000, units)) < 0.07) * rng.gamma(2, 1, (2000, units))
    return g * (1 + 0.3 * rng.normal(size=g.shape)), g


def test_silent_images_are_taken_out_exactly() -> None:
    e, g = sparse()
    seen = slice(0, 500)
    silent = (g[seen] == 0).sum(0)
    m = PairMoments.of(e[seen], g[seen]).without_zeros(silent)
    for k in range(3):
        active = g[seen, k] > 0
        one = PairMoments.of(e[seen][active, k], g[seen][active, k])
        assert m.n[k] == active.sum()
        np.testing.assert_allclose(m.exact.mean[k], one.exact.mean, rtol=1e-11)
        np.testing.assert_allclose(m.exact.variance[k], one.exact.variance, rtol=1e-9)
        np.testing.assert_allclose(m.products[k], one.products, rtol=1e-9)
    nothing = PairMoments.of(np.zeros((5, 1)), np.zeros((5, 1))).without_zeros([5])
    assert (nothing.n[0], nothing.exact.mean[0], nothing.exact.squares[0]) == (0, 0, 0)
    with pytest.raises(ArgumentError, match="zeros must be"):
        m.without_zeros(m.n + 1)


def test_coverage_of_rarely_active_units() -> None:
    """Sampled over all images the interval holds too rarely; over the active ones, as often as it says."""
    e, g = (np.broadcast_to(x, (2000, 1000)) for x in sparse(1, seed=4))
    order = np.argsort(np.random.default_rng(5).random(e.shape), axis=0)
    e, g = np.take_along_axis(e, order, axis=0), np.take_along_axis(g, order, axis=0)
    truth, active = e[:, 0].mean(), (g > 0).sum(0)

    def parts(edges: tuple[int, int], taken_out: bool) -> PairMoments:
        some = slice(*edges)
        m = PairMoments.of(e[some], g[some])
        return m.without_zeros((g[some] == 0).sum(0)) if taken_out else m

    held = {}
    for taken_out in (False, True):
        cheap = EffectMoments.of(g)
        cheap = cheap.without_zeros(2000 - active) if taken_out else cheap
        halves = parts((0, 150), taken_out), parts((150, 300), taken_out)
        found = controlled_both_ways(*halves, cheap, population=cheap.n)
        low, high = found.scaled(cheap.n / 2000).interval()
        held[taken_out] = ((low <= truth) & (truth <= high)).mean()
    assert 0.93 <= held[True] <= 0.97
    assert held[False] < 0.93


def test_each_question_may_have_its_own_population() -> None:
    e, g = images(60, 2)
    cheap = EffectMoments.of(g[:40, :1]).merge(EffectMoments.empty((1,)))
    squares = np.full(2, cheap.squares[0])
    both = EffectMoments(np.array([40, 60]), np.array([g[:40, 0].mean(), g[:, 1].mean()]), squares)
    pilot, main = PairMoments.of(e[:10], g[:10]), PairMoments.of(e[10:30], g[10:30])
    found = controlled(pilot, main, both, population=both.n)
    alone = controlled(pilot.take([0]), main.take([0]), cheap, population=40)
    assert found.mean[0] == pytest.approx(alone.mean[0], rel=1e-14)
    assert found.se[0] == pytest.approx(alone.se[0], rel=1e-12)


def test_a_cheap_estimate_that_never_varies_changes_nothing() -> None:
    e, _ = images(50, 2)
    found = estimate(e, np.zeros_like(e), slice(0, 10), slice(10, 30), both=True)
    np.testing.assert_allclose(found.mean, e[:30].mean(0), rtol=1e-12)
    assert (found.coefficient == 0).all()


def test_bad_input() -> None:
    e, g = images(30, 2)
    with pytest.raises(ArgumentError, match="one shape"):
        PairMoments.of(e, g[:, :1])
    assert np.isinf(estimate(e, g, slice(0, 5), slice(5, 6)).se).all()
    with pytest.raises(ArgumentError, match="on all images"):
        controlled(PairMoments.of(e[:9], g[:9]), PairMoments.of(e[9:], g[9:]), EffectMoments.of(g[:20]))
    with pytest.raises(ArgumentError, match="population"):
        estimate(e, g, slice(0, 9), slice(9, 20), population=29)


def test_it_says_itself() -> None:
    e, g = images(500, 3)
    found = estimate(e, g, slice(0, 50), slice(50, 100), both=True)
    assert "3 questions about 500 images, exact on 100, cheap on 500" in repr(found)
    table = found.table()
    assert list(table.columns) == ["effect", "se", "low", "high", "n", "coefficient", "reduction"]
    assert (table["low"] < table["effect"]).all()
