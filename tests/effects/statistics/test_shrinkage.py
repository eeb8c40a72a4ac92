"""Shrunken estimates: between two estimates, by how noisy the one is and how far off the other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from causal_widget.effects.statistics import shrunken, spread_of_bias
from causal_widget.errors import ArgumentError

Array = np.ndarray


def simulated(seed: int, k: int = 80, bias: float = 0.4) -> tuple[Array, Array, Array, Array, Array]:
    """Give true effects, estimates without bias, their errors, cheap estimates and their scales."""
    drawn = np.random.default_rng(seed)
    truth = drawn.normal(size=k)
    scale = np.exp(drawn.normal(size=k) / 2)
    se = 0.4 * scale * np.exp(drawn.normal(size=k) / 4)
    return (
        truth, truth + se * drawn.normal(size=k), se, truth + bias * scale * drawn.normal(size=k), scale,
    )  # fmt: skip


def test_equal_errors_give_the_estimator_of_james_and_stein() -> None:
    drawn = np.random.default_rng(0)
    cheap, difference = drawn.normal(size=12), 0.9 * drawn.choice([-1, 1, 1.4], size=12)
    se = np.full(12, 0.5)
    factor = 1 - 10 * 0.25 / (difference**2).sum()
    assert 0.3 < factor < 0.95
    expected = cheap + factor * difference
    np.testing.assert_allclose(shrunken(cheap + difference, se, cheap, se), expected, rtol=1e-6)
    # whatever the scale is called; and in proportion to it, each difference has the same factor
    np.testing.assert_allclose(shrunken(cheap + difference, se, cheap, 7 * se), expected, rtol=1e-6)
    sizes = np.linspace(0.1, 3, 12)
    unequal = shrunken(cheap + sizes * difference, sizes * se, cheap, sizes)
    np.testing.assert_allclose(unequal, cheap + factor * sizes * difference, rtol=1e-6)
    # no difference beyond noise: the cheap estimates
    small = 0.3 * se * np.sign(difference)
    np.testing.assert_allclose(shrunken(cheap + small, se, cheap, se), cheap, rtol=1e-12)


def test_the_spread_solves_its_equation() -> None:
    _, mean, se, cheap, scale = simulated(3)
    tau = spread_of_bias(mean - cheap, se, scale)
    assert ((mean - cheap) ** 2 / ((tau * scale) ** 2 + se**2)).sum() == pytest.approx(78, rel=1e-6)
    many = [spread_of_bias(m - g, s, v) for _, m, s, g, v in map(simulated, range(200))]
    assert np.median(many) == pytest.approx(0.4, abs=0.03)
    assert spread_of_bias(np.full(9, 0.1), np.ones(9), np.ones(9)) == 0
    assert spread_of_bias(np.ones(9), np.ones(9), np.zeros(9)) == 0


def test_without_noise_the_mean_and_with_nothing_but_noise_the_cheap_estimate() -> None:
    _, mean, se, cheap, scale = simulated(1)
    np.testing.assert_allclose(shrunken(mean, 1e-6 * se, cheap, scale), mean, atol=1e-9)
    np.testing.assert_allclose(shrunken(mean, 1e6 * se, cheap, scale), cheap, atol=1e-9)
    np.testing.assert_array_equal(shrunken(mean, np.zeros(80), cheap, scale), mean)
    np.testing.assert_array_equal(shrunken(mean, np.full(80, np.inf), cheap, np.full(80, np.inf)), cheap)
    found = shrunken(mean, np.where(np.arange(80) < 3, 0, se), cheap, scale)
    np.testing.assert_array_equal(found[:3], mean[:3])
    assert (np.abs(found[3:] - cheap[3:]) < np.abs(mean[3:] - cheap[3:])).all()


def test_where_there_is_no_cheap_estimate_the_mean_stays_and_says_nothing_of_the_others() -> None:
    _, mean, se, cheap, scale = simulated(2)
    few = shrunken(mean[:40], se[:40], cheap[:40], scale[:40])
    none = np.where(np.arange(80) < 40, cheap, np.nan)
    found = shrunken(np.where(np.isnan(none), 1e3, mean), se, none, scale)
    np.testing.assert_allclose(found[:40], few, rtol=1e-12)
    np.testing.assert_array_equal(found[40:], 1e3)
    # of two nothing can be learnt
    np.testing.assert_array_equal(shrunken(mean[:2], se[:2], cheap[:2], scale[:2]), mean[:2])


def test_one_that_is_far_off_among_many_that_are_good_is_kept_near_its_mean() -> None:
    cheap, se = np.zeros(50), np.full(50, 0.1)
    mean = np.where(np.arange(50) == 7, 1.0, 0.02 * np.where(np.arange(50) % 2, 1, -1))
    found = shrunken(mean, se, cheap, se)
    assert found[7] == pytest.approx(1 - 0.15)
    assert (np.abs(np.delete(found, 7)) < 0.02).all()


@pytest.mark.parametrize("bias", [0.3, 0.4, 0.8])
def test_errors_are_smaller_and_order_is_nearer_than_by_either_estimate(bias: float) -> None:
    errors, orders = [], []
    for seed in range(60):
        truth, mean, se, cheap, scale = simulated(seed, bias=bias)
        ways = shrunken(mean, se, cheap, scale), mean, cheap
        errors.append([np.mean((one - truth) ** 2) for one in ways])
        orders.append([stats.spearmanr(one, truth)[0] for one in ways])
    error, order = np.mean(errors, axis=0), np.mean(orders, axis=0)
    assert error[0] < error[1:].min()
    assert order[0] > order[1:].max()


def test_arguments_are_checked() -> None:
    one = np.ones(4)
    with pytest.raises(ArgumentError, match=r"got \(4,\), \(3,\)"):
        shrunken(one, one[:3], one, one)
    with pytest.raises(ArgumentError, match="se must be 0 or more, got -1"):
        shrunken(one, -one, one, one)
    with pytest.raises(ArgumentError, match="scale must be 0 or more, got nan"):
        shrunken(one, one, one, np.nan * one)
    with pytest.raises(ArgumentError, match="se above 0"):
        spread_of_bias(one, 0 * one, one)
