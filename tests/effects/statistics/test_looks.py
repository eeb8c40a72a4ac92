"""Control variate with early stopping: right at every look, and many fewer exact images."""

from __future__ import annotations

import numpy as np
import pytest

from causal_widget.effects.statistics import (
    EffectMoments,
    PairMoments,
    controlled,
    controlled_looks,
    settled,
)

IMAGES, PILOT = 1000, 50


def network(units: int, rho: float = 0.97, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Skewed exact effects and a cheap estimate with correlation rho, (image, unit)."""
    rng = np.random.default_rng(seed)
    g = rng.gamma(2, 1 / np.sqrt(2), (IMAGES, units))
    e = rho * g + np.sqrt(1 - rho**2) * (rng.gamma(2, 1 / np.sqrt(2), g.shape) - np.sqrt(2))
    return e * rng.choice([-1, 1], units), g


def shuffled(x: np.ndarray, seed: int, runs: int) -> np.ndarray:
    order = np.argsort(np.random.default_rng(seed).random((IMAGES, runs)), axis=0)
    return np.take_along_axis(np.broadcast_to(x, (IMAGES, runs)), order, axis=0)


def test_holds_at_every_look() -> None:
    """1000 orders of the same images, looked at 47 times: at most 5 % ever miss the mean."""
    e, g = network(1)
    runs = 1000
    e, g = shuffled(e, 1, runs), shuffled(g, 1, runs)
    pilot, cheap = PairMoments.of(e[:PILOT], g[:PILOT]), EffectMoments.of(g)
    truth, ever, narrow = e[:, 0].mean(), np.zeros(runs, bool), []
    main = PairMoments.of(e[PILOT : PILOT + 20], g[PILOT : PILOT + 20])
    for start in range(PILOT + 20, IMAGES, 20):
        main = main.merge(PairMoments.of(e[start : start + 20], g[start : start + 20]))
        low, high = controlled_looks(pilot, main, cheap)
        ever |= (low > truth + 1e-12) | (high < truth - 1e-12)
        narrow.append(float(np.median(high - low)))
    assert ever.mean() <= 0.06
    assert np.isinf(narrow[0])
    assert narrow[-1] == pytest.approx(0, abs=1e-9)  # all images are exact by then


def sweep(e: np.ndarray, g: np.ndarray, precision: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Measure 200 units, 35 images a look, each until precise: mean images a unit, and the intervals."""
    cheap, pilot = EffectMoments.of(g), PairMoments.of(e[:PILOT], g[:PILOT])
    main = PairMoments.of(e[PILOT : PILOT + 35], g[PILOT : PILOT + 35])
    for start in range(PILOT + 35, IMAGES, 35):
        low, high = controlled_looks(pilot, main, cheap, questions=200)
        wanted = settled(low, high, precision=precision).open
        if not wanted.any():
            break
        main = main.update(e[start : start + 35, wanted], g[start : start + 35, wanted], wanted)
    return float(main.n.mean()), *controlled_looks(pilot, main, cheap, questions=200)


def test_precision_is_reached_with_far_fewer_exact_images() -> None:
    """Half-widths of a tenth of the spread over images, all right together: with and without the gradient."""
    e, g = network(200, seed=2)
    ours, low, high = sweep(e, g, 0.1)
    plain, *_ = sweep(e, np.zeros_like(g), 0.1)
    assert ((low <= e.mean(0)) & (e.mean(0) <= high)).all()
    assert (high - low).max() <= 0.2 + 1e-12
    assert ours < plain / 3


def test_wider_than_the_interval_of_one_look_but_about_the_same_mean() -> None:
    e, g = network(5, seed=3)
    pilot, main = PairMoments.of(e[:PILOT], g[:PILOT]), PairMoments.of(e[PILOT:300], g[PILOT:300])
    low, high = controlled_looks(pilot, main, EffectMoments.of(g))
    one = controlled(pilot, main, EffectMoments.of(g), population=IMAGES)
    np.testing.assert_allclose((low + high) / 2, one.mean, rtol=1e-12)
    assert (low < one.interval()[0]).all()
    assert (high - low < 2.2 * np.subtract(*one.interval()[::-1])).all()
