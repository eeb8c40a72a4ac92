"""p-values that hold whenever one stops, and verdicts on units that few images activate: simulated."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from causal_widget.effects.evidence import ControlledEvidence, ExactEvidence
from causal_widget.effects.statistics import Estimate, Looks, verdicts

LEAST = 0.1


def looks(n: int, *, sd: float = 1.0, frame: float = np.inf, outer: float = 0.0) -> Looks:
    return Looks.of(np.full(1, sd), [n], [frame], np.full(1, outer), alpha=0.05)


@pytest.mark.parametrize("distance", [0.02, 0.1, 0.2, 0.4])
def test_the_p_value_is_the_mixture_of_likelihood_ratios(distance: float) -> None:
    n, one = 150, looks(150)
    r = np.sqrt(one.variance[0])
    s = n * distance

    def ratio(shift: float) -> float:
        return 2 * stats.norm.pdf(shift, scale=r) * np.exp(shift * s - n * shift * shift / 2)

    mixture = integrate.quad(ratio, 0, np.inf)[0]
    assert one.p_above(np.array([distance]))[0] == pytest.approx(min(1, 1 / mixture), rel=1e-8)
    assert one.p_above(np.array([-distance]))[0] == 1


def test_all_images_leave_no_doubt_and_few_no_claim() -> None:
    assert looks(100, frame=100).p_above(np.array([1e-9]))[0] == 0
    assert looks(100, frame=100).p_above(np.array([-1e-9]))[0] == 1
    assert looks(63).p_above(np.array([9.0]))[0] == 1
    assert np.isinf(looks(63).half_width(0.95))[0]
    assert looks(40, frame=40).half_width(0.95)[0] == 0


def test_the_interval_and_the_p_value_agree_also_where_the_images_are_a_sample() -> None:
    for one in (looks(200), looks(200, outer=0.05), looks(200, frame=200, outer=0.05)):
        half = one.half_width(0.95)
        assert one.p_above(half * 1.001)[0] <= 0.05
    both = looks(200, outer=0.05)
    assert both.p_above(both.half_width(0.95) * 0.999)[0] > 0.05
    assert both.p_above(np.array([2.0]))[0] < 1e-6
    assert looks(200, frame=200, outer=0.05).p_above(np.array([0.2]))[0] == pytest.approx(
        4 * stats.norm.sf(4.0), rel=1e-6
    )


def test_type_one_error_with_optional_stopping_and_power() -> None:
    """Whoever stops at the first p-value below 5 %, at any of 1000 images, is wrong in at most 5 %."""
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=(1000, 2000)) / np.sqrt(2)
    n = np.arange(1, 1001)[:, None]
    mean, sd = (
        np.cumsum(x, axis=0) / n,
        np.sqrt(np.maximum(np.cumsum(x * x, axis=0) / n - (np.cumsum(x, 0) / n) ** 2, 0)),
    )
    count = np.broadcast_to(n, x.shape)
    one = Looks.of(sd, count, np.full(x.shape, np.inf), np.zeros(x.shape), alpha=0.05)
    truth = np.sqrt(2)
    for sign in (1, -1):
        wrong = (one.p_above(sign * (mean - truth)) <= 0.05).any(axis=0).mean()
        assert wrong <= 0.055
    naive = (stats.norm.sf((mean - truth)[63:] / (sd / np.sqrt(n))[63:]) <= 0.05).any(axis=0).mean()
    assert naive > 0.15  # what looking again and again does to a usual test
    assert (one.p_above(mean - truth + 0.25)[-1] <= 0.05).mean() > 0.95


def stopped(rng: np.random.Generator, means: np.ndarray) -> Estimate:
    """Run rounds on 4000 images until each unit's interval is narrow; a third of them activate a unit."""
    shape = (4000, len(means))
    changed = rng.random(shape) < 1 / 3
    cheap = rng.normal(size=shape) * changed
    exact = (3 * means + cheap + 0.5 * rng.normal(size=shape)) * changed
    exact = (exact - (exact.mean(0) - means) * shape[0] / changed.sum(0) * changed)[..., None]
    found = ControlledEvidence.empty(len(means), 1).with_cheap(cheap[..., None], changed)
    ends, opened = [0, 150, 450, 900, 1800, 4000], np.ones(len(means), bool)
    for first, end in itertools.pairwise(ends):
        some = np.ix_(np.arange(first, end), opened)
        found = found.with_exact(exact[some], cheap[..., None][some], changed[some], opened, pilot=first == 0)
        now = found.estimate("given", anytime=True, questions=len(means))
        opened = now.half_width()[:, 0] > 0.06
    return now


def test_false_discoveries_of_units_that_stopped_early() -> None:
    means = np.repeat([0.25, LEAST, 0.0], [20, 60, 20])
    wrong, power = [], []
    for seed in range(25):
        now = stopped(np.random.default_rng(seed), means)
        found = verdicts(now.take(0), worse=1, min_effect=LEAST, fdr=0.1)
        assert now.n.max() < 900  # it did stop early
        said = found.where("critical")
        wrong.append(said[20:].sum() / max(said.sum(), 1))
        power.append(said[:20].mean())
        held = (now.low[:, 0] <= means + 1e-9) & (means - 1e-9 <= now.high[:, 0])
        assert held.all()  # the union bound: all at once
    assert np.mean(wrong) <= 0.1
    assert np.mean(power) > 0.9


def test_anytime_p_values_are_e_values() -> None:
    """1/p, but for those cut at 1, has a mean of at most 1 where the hypothesis is true."""
    rng = np.random.default_rng(5)
    mean = rng.normal(scale=1 / np.sqrt(300), size=200_000)
    one = Looks.of(
        np.ones(mean.shape),
        np.full(mean.shape, 300),
        np.full(mean.shape, np.inf),
        np.zeros(mean.shape),
        alpha=0.05,
    )
    p = one.p_above(mean)
    assert (np.where(p < 1, 1 / p, 0)).mean() <= 1.05
    assert (p <= 0.05).mean() <= 0.05


@pytest.mark.parametrize("rate", [0.0005, 0.002, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("n", [500, 2000])
def test_rarely_active_units_are_not_called_neutral_for_what_was_not_seen(n: int, rate: float) -> None:
    rng, reps, edge = np.random.default_rng(int(n + 1e5 * rate)), 1500, 0.01
    changed = rng.random((n, reps)) < rate
    effects = changed * (1 + 0.3 * rng.normal(size=(n, reps))) * edge / rate
    found = ExactEvidence.empty(reps, 1, draws=0).update(effects[..., None], changed, np.arange(n), 0)
    said = verdicts(found.estimate(), worse=1, min_effect=edge, correction="none")
    assert said.where("neutral").mean() <= 0.065
    assert said.where("critical").mean() <= 0.065
    small = ExactEvidence.empty(reps, 1, draws=0).update(effects[..., None] / 20, changed, np.arange(n), 0)
    if n * rate > 2:
        power = (
            verdicts(small.estimate(), worse=1, min_effect=edge, correction="none").where("neutral").mean()
        )
        assert power > 0.9


def test_a_unit_that_nothing_activates_is_neutral_once_there_are_enough_images() -> None:
    """What is unseen might be as large as the largest effect of another unit, and as frequent as n allows."""
    rng = np.random.default_rng(1)
    for n, verdict in ((200, "undecided"), (3000, "neutral")):
        effects = np.stack([np.zeros(n), np.minimum(rng.exponential(0.5, n), 3.0)], axis=1)
        effects[0, 1] = 3.0
        found = ExactEvidence.empty(2, 1).update(effects[..., None], effects > 0, np.arange(n), 0)
        said = verdicts(found.estimate(), worse=1, min_effect=0.01, correction="none")
        assert said.verdict[0, 0] == verdict
        if verdict == "undecided":
            assert said.p[0, 0] == pytest.approx(np.exp(-n * 0.01 / 3), rel=1e-6)
            assert said.needed[0, 0] == pytest.approx(-np.log(0.05) * 3 / 0.01, rel=1e-3)
        assert verdicts(found.estimate("given"), worse=1, min_effect=0.01).verdict[0, 0] == "neutral"
