"""Confidence sequences: a plain loop of the paper's formulas, and coverage at every look together."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from causal_widget.effects.statistics import (
    BernsteinSequence,
    EffectMoments,
    asymptotic_half_width,
    asymptotic_interval,
    settled,
)
from causal_widget.errors import ArgumentError, DataError, UnknownNameError


def loop(x: np.ndarray, alpha: float, population: int | None) -> tuple[float, float]:
    """Waudby-Smith and Ramdas, theorem 2 and section 4, image by image, for x in [0, 1]."""
    top, bottom, doubt, seen, spread = 0.0, 0.0, 0.0, 0.0, 0.25
    low, high, mean = 0.0, 1.0, 0.5
    for t, one in enumerate(x, start=1):
        bet = min(math.sqrt(2 * math.log(2 / alpha) / (spread / t * t * math.log(1 + t))), 0.5)
        rest = math.inf if population is None else population - t + 1
        top += bet * (one + seen / rest)
        bottom += bet * (1 + (t - 1) / rest)
        doubt += 4 * (one - mean) ** 2 * (-math.log(1 - bet) - bet) / 4
        seen += one
        mean = (0.5 + seen) / (t + 1)
        spread += (one - mean) ** 2
        half = (math.log(2 / alpha) + doubt) / bottom
        low, high = max(low, top / bottom - half), min(high, top / bottom + half)
        if population is not None:
            low, high = max(low, seen / population), min(high, (seen + population - t) / population)
    return low, high


@pytest.mark.parametrize("population", [None, 300])
def test_like_a_plain_loop(population: int | None) -> None:
    x = np.random.default_rng(0).beta(2, 5, (200, 3))
    sequence = BernsteinSequence.start((3,), -1, 1, population=population).update(2 * x - 1)
    for k in range(3):
        low, high = loop(x[:, k], 0.05 / 3, population)
        assert sequence.lower[k] == pytest.approx(2 * low - 1, rel=1e-10)
        assert sequence.upper[k] == pytest.approx(2 * high - 1, rel=1e-10)


def test_same_bits_however_cut_into_batches_and_whatever_stops() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (90, 4))
    start = BernsteinSequence.start((4,), -1, 1, population=100)
    whole, parts = start.update(x), start
    for i in range(0, 90, 7):
        mask = np.array([True, True, i < 40, True])
        parts = parts.update(x[i : i + 7, mask], mask)
    kept = [0, 1, 3]
    assert whole.lower[kept].tobytes() == parts.lower[kept].tobytes()
    assert whole.upper[kept].tobytes() == parts.upper[kept].tobytes()
    assert parts.n.tolist() == [90, 90, 42, 90]


def test_at_the_last_image_the_interval_is_a_point() -> None:
    x = np.random.default_rng(2).uniform(-1, 1, (80, 5))
    sequence = BernsteinSequence.start((5,), -1, 1, population=80).update(x)
    np.testing.assert_allclose(sequence.lower, x.mean(0), atol=1e-12)
    np.testing.assert_allclose(sequence.upper, x.mean(0), atol=1e-12)


@pytest.mark.parametrize("population", [None, 400])
def test_bernstein_holds_at_every_look(population: int | None) -> None:
    """Changes of correctness (-1, 0, 1) in 1500 runs of 300 images: all looks together hold the mean."""
    rng = np.random.default_rng(3)
    everyone = rng.choice([-1.0, 0.0, 1.0], 400, p=[0.15, 0.8, 0.05])
    runs = 1500
    if population is None:
        drawn = rng.choice(everyone, (300, runs))
    else:
        drawn = everyone[np.argsort(rng.random((400, runs)), axis=0)[:300]]
    start = BernsteinSequence.start((runs,), -1, 1, population=population)
    assert start.alpha == pytest.approx(0.05 / runs)
    sequence = replace(start, alpha=0.05).update(drawn)  # each run by itself: no union bound
    truth = everyone.mean()
    wrong = (sequence.floor > truth) | (truth > sequence.ceiling)
    assert wrong.mean() <= 0.05
    assert np.median(sequence.half_width) < 0.2


def worst_looks(population: int | None) -> tuple[float, float]:
    """Share of runs in which the asymptotic sequence, and Student's interval, ever miss the mean."""
    rng = np.random.default_rng(4)
    runs, size = 1000, 1000
    everyone = rng.gamma(2, 1, size)
    drawn = everyone[np.argsort(rng.random((size, runs)), axis=0)]
    if population is None:
        drawn = rng.choice(everyone, (size, runs))
    n = np.arange(1, size + 1)[:, None]
    mean = drawn.cumsum(0) / n
    sd = np.sqrt(np.maximum((drawn**2).cumsum(0) - n * mean**2, 0) / np.maximum(n - 1, 1))
    ever, student = np.zeros(runs, bool), np.zeros(runs, bool)
    for t in range(63, size - 1, 4):
        counts = np.full(runs, t + 1)
        low, high = asymptotic_interval(mean[t], sd[t], counts, population=population)
        ever |= (low > everyone.mean()) | (high < everyone.mean())
        plain = EffectMoments(counts, mean[t], sd[t] ** 2 * t).interval(population=population)
        student |= (plain[0] > everyone.mean()) | (plain[1] < everyone.mean())
    return float(ever.mean()), float(student.mean())


@pytest.mark.parametrize("population", [None, 1000])
def test_asymptotic_holds_at_every_look_where_students_interval_does_not(population: int | None) -> None:
    ever, student = worst_looks(population)
    assert ever <= 0.06
    assert student > 0.15


def test_asymptotic_is_the_papers_formula() -> None:
    alpha, t, tuned = 0.05 / 7, 900, 500
    r2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / tuned
    theirs = 1.7 * math.sqrt(2 * (t * r2 + 1) / (t**2 * r2) * math.log(math.sqrt(t * r2 + 1) / alpha))
    assert asymptotic_half_width(1.7, t, questions=7) == pytest.approx(theirs, rel=1e-12)
    assert asymptotic_half_width(1.7, 63) == math.inf
    assert asymptotic_half_width(1.7, 1000, population=1000) == 0
    assert asymptotic_half_width(1.7, 500, population=1000) < asymptotic_half_width(1.7, 500)


def test_asymptotic_is_narrowest_where_it_was_tuned() -> None:
    """Relative to 1 / sqrt(t), the margin has its minimum near `tuned_at`."""
    t = np.arange(64, 5000)
    ratio = asymptotic_half_width(1, t, tuned_at=800) * np.sqrt(t)
    assert 600 < t[ratio.argmin()] < 1100


def brute(low: np.ndarray, high: np.ndarray, top: int) -> tuple[list[bool], list[bool]]:
    others = [[j for j in range(len(low)) if j != i] for i in range(len(low))]
    inside = [sum(high[j] >= low[i] for j in rest) < top for i, rest in enumerate(others)]
    outside = [sum(low[j] > high[i] for j in rest) >= top for i, rest in enumerate(others)]
    return inside, outside


@pytest.mark.parametrize("seed", range(5))
def test_places_like_counting_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre, half = rng.normal(size=30).round(1), rng.uniform(0, 0.4, 30).round(1)
    low, high = centre - half, centre + half
    for top in (1, 5, 29, 30):
        one = settled(low, high, top=top, by="high")
        inside, outside = brute(low, high, top)
        assert (one.inside.tolist(), one.outside.tolist()) == (inside, outside)
        mirrored = settled(-high, -low, top=top, by="low")
        assert (mirrored.inside.tolist(), mirrored.outside.tolist()) == (inside, outside)


def test_absolute_effects_and_precision() -> None:
    low, high = np.array([-5.0, 1.0, -0.5, 0.0]), np.array([-4.0, 2.0, 0.4, 0.2])
    one = settled(low, high, top=2, precision=0.1)
    assert one.inside.tolist() == [True, True, False, False]
    assert one.outside.tolist() == [False, False, True, True]
    assert one.precise.tolist() == [False, False, False, True]
    assert one.done.all()
    assert not one.open.any()
    assert "4 of 4 units (1 precise, 2 surely in the top, 2 surely not)" in repr(one)


def test_stopping_early_keeps_the_promise_and_saves_images() -> None:
    """40 units, 3 of them strong; top 3 by looks of 50 images. In 60 runs the top is right but for 5 %."""
    rng = np.random.default_rng(6)
    wrong, used = 0, 0
    shares = np.full(40, 0.02)
    shares[:3] = 0.5
    for _ in range(60):
        images = -(rng.random((2000, 40)) < shares).astype(float)
        truth = set(np.argsort(images.mean(0))[:3])
        sequence = BernsteinSequence.start((40,), -1, 1, population=2000)
        verdict = settled(sequence.lower, sequence.upper, top=3)
        for i in range(0, 2000, 50):
            sequence = sequence.update(images[i : i + 50, verdict.open], verdict.open)
            verdict = settled(sequence.lower, sequence.upper, top=3)
            if not verdict.open.any():
                break
        wrong += set(np.flatnonzero(verdict.inside)) != truth
        used += int(sequence.n.sum())
    assert wrong <= 3
    assert used / 60 < 0.2 * 40 * 2000


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match="asymptotic_interval"):
        BernsteinSequence.start((2,), -math.inf, math.inf)
    with pytest.raises(ArgumentError, match="below"):
        BernsteinSequence.start((2,), 1, 1)
    start = BernsteinSequence.start((2,), -1, 1, population=3)
    with pytest.raises(DataError, match="effect 2 lies outside its bounds -1 to 1"):
        start.update([[0.0, 2.0]])
    with pytest.raises(DataError, match="4 images of a population of 3"):
        start.update(np.zeros((4, 2)))
    with pytest.raises(ArgumentError, match=r"\(1,\)"):
        start.update(np.zeros((1, 2)), where=[True, False])
    with pytest.raises(ArgumentError, match="precision or top"):
        settled([0.0], [1.0])
    with pytest.raises(ArgumentError, match="lower end"):
        settled([1.0], [0.0], top=1)
    with pytest.raises(UnknownNameError, match='Did you mean "abs"'):
        settled([0.0], [1.0], top=1, by="absolute")
    assert "2 questions, 0 to 0 images" in repr(start)
