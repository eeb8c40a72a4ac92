"""Would the ranking be the same on other images, on the other half, at another strength: known effects."""

from __future__ import annotations

import numpy as np
import pytest

from causal_widget.effects import plan_effects
from causal_widget.effects.statistics import stability
from causal_widget.effects.strength import stability_over_strength
from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.interventions import Scale
from tests.effects.simulated import drawn, effects
from tests.effects.test_effects import controlled_effects
from tests.effects.test_plan import data
from tests.interventions.networks import Plain, seeded


def test_rank_intervals_are_those_of_a_bootstrap_over_the_table_of_all_images() -> None:
    values, _ = drawn(n=400, sd=0.4)
    found = effects(values).stability("loss", top=5)
    expected = stability(values[:, :, 0], by="high", top=5, draws=2000)
    np.testing.assert_array_equal(found.rank, expected.rank)
    assert np.abs(found.low - expected.low).max() <= 2
    assert np.abs(found.high - expected.high).max() <= 2
    assert found.overlap == pytest.approx(expected.overlap, abs=0.08)
    table = found.table()
    assert table["question"].iloc[0] == effects(values).ranking("loss").table()["question"].iloc[0]
    assert "rank (1: first), with interval" in found.plot(8).axes[0].get_xlabel()


def test_rank_intervals_hold_the_true_rank() -> None:
    held = []
    for seed in range(40):
        values, means = drawn(n=300, sd=0.3, seed=seed)
        found = effects(values, seed=seed).stability("loss", level=0.95)
        true = np.argsort(np.argsort(-means[:, 0])) + 1
        held.append(((found.low <= true) & (true <= found.high)).mean())
    assert np.mean(held) > 0.93


def test_nothing_is_unsure_where_the_images_given_are_all() -> None:
    found = effects(drawn(n=200)[0]).stability(population="given")
    np.testing.assert_array_equal(found.low, found.rank)
    np.testing.assert_array_equal(found.high, found.rank)
    assert (found.overlap, found.spearman) == (1, pytest.approx(1))


def test_of_exact_effects_on_some_images_the_standard_errors_are_drawn() -> None:
    values, _ = drawn(n=900, sd=0.5)
    cheap = values + 0.2 * np.random.default_rng(9).normal(size=values.shape)
    few = controlled_effects("controlled", values, cheap, 130).stability("loss", top=4)
    many = controlled_effects("controlled", values, cheap, 890).stability("loss", top=4)
    assert few.span.mean() > many.span.mean()
    assert many.overlap > few.overlap


def test_halves() -> None:
    sure, unsure = effects(drawn(n=900, sd=0.01)[0]), effects(drawn(n=30, sd=2.0)[0])
    one, two = (found.halves("loss", top=5).iloc[0] for found in (sure, unsure))
    assert one["spearman"] > 0.99 > two["spearman"]
    assert one["overlap"] == 1 > two["overlap"]


def test_too_few_images() -> None:
    with pytest.raises(DataError, match="2 images or more"):
        effects(drawn(n=1)[0]).stability()
    values = drawn(n=300)[0]
    with pytest.raises(DataError, match="too few exact"):
        controlled_effects("adaptive", values, values, 64).stability()
    with pytest.raises(UnknownNameError, match="no ranking"):
        effects(values).stability("lss")
    assert effects(values).stability(top=10_000).top == 14


def test_over_the_strength_of_the_intervention() -> None:
    model = seeded(Plain).double()
    loader = data(model)
    asked: list[float] = []

    def make(beta: float) -> object:
        asked.append(beta)
        return plan_effects(model, loader, intervention=Scale(beta), outcomes=["logits"])

    found = stability_over_strength(make, (0.9, 0.0, 0.99), by="abs_logit:0", top=3)
    assert asked == [0.0, 0.9, 0.99]
    near = found.agreement().set_index(["first", "second"]).loc[(0.9, 0.99)]
    assert near["spearman"] > 0.95  # close to 1 the network is linear in beta
    np.testing.assert_allclose(found.means[:, 1], 10 * found.means[:, 2], rtol=0.3, atol=1e-3)
    silenced = plan_effects(model, loader, outcomes=["logits"]).run()
    np.testing.assert_allclose(found.means[:, 0], silenced.all.mean[:, 0], rtol=1e-9, atol=1e-12)
    table = found.table()
    assert list(table.columns) == ["question", 0.0, 0.9, 0.99]
    assert table[0.0].abs().is_monotonic_decreasing
    assert "3 strengths, 0 to 0.99" in repr(found)
    assert len(found.plot(top=4).axes[0].lines) == 14 + 1


def test_strengths_that_do_not_compare_are_refused() -> None:
    values, _ = drawn(n=20)
    with pytest.raises(ArgumentError, match="each once"):
        stability_over_strength(lambda beta: effects(values), (0.5, 0.5))
    with pytest.raises(ArgumentError, match=r"strength 0\.5: other|strength 0.5 other"):
        stability_over_strength(
            lambda beta: effects(values, asked=["loss", "margin" if beta else "kl"]), (0.0, 0.5)
        )
