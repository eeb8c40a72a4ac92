"""What a sweep measured: moments of halves, counts of changed images, draws of the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from causal_widget.effects.evidence import ExactEvidence
from causal_widget.effects.statistics.counters import in_selection, poisson_weights
from causal_widget.errors import ArgumentError, DataError, NonFiniteError

Array = np.ndarray


def simulated(n: int = 400, questions: int = 5, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    changed = rng.random((n, questions)) < np.linspace(0.02, 1, questions)
    effects = rng.gamma(2.0, size=(n, questions, 2)) * changed[..., None] * [1.0, -0.5]
    return effects, changed


def gathered(effects: Array, changed: Array, batch: int, seed: int = 3) -> ExactEvidence:
    found = ExactEvidence.empty(effects.shape[1], effects.shape[2], draws=50)
    for first in range(0, len(effects), batch):
        some = slice(first, first + batch)
        found = found.update(effects[some], changed[some], np.arange(len(effects))[some], seed)
    return found


def test_halves_draws_and_counts_against_the_table_of_all_images() -> None:
    effects, changed = simulated()
    found, index = gathered(effects, changed, 64), np.arange(len(effects))
    first, weights = in_selection(3, index), poisson_weights(3, index, 50)
    for part, chosen in (("selection", first), ("estimation", ~first), ("all", first | ~first)):
        one = found.estimate(part=part)
        np.testing.assert_allclose(one.mean, effects[chosen].mean(0), rtol=1e-12)
        np.testing.assert_allclose(one.sd, effects[chosen].std(0, ddof=1), rtol=1e-12)
        np.testing.assert_array_equal(one.changed[:, 0], changed[chosen].sum(0))
        np.testing.assert_array_equal(one.n, chosen.sum())
    expected = np.einsum("nd,nqc->dqc", weights, effects) / weights.sum(0)[:, None, None]
    np.testing.assert_allclose(found.draws(), expected, rtol=1e-11)


def test_the_same_numbers_in_other_batches_and_merged() -> None:
    effects, changed = simulated()
    whole, parts = gathered(effects, changed, 400), gathered(effects, changed, 7)
    index = np.arange(400)
    merged = gathered(effects[:150], changed[:150], 50).merge(
        ExactEvidence.empty(5, 2, draws=50).update(effects[150:], changed[150:], index[150:], 3)
    )
    for other in (parts, merged):
        for name, array in whole.arrays().items():
            np.testing.assert_allclose(other.arrays()[name], array, rtol=1e-10, atol=1e-12)
    again = gathered(effects, changed, 7)
    assert all(np.array_equal(array, again.arrays()[name]) for name, array in parts.arrays().items())
    back = ExactEvidence.from_arrays(parts.arrays())
    assert all(np.array_equal(array, back.arrays()[name]) for name, array in parts.arrays().items())


def test_the_counters_are_poisson_and_fair_and_belong_to_the_image() -> None:
    index = np.arange(20_000)
    weights = poisson_weights(1, index, 20)
    values, counts = np.unique(weights, return_counts=True)
    expected = np.exp(-1) / np.array([1, 1, 2, 6, 24])
    np.testing.assert_allclose(counts[:5] / weights.size, expected, atol=4e-3)
    assert (values[:5] == range(5)).all()
    assert np.abs(np.corrcoef(weights.T) - np.eye(20)).max() < 0.04
    assert np.abs(np.corrcoef(weights[:-1, 0], weights[1:, 0])[0, 1]) < 0.04
    assert abs(in_selection(1, index).mean() - 0.5) < 0.02
    some = np.array([17, 3, 999])
    assert np.array_equal(poisson_weights(1, some, 20), weights[some])
    assert np.array_equal(in_selection(1, some), in_selection(1, index)[some])
    assert not np.array_equal(poisson_weights(2, some, 20), weights[some])


def test_the_bootstrap_spreads_as_the_mean_does() -> None:
    effects, changed = simulated(n=3000)
    found = ExactEvidence.empty(5, 2, draws=400).update(effects, changed, np.arange(3000), 0)
    np.testing.assert_allclose(found.draws().std(axis=0), found.estimate().se, rtol=0.15)


def test_the_standard_error_reckons_with_one_image_more_of_the_size_of_those_seen() -> None:
    effects, changed = simulated()
    effects[:, 1] = 0.0
    found, n = gathered(effects, changed, 64).estimate(usual=[3.0, 5.0]), len(effects)
    size = np.abs(effects)
    with np.errstate(invalid="ignore"):
        jump = (size**2).sum(0) / size.sum(0)
    jump[1] = [3.0, 5.0]
    squares = ((effects - effects.mean(0)) ** 2).sum(0) + jump**2
    np.testing.assert_allclose(found.se, np.sqrt(squares / (n - 1) / n), rtol=1e-11)
    np.testing.assert_allclose(gathered(effects, changed, 64).usual, np.nanmax(jump[[0, 2, 3, 4]], axis=0))
    assert (gathered(effects, changed, 64).estimate("given").se == 0).all()
    assert found.alike.tolist() == [[False, False], [True, True], *[[False, False]] * 3]


def test_intervals_of_answers_that_hardly_ever_turn() -> None:
    """Of 200 images and none turned, Student's interval is [0, 0]."""
    rng = np.random.default_rng(4)
    for rate in (0.001, 0.005, 0.02, 0.2):
        turned = (rng.random((200, 800, 1)) < rate) * 1.0
        changed = np.ones((200, 800), bool)
        one = ExactEvidence.empty(800, 1, draws=0).update(turned, changed, np.arange(200), 0).estimate()
        assert ((one.low <= rate) & (rate <= one.high)).mean() > 0.9
        assert (one.low <= one.mean).all()
        expected = 1.96 * np.sqrt((turned.sum(0) + 1 - turned.sum(0) ** 2 / 202) / 202**2)  # Agresti and Min
        np.testing.assert_allclose(one.half_width(), expected, rtol=0.03)


def test_few_images() -> None:
    effects, changed = simulated(n=1)
    found = ExactEvidence.empty(5, 2, draws=30).update(effects, changed, [0], 0)
    one = found.estimate()
    np.testing.assert_array_equal(one.mean, effects[0])
    assert np.isinf(one.half_width()).all()
    assert len(found.draws()) < 30  # draws without an image are left out
    assert (found.estimate("given").se == 0).all()
    nothing = ExactEvidence.empty(2, 1).estimate()
    assert (nothing.mean == 0).all()
    assert np.isinf(nothing.half_width()).all()


def test_what_is_refused() -> None:
    effects, changed = simulated(n=4)
    empty = ExactEvidence.empty(5, 2)
    with pytest.raises(ArgumentError, match=r"\(4, 5, 2\)"):
        empty.update(effects[:, :3], changed, np.arange(4), 0)
    with pytest.raises(ArgumentError, match="changed bool"):
        empty.update(effects, changed.astype(float), np.arange(4), 0)
    with pytest.raises(NonFiniteError):
        empty.update(np.full_like(effects, np.nan), changed, np.arange(4), 0)
    with pytest.raises(ArgumentError, match="cannot be merged"):
        empty.merge(ExactEvidence.empty(5, 2, draws=3))
    with pytest.raises(DataError, match="weights"):
        ExactEvidence.from_arrays({k: v for k, v in empty.arrays().items() if k != "weights"})
    with pytest.raises(ArgumentError, match="given"):
        empty.estimate("all")
    with pytest.raises(ArgumentError, match="seed"):
        empty.update(effects, changed, np.arange(4), -1)
