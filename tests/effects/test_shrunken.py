"""Rankings with few exact images go by shrunken effects; everything else stays the estimate without bias."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from causal_widget.effects import Effects
from causal_widget.effects.evidence import ControlledEvidence, Evidence, ExactEvidence, StratifiedEvidence
from causal_widget.effects.shrunken import cheap_means
from tests.effects.simulated import UNITS, drawn, effects

Array = np.ndarray
N = 400
Kind = Callable[[Array, Array, Array, int], Evidence]


def simulated(seed: int = 0, bias: float = 0.02) -> tuple[Array, Array, Array]:
    """Give effects and estimates of 14 units, which are wrong alike in all images, and noisy; true means."""
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(size=(14, 2)) / 2)
    truth = 0.1 * rng.normal(size=(14, 2))
    cheap = truth + bias * scale * rng.normal(size=(14, 2)) + 0.5 * rng.normal(size=(N, 14, 2))
    noise = 0.3 * scale * rng.normal(size=(N, 14, 2))
    exact = cheap - cheap.mean(axis=0) + truth + noise - noise.mean(axis=0)
    return exact, cheap, truth


def controlled(exact: Array, cheap: Array, changed: Array, few: int) -> Evidence:
    found = ControlledEvidence.empty(*exact.shape[1:]).with_cheap(cheap, changed)
    every = np.ones(exact.shape[1], bool)
    for part, pilot in ((slice(0, few // 2), True), (slice(few // 2, few), False)):
        found = found.with_exact(exact[part], cheap[part], changed[part], every, pilot=pilot)
    return found


def stratified(exact: Array, cheap: Array, changed: Array, few: int) -> Evidence:
    stratum = np.arange(len(exact)) % 2
    found = StratifiedEvidence.of(cheap, changed, stratum, 2)
    every = np.ones(exact.shape[1], bool)
    for part, pilot in ((slice(0, few // 2), True), (slice(few // 2, few), False)):
        given = exact[part], cheap[part], changed[part], every, stratum[part]
        found = found.with_exact(*given, pilot=pilot)
    return found


def measured(kind: Kind, exact: Array, cheap: Array, few: int) -> Effects:
    """Give the result of a plan whose exact images are the first few."""
    evidence, first = {}, 0
    for layer, count in UNITS.items():
        some, first = slice(first, first + count), first + count
        every = np.ones((len(exact), count), bool)
        evidence[layer] = kind(exact[:, some], cheap[:, some], every, few)
    return effects(exact, how="controlled", evidence=evidence)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [controlled, stratified])
def test_the_cheap_mean_is_over_all_images_and_none_where_all_estimates_are_zero(kind: Kind) -> None:
    exact, cheap, _ = simulated()
    changed = np.random.default_rng(1).random((N, 14)) < 0.7
    cheap[:, 3] = 0
    cheap *= changed[..., None]
    exact *= changed[..., None]
    found = cheap_means(kind(exact, cheap, changed, 60))
    assert np.isnan(found[3]).all()
    np.testing.assert_allclose(np.delete(found, 3, 0), np.delete(cheap.mean(axis=0), 3, 0), atol=1e-12)


def test_exact_evidence_has_no_cheap_mean() -> None:
    assert np.isnan(cheap_means(ExactEvidence.empty(3, 2))).all()


@pytest.mark.parametrize("kind", [controlled, stratified])
def test_a_ranking_goes_by_shrunken_effects_and_tells_those_without_bias(kind: Kind) -> None:
    exact, cheap, _ = simulated()
    found = measured(kind, exact, cheap, 40)
    mean, told = found.estimate().mean[:, 1], found.shrunken()
    between = np.sort([mean, cheap.mean(axis=0)[:, 1]], axis=0)
    assert ((between[0] - 1e-9 <= told[:, 1]) & (told[:, 1] <= between[1] + 1e-9)).all()
    assert np.argsort(-np.abs(told[:, 1])).tolist() != np.argsort(-np.abs(mean)).tolist()
    ranked = found.ranking("abs_margin")
    order = np.argsort(-np.abs(told[:, 1]), kind="stable")
    assert ranked.rows["question"].tolist() == [found.asked[k].name for k in order]
    np.testing.assert_array_equal(ranked.rows["shrunken"], told[order, 1])
    table = found.table()
    assert "shrunken" not in table
    plain = table[table["outcome"] == "margin"].iloc[order].reset_index(drop=True)
    assert ranked.rows.drop(columns="shrunken").equals(plain)
    lowest = found.ranking("-margin").rows["shrunken"]
    assert (np.diff(lowest) >= 0).all()
    for text in (repr(ranked), ranked._repr_html_(), found._repr_html_()):
        assert "shrunken" in text
    assert "shrunken effect on margin" in repr(ranked)


def test_with_split_the_order_is_of_the_part_that_is_judged() -> None:
    exact, cheap, _ = simulated()
    found = measured(controlled, exact, cheap, 80)
    told = found.shrunken("judging")[:, 0]
    assert not np.allclose(told, found.shrunken()[:, 0])
    np.testing.assert_array_equal(found.ranking("loss", split=True).rows["shrunken"], np.sort(told)[::-1])


def test_the_order_is_nearer_the_exact_one() -> None:
    ours, unbiased, cheaply = [], [], []
    for seed in range(40):
        exact, cheap, truth = simulated(seed)
        found = measured(controlled, exact, cheap, 40)
        for column in range(2):
            ways = (
                found.shrunken()[:, column],
                found.estimate().mean[:, column],
                cheap.mean(axis=0)[:, column],
            )
            for kept, one in zip((ours, unbiased, cheaply), ways, strict=True):
                kept.append(stats.spearmanr(np.abs(one), np.abs(truth[:, column]))[0])
    assert np.mean(ours) > max(np.mean(unbiased), np.mean(cheaply)) - 1e-9
    assert np.mean(ours) > np.mean(unbiased) + 0.01


def test_once_all_images_are_exact_or_where_nothing_is_estimated_the_effects_stay() -> None:
    exact, cheap, _ = simulated()
    whole = measured(controlled, exact, cheap, N)
    np.testing.assert_allclose(whole.shrunken(), exact.mean(axis=0), atol=1e-12)
    alone = measured(controlled, exact, np.zeros_like(cheap), 40)
    np.testing.assert_array_equal(alone.shrunken(), alone.estimate("given").mean)


def test_an_exact_sweep_is_unchanged() -> None:
    values, _ = drawn()
    found = effects(values)
    assert not found.borrows
    np.testing.assert_array_equal(found.shrunken(), found.estimate().mean)
    ranked = found.ranking("loss")
    assert list(ranked.rows) == list(found.table())
    assert ranked.rows["question"].tolist() == [
        found.asked[k].name for k in np.argsort(-found.estimate().mean[:, 0], kind="stable")
    ]
    for text in (repr(ranked), ranked._repr_html_(), found._repr_html_()):
        assert "shrunken" not in text
