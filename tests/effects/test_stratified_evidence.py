"""Means over strata: unbiased for every allocation, honest intervals, the truth once all is measured."""

from __future__ import annotations

import numpy as np
import pytest

from causal_widget.effects.evidence import StratifiedEvidence
from causal_widget.errors import UnknownNameError

N, QUESTIONS, STRATA = 2000, 3, 4
EVERY = np.ones(QUESTIONS, bool)


def simulated(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give effects, estimates, where anything changes, and strata that differ in mean and spread."""
    drawn = np.random.default_rng(seed)
    stratum = np.arange(N) * STRATA // N
    scale = np.array([0.02, 0.05, 0.2, 1.0])[stratum][:, None, None]
    cheap = scale * (1 + drawn.normal(size=(N, QUESTIONS, 1)))
    exact = 0.8 * cheap + 0.5 * scale * (drawn.standard_t(5, size=cheap.shape) + 0.4)
    changed = drawn.random((N, QUESTIONS)) < np.array([1.0, 0.6, 0.9])
    cheap, exact = cheap * changed[..., None], exact * changed[..., None]
    return exact, cheap, changed, stratum


def sampled(
    sizes: tuple[int, ...], seed: int, pilot: int = 4, truth: tuple[np.ndarray, ...] | None = None
) -> StratifiedEvidence:
    """Give evidence with so many exact images of each stratum, every pilot-th of them pilot."""
    exact, cheap, changed, stratum = truth or simulated()
    evidence = StratifiedEvidence.of(cheap, changed, stratum, STRATA)
    drawn = np.random.default_rng(seed)
    chosen = [drawn.permutation(np.flatnonzero(stratum == h))[:n] for h, n in enumerate(sizes)]
    for is_pilot in (True, False):
        halves = [one[: len(one) // pilot] if is_pilot else one[len(one) // pilot :] for one in chosen]
        rows = np.concatenate(halves)
        given = exact[rows], cheap[rows], changed[rows]
        evidence = evidence.with_exact(*given, EVERY, stratum[rows], pilot=is_pilot)
    return evidence


def test_unbiased_and_intervals_hold() -> None:
    truth, runs = simulated(), 60
    expected = truth[0].mean(axis=0)
    several = [sampled((24, 24, 60, 160), seed, 2, truth) for seed in range(runs)]
    for part, anytime in (("all", False), ("all", True), ("pilot", False), ("main", True)):
        found = [one.estimate("given", part, anytime=anytime) for one in several]
        means = np.array([one.mean for one in found])
        spread = means.std(axis=0, ddof=1)
        assert (np.abs(means.mean(axis=0) - expected) < 4 * spread / np.sqrt(runs)).all()
        ratio = np.sqrt(np.mean([one.se**2 for one in found], axis=0)) / spread
        assert (ratio > 0.8).all()
        assert (ratio < 1.5).all()
        assert np.mean([(one.low <= expected) & (expected <= one.high) for one in found]) > 0.92


def test_all_measured_is_the_truth() -> None:
    truth = simulated()
    expected = truth[0].mean(axis=0)
    for anytime in (False, True):
        found = sampled((500, 500, 500, 500), 0, truth=truth).estimate("given", anytime=anytime)
        assert np.allclose(found.mean, expected, atol=1e-12)
        assert (found.half_width() == 0).all()
    beyond = sampled((500, 500, 500, 500), 0, truth=truth).estimate(None)
    assert np.allclose(beyond.se, truth[0].std(axis=0, ddof=1) / np.sqrt(N), rtol=0.05)
    assert np.allclose(beyond.sd, truth[0].std(axis=0, ddof=1), rtol=0.01)


@pytest.mark.parametrize("sizes", [(1, 60, 60, 60), (0, 60, 60, 60), (60, 60, 60, 1), (60, 60, 60, 2)])
def test_a_stratum_hardly_measured_is_as_far_off_as_one_image(sizes: tuple[int, ...]) -> None:
    """What it leaves open is in the interval, which holds as often as it says, and is wider for it."""
    truth = simulated()
    mean, inside, wider = truth[0].mean(axis=0), [], []
    for seed in range(60):
        found = sampled(sizes, seed, truth=truth).estimate("given")
        inside.append((found.low <= mean) & (mean <= found.high))
        wider.append(found.se > sampled((60, 60, 60, 60), seed, truth=truth).estimate("given").se)
    assert np.mean(inside) > 0.93
    assert np.mean(wider) > 0.9


def test_the_only_image_that_changes_is_not_known_before_it_is_measured() -> None:
    exact, cheap, changed, stratum = simulated()
    changed = changed.copy()
    changed[stratum == 3] = False
    changed[-1] = True  # one image of the last stratum
    truth = exact * changed[..., None], cheap * changed[..., None], changed, stratum
    assert (sampled((60, 60, 60, 0), 0, truth=truth).estimate("given").se > 0).all()
    without = sampled((500, 500, 500, 0), 0, truth=truth).estimate("given")
    assert (without.se > 0.01 * np.abs(truth[0][-1]) / N).all()
    everything = sampled((500, 500, 500, 500), 0, truth=truth).estimate("given")
    np.testing.assert_array_equal(everything.se, 0)


def test_without_exact_effects_everything_is_open() -> None:
    found = sampled((0, 0, 0, 1), 0).estimate("given", anytime=True)
    assert np.isinf(found.se).all()
    assert np.isinf(found.high - found.low).all()


def test_a_stratum_in_which_nothing_changes_leaves_nothing_open() -> None:
    exact, cheap, changed, stratum = simulated()
    alive = (stratum > 0)[:, None]
    truth = exact * alive[..., None], cheap * alive[..., None], changed & alive, stratum
    found = sampled((0, 60, 60, 120), 0, truth=truth).estimate("given", anytime=True)
    assert np.isfinite(found.high - found.low).all()
    assert (np.abs(found.mean - truth[0].mean(axis=0)) < 4 * found.se).all()


def test_less_variance_than_an_even_sample_of_as_many_images() -> None:
    truth = simulated()
    hard = sampled((20, 20, 60, 160), 1, truth=truth).estimate("given").se
    even = sampled((65, 65, 65, 65), 1, truth=truth).estimate("given").se
    assert (hard < 0.8 * even).all()


def test_looks_hold_whenever_one_stops() -> None:
    """However often one looks while the strata grow in proportion, misses are rarer than alpha."""
    exact, cheap, changed, stratum = simulated()
    expected, misses = exact.mean(axis=0), 0
    for seed in range(40):
        drawn = np.random.default_rng(1000 + seed)
        orders = [drawn.permutation(np.flatnonzero(stratum == h)) for h in range(STRATA)]
        evidence, ever = StratifiedEvidence.of(cheap, changed, stratum, STRATA), False
        for step in range(14):
            sizes = (2, 2, 6, 16)
            rows = np.concatenate(
                [o[2 * step * n : 2 * (step + 1) * n] for o, n in zip(orders, sizes, strict=True)]
            )
            given = exact[rows], cheap[rows], changed[rows]
            evidence = evidence.with_exact(*given, EVERY, stratum[rows], pilot=step < 2)
            found = evidence.estimate("given", anytime=True, level=0.9)
            ever |= bool((np.abs(found.mean - expected) > found.half_width())[0, 0])
        misses += ever
    assert misses <= 8


def test_arrays_give_the_same_evidence() -> None:
    one = sampled((20, 20, 60, 160), 3)
    other = StratifiedEvidence.from_arrays({name: array.copy() for name, array in one.arrays().items()})
    for part in ("all", "pilot", "main"):
        assert np.array_equal(one.estimate("given", part).mean, other.estimate("given", part).mean)
        assert np.array_equal(one.estimate("given", part).se, other.estimate("given", part).se)
    assert np.array_equal(one.moments.n, other.moments.n)
    assert "4 strata" in repr(one)


def test_a_part_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="main"):
        sampled((20, 20, 20, 20), 0).estimate("given", "mian")
