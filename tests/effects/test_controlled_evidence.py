"""Exact effects on some images, a cheap estimate on all: simulated, with what is true known."""

from __future__ import annotations

import numpy as np
import pytest

from causal_widget.effects.evidence import ControlledEvidence
from causal_widget.effects.statistics import (
    EffectMoments,
    PairMoments,
    controlled,
    controlled_both_ways,
    controlled_looks,
)
from causal_widget.errors import ArgumentError, UnknownNameError

Array = np.ndarray
N = 2000


def simulated(rng: np.random.Generator, rates: list[float], noise: float = 0.3) -> tuple[Array, Array, Array]:
    """Give exact effects, cheap estimates (image, question, 1) and which images are changed."""
    changed = rng.random((N, len(rates))) < rates
    cheap = rng.gamma(1.5, size=changed.shape) * changed
    exact = (0.8 * cheap + noise * rng.standard_t(6, size=changed.shape)) * changed
    return exact[..., None], cheap[..., None], changed


def measured(
    data: tuple[Array, Array, Array],
    order: Array,
    pilot: int,
    main: int,
    start: ControlledEvidence | None = None,
) -> ControlledEvidence:
    exact, cheap, changed = data
    q = exact.shape[1]
    found = start or ControlledEvidence.empty(q, 1)
    for first in range(0, N, 700):
        found = found.with_cheap(cheap[first : first + 700], changed[first : first + 700])
    everywhere = np.ones(q, bool)
    for some, is_pilot in ((order[:pilot], True), (order[pilot : pilot + main], False)):
        found = found.with_exact(exact[some], cheap[some], changed[some], everywhere, pilot=is_pilot)
    return found


def test_where_all_images_are_changed_it_is_the_control_variate() -> None:
    rng = np.random.default_rng(0)
    data, order = simulated(rng, [1.0, 1.0]), rng.permutation(N)
    exact, cheap, _ = data
    found = measured(data, order, 60, 140)
    pilot, main = (
        PairMoments.of(exact[order[:60]], cheap[order[:60]]),
        PairMoments.of(exact[order[60:200]], cheap[order[60:200]]),
    )
    whole = EffectMoments.of(cheap)
    seen = exact[order[:200]]
    unseen = 2 * (seen**2).mean(axis=0)  # every image carries an effect
    expected = controlled_both_ways(pilot, main, whole, population=N, unseen=unseen)
    fixed = found.estimate()
    np.testing.assert_allclose([fixed.mean, fixed.se], [expected.mean, expected.se], rtol=1e-9)
    unseen = 2 * (exact[order[60:200]] ** 2).mean(axis=0)
    expected = controlled(pilot, main, whole, population=N, unseen=unseen)
    low, high = controlled_looks(pilot, main, whole, questions=10)
    one = found.estimate(anytime=True, questions=10)
    np.testing.assert_allclose(one.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(one.se, expected.se, rtol=1e-9)
    np.testing.assert_allclose([one.low, one.high], [low, high], rtol=1e-9)
    assert one.n.tolist() == [[200], [200]]
    assert (found.changed == N).all()


def test_all_exact_leaves_no_doubt_about_the_images_given() -> None:
    rng = np.random.default_rng(1)
    data, order = simulated(rng, [1.0, 0.3, 0.003, 0.0]), rng.permutation(N)
    found = measured(data, order, 100, N - 100)
    truth = data[0].mean(axis=0)
    for anytime in (False, True):
        one = found.estimate("given", anytime=anytime)
        np.testing.assert_allclose(one.mean, truth, atol=1e-13)
        np.testing.assert_allclose(one.high - one.low, 0.0, atol=1e-12)
        assert one.whole.all()
        beyond = found.estimate(None, anytime=anytime)
        assert (beyond.half_width()[:3] > 0).all()
        np.testing.assert_allclose(beyond.se[0], data[0][:, 0].std(ddof=1) / np.sqrt(N), rtol=2e-3)


@pytest.mark.parametrize("part", ["all", "main"])
@pytest.mark.parametrize("anytime", [False, True])
def test_unbiased_and_covering_also_for_rarely_active_units(part: str, anytime: bool) -> None:
    rng = np.random.default_rng(2)
    data = simulated(rng, [1.0, 0.4, 0.1])
    truth = data[0].mean(axis=0)[:, 0]
    found = [
        measured(data, rng.permutation(N), 200, 800).estimate("given", part, anytime=anytime)
        for _ in range(400)
    ]
    means = np.stack([one.mean[:, 0] for one in found])
    error = (means.mean(0) - truth) / (means.std(0) / np.sqrt(len(found)))
    assert np.abs(error).max() < 3.5
    covered = np.mean([(one.low[:, 0] <= truth) & (truth <= one.high[:, 0]) for one in found], axis=0)
    assert covered.min() > 0.93
    if not anytime:
        assert covered.max() < 0.985
        reckoned = np.mean([one.se[:, 0] for one in found], axis=0) / means.std(0)
        assert ((reckoned > 0.9) & (reckoned < 1.25)).all()


def test_covering_of_all_images_there_might_be() -> None:
    rng = np.random.default_rng(3)
    rates = [1.0, 0.2]
    truth = 0.8 * 1.5 * np.array(rates)
    hits = {(part, anytime): [] for part in ("all", "main") for anytime in (False, True)}
    for _ in range(300):
        found = measured(simulated(rng, rates), rng.permutation(N), 150, 450)
        for (part, anytime), hit in hits.items():
            one = found.estimate(None, part, anytime=anytime)
            hit.append((one.low[:, 0] <= truth) & (truth <= one.high[:, 0]))
    for (_, anytime), hit in hits.items():
        assert np.mean(hit, axis=0).min() > 0.92
        assert anytime or np.mean(hit, axis=0).max() < 0.98


def test_rounds_in_which_only_some_questions_are_open() -> None:
    rng = np.random.default_rng(4)
    data, order = simulated(rng, [1.0, 0.5, 0.2]), rng.permutation(N)
    exact, cheap, changed = data
    found = measured(data, order, 100, 200)
    some, where = order[300:500], np.array([True, False, True])
    grown = found.with_exact(exact[some][:, where], cheap[some][:, where], changed[some][:, where], where)
    whole = measured(data, order, 100, 400)
    for name, array in grown.arrays().items():
        expected = whole.arrays()[name]
        if name == "carried":
            np.testing.assert_array_equal(array[:, where], expected[:, where])
            np.testing.assert_array_equal(array[:, 1], found.arrays()[name][:, 1])
        elif name != "images":
            np.testing.assert_allclose(array[where], expected[where], rtol=1e-10, atol=1e-12)
            np.testing.assert_array_equal(array[1], found.arrays()[name][1])
    back = ControlledEvidence.from_arrays(grown.arrays())
    assert all(np.array_equal(a, back.arrays()[name]) for name, a in grown.arrays().items())
    halves = [
        ControlledEvidence.empty(3, 1).with_cheap(cheap[part], changed[part])
        for part in (order[:900], order[900:])
    ]
    np.testing.assert_allclose(halves[0].merge(halves[1]).cheap.mean, found.cheap.mean, rtol=1e-12)


def test_few_images() -> None:
    rng = np.random.default_rng(5)
    data, order = simulated(rng, [1.0, 0.001, 0.0]), rng.permutation(N)
    for pilot, main in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2)):
        found = measured(data, order, pilot, main)
        for part in ("all", "pilot", "main"):
            for anytime in (False, True):
                for population in ("given", None, 10 * N):
                    one = found.estimate(population, part, anytime=anytime)
                    assert np.isfinite(one.mean).all()
                    assert not np.isnan(one.half_width()).any()
                    assert not np.isnan(one.p_above(0.1)).any()
                    if main < 2 and part == "main":
                        assert np.isinf(one.half_width()[0]).all()
        silent = found.estimate("given", anytime=True)
        assert (silent.mean[2], silent.half_width()[2]) == (0, 0)


def test_without_a_cheap_estimate_the_exact_effects_stand_alone() -> None:
    rng = np.random.default_rng(6)
    exact, cheap, changed = simulated(rng, [1.0, 0.5])
    order = rng.permutation(N)
    found = measured((exact, np.zeros_like(cheap), changed), order, 100, 300).estimate("given")
    np.testing.assert_allclose(found.mean[0], exact[order[:400], 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(
        found.se[0], exact[order[:400], 0].std(ddof=2) * np.sqrt(1 / 400 - 1 / N), rtol=0.01
    )


def test_a_unit_without_an_exact_effect_has_its_cheap_estimate_and_no_certainty() -> None:
    rng = np.random.default_rng(7)
    data, order = simulated(rng, [1.0, 0.5]), rng.permutation(N)
    found = measured(data, order, 0, 0).estimate("given")
    np.testing.assert_allclose(found.mean, data[1].mean(axis=0), rtol=1e-12)
    assert np.isinf(found.half_width()).all()


def test_intervals_hold_where_few_images_carry_what_the_estimate_misses() -> None:
    """Effects as estimated but on three images in a hundred, where they are far from it."""
    rng = np.random.default_rng(8)
    cheap = rng.normal(0.2, 1, size=(N, 600, 1))
    exact = cheap + (rng.random(cheap.shape) < 0.03) * rng.normal(0, 2, cheap.shape)
    data, truth = (exact, cheap, np.ones((N, 600), bool)), exact.mean(axis=0)
    for n, at_most in ((50, 0.8), (100, 0.92), (300, 0.97)):
        found = measured(data, np.arange(N), n // 2, n // 2)
        one = found.estimate()
        assert ((one.low <= truth) & (truth <= one.high)).mean() > 0.95
        low, high = controlled_both_ways(found.pilot, found.main, found.cheap, population=N).interval()
        assert ((low <= truth) & (truth <= high)).mean() < at_most  # by those seen alone
        alone = exact[:n].std(axis=0, ddof=1) * np.sqrt(1 / n - 1 / N)
        assert np.median(one.se / alone) < 0.4  # and still much is gained by the estimate


def flips(rng: np.random.Generator, rate: float, questions: int) -> tuple[Array, Array, Array]:
    """Answers that turn, of which the estimate foresees half, and foresees as many that do not turn."""
    exact = (rng.random((N, questions, 1)) < rate) * rng.choice([-1.0, 1.0], (N, questions, 1))
    again = (rng.random(exact.shape) < rate / 2) * 1.0
    cheap = np.where(rng.random(exact.shape) < 0.5, exact, again)
    return exact, cheap, np.ones((N, questions), bool)


def test_intervals_of_answers_that_hardly_ever_turn() -> None:
    rng = np.random.default_rng(9)
    for rate in (0.002, 0.01, 0.05):
        exact, _, _ = data = flips(rng, rate, 300)
        truth = exact.mean(axis=0)
        for n in (100, 400):
            found = measured(data, np.arange(N), n // 2, n // 2)
            for part in ("all", "main"):
                one = found.estimate(part=part, usual=[1.0])
                assert ((one.low <= truth) & (truth <= one.high)).mean() > 0.93
            looks = found.estimate(anytime=True, usual=[1.0])
            assert (looks.half_width() > 1 / n).all()
            assert ((looks.low <= truth) & (truth <= looks.high)).mean() > 0.95


def test_a_unit_silent_in_all_images_given_may_not_be_so_in_others() -> None:
    rng = np.random.default_rng(10)
    data, order = simulated(rng, [1.0, 0.0]), rng.permutation(N)
    found = measured(data, order, 100, 300)
    assert found.estimate("given").half_width()[1] == 0
    largest = np.sqrt((data[0][order[:400], 0] ** 2).mean())
    np.testing.assert_allclose(found.usual, largest, rtol=1e-12)
    np.testing.assert_allclose(found.estimate(None).se[1], largest / N, rtol=1e-3)
    np.testing.assert_allclose(found.estimate(None, usual=[7.0]).se[1], 7 / N, rtol=1e-3)


def test_what_is_refused() -> None:
    found = ControlledEvidence.empty(2, 1)
    with pytest.raises(ArgumentError, match="changed bool"):
        found.with_cheap(np.zeros((4, 2, 1)), np.zeros((4, 3), bool))
    with pytest.raises(ArgumentError, match="one shape"):
        found.with_exact(np.zeros((4, 2, 1)), np.zeros((4, 1, 1)), np.zeros((4, 2), bool), [True, True])
    with pytest.raises(UnknownNameError, match='Did you mean "main"'):
        found.estimate(part="mian")
