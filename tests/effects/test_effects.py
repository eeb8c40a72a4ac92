"""The result of a sweep: table, verdicts, rankings, of effects that are known because they were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from causal_widget.effects.evidence import ControlledEvidence
from causal_widget.errors import ArgumentError, UnknownNameError
from tests.effects.simulated import drawn, effects

Array = np.ndarray


def test_the_table_is_students_tests_and_intervals_with_one_image_more() -> None:
    values, _ = drawn(n=80)
    found = effects(values)
    table = found.table()
    assert list(table.columns) == [
        "layer", "unit", "question", "outcome", "effect", "sd", "se", "n", "changed", "low", "high", "p",
        "corrected p", "verdict", "needed",
    ]  # fmt: skip
    assert len(table) == 14 * 2
    row = table[(table["question"] == "conv2[3]") & (table["outcome"] == "loss")].iloc[0]
    own = values[:, 9, 0]
    jump = (values**2).sum(axis=0) / np.abs(values).sum(axis=0)
    se = np.sqrt((values.var(axis=0) * 80 + jump**2) / 79 / 80)
    interval = own.mean() + stats.t(79).ppf([0.025, 0.975]) * se[9, 0]
    assert (row["layer"], row["unit"], row["n"]) == ("conv2", 3, 80)
    np.testing.assert_allclose(
        row[["effect", "sd", "low", "high"]].astype(float), [own.mean(), own.std(ddof=1), *interval]
    )
    assert row["p"] == pytest.approx(stats.t(79).sf((own.mean() - 0.01) / se[9, 0]))
    harm, least = values * [1, -1], np.array([0.01, 0.08])  # 0.08: 1 % of the mean logit, 8
    p = stats.t(79).sf((harm.mean(axis=0) - least) / se)
    expected = stats.false_discovery_control(p.ravel())  # over all units and both outcomes
    critical = (table["verdict"] == "critical").to_numpy()
    assert critical.sum() > 5
    np.testing.assert_allclose(table["corrected p"][critical], expected[critical], rtol=1e-8)
    np.testing.assert_allclose(found.mean("conv2", "loss"), values[:, 6:, 0].mean(0), rtol=1e-12)


def test_verdicts_have_the_direction_and_the_least_effect_of_their_outcome() -> None:
    values, _ = drawn(n=2000, sd=0.02)
    found = effects(values).table().pivot(index="question", columns="outcome", values="verdict")
    assert found.loc["conv1[0]"].tolist() == ["detrimental", "detrimental"]  # loss falls, margin rises
    assert found.loc["conv2[7]"].tolist() == ["critical", "critical"]
    other = effects(values).table(min_effect={"loss": 0.3, "margin": "30%"})
    assert set(other["verdict"]) == {"neutral"}  # 30 % of the mean logit, 8, is 2.4
    assert set(effects(values).table(min_effect=5)["verdict"]) == {"neutral"}
    usual, known = effects(values).measured.least(None, 8.0)
    np.testing.assert_allclose(usual, [0.01, 0.08])
    assert known.all()


def test_a_function_of_the_users_has_no_verdict_without_a_direction_and_a_least_effect() -> None:
    from causal_widget.effects import outcome

    def spread(logits: object, labels: object, baseline: object) -> object:
        return logits

    values, _ = drawn(n=100)
    told = outcome(spread, worse=1)
    for own, least, verdict in ((spread, None, 0), (spread, 0.0, 0), (told, None, 0), (told, 0.0, 1)):
        table = effects(values, asked=["loss", own]).table(
            min_effect={} if least is None else {"spread": least}
        )
        rows = table[table["outcome"] == "spread"]
        assert rows["p"].notna().all() == bool(verdict)
        assert rows["needed"].notna().any() == (bool(verdict) and (rows["verdict"] == "undecided").any())
        if not verdict:
            assert set(rows["verdict"]) == {"undecided"}


def test_choosing_and_judging_on_separate_images() -> None:
    values, _ = drawn(n=500)
    found = effects(values, seed=4)
    table = found.table(split=True)
    judging = found.estimate(half="judging")
    np.testing.assert_array_equal(table["effect"], judging.mean.ravel())
    assert (table["n"] < 300).all()
    both = found.estimate(half="choosing").n + judging.n
    assert (both == 500).all()


def test_the_best_of_many_is_estimated_without_bias_by_split() -> None:
    """Units without influence: the largest effect of all looks real, and not so on the other images."""
    plain, split = [], []
    for seed in range(80):
        values = np.random.default_rng(seed).normal(size=(120, 14, 1))
        found = effects(values, asked=["loss"], seed=seed)
        plain.append(found.ranking("loss").table()["effect"].iloc[0])
        best = int(np.argmax(found.estimate(half="choosing").mean[:, 0]))
        split.append(found.estimate(half="judging").mean[best, 0])
    assert np.mean(plain) > 0.1  # the winner's curse
    assert abs(np.mean(split)) < 3.5 * np.std(split) / np.sqrt(len(split))


@pytest.mark.parametrize("split", [False, True])
def test_units_without_influence_are_rarely_called_critical(split: bool) -> None:
    wrong = []
    for seed in range(80):
        values = 0.5 * np.random.default_rng(seed).normal(size=(150, 14, 2))
        judged = effects(values, seed=seed).verdicts(min_effect=0, split=split)
        wrong.append(bool((judged.where("critical") | judged.where("detrimental")).any()))
    assert np.mean(wrong) <= 0.16  # two kinds of verdict, each at 5 %


def test_rankings() -> None:
    values, _ = drawn()
    found = effects(values)
    mean = values.mean(axis=0)
    for by, key in (("abs_loss", -np.abs(mean[:, 0])), ("loss", -mean[:, 0]), ("-margin", mean[:, 1])):
        names = [found.asked[k].name for k in np.argsort(key, kind="stable")]
        ranked = found.ranking(by)
        assert ranked.table()["question"].tolist() == names
        assert ranked.table(3)["rank"].tolist() == [1, 2, 3]
        assert "14 units" in repr(ranked)
    assert found.ranking().outcome == "loss"
    assert found.ranking().order == "abs"
    assert sum(found.ranking().counts.values()) == 14
    with pytest.raises(UnknownNameError, match='Did you mean "abs_loss"'):
        found.ranking("abs_los")


def test_where_no_answer_turned_the_next_one_may() -> None:
    """By the outcome's bounds, since no unit says how large an effect is."""
    values, _ = drawn(n=100)
    values[..., 1] = 0.0
    found = effects(values, asked=("loss", "correct")).table()
    half = found["high"] - found["effect"]
    right = found["outcome"] == "correct"
    np.testing.assert_allclose(half[right], stats.t(99).ppf(0.975) / np.sqrt(100 * 99), rtol=1e-12)
    assert set(found["verdict"][right]) == {"undecided"}
    values[0, 3, 1] = -1.0
    one = effects(values[:2000], asked=("loss", "correct")).table()[right]
    assert (one["high"] > 0).all()
    assert (one["low"] < 0).all()


def test_the_population() -> None:
    values, _ = drawn(n=200)
    found = effects(values)
    assert (found.table()["se"] > 0).all()
    assert (found.table(population="given")["se"] == 0).all()
    assert set(found.table(population="given")["verdict"]) <= {"critical", "neutral", "detrimental"}
    some, more = found.table(population=400)["se"], found.table()["se"]
    np.testing.assert_allclose(some, more * np.sqrt(1 - 200 / 400))


def controlled_effects(how: str, values: Array, cheap: Array, exact: int, seed: int = 0) -> object:
    changed = np.ones(values.shape[:2], bool)
    order = np.random.default_rng(seed).permutation(len(values))
    evidence = {}
    for layer, some in (("conv1", slice(0, 6)), ("conv2", slice(6, 14))):
        found = ControlledEvidence.empty(some.stop - some.start, values.shape[2])
        found = found.with_cheap(cheap[:, some], changed[:, some])
        for part, pilot in ((order[:64], True), (order[64:exact], False)):
            found = found.with_exact(
                values[part, some],
                cheap[part, some],
                changed[part, some],
                np.ones(len(found.images), bool),
                pilot=pilot,
            )
        evidence[layer] = found
    settings = {"population": "given", "level": 0.95, "judged questions": 14}
    return effects(values, how=how, evidence=evidence, settings=settings)


@pytest.mark.parametrize("how", ["controlled", "adaptive"])
def test_exact_effects_on_some_images(how: str) -> None:
    values, _ = drawn(n=1500, sd=0.2)
    cheap = values + 0.02 * np.random.default_rng(9).normal(size=values.shape)
    found = controlled_effects(how, values, cheap, 300)
    table, truth = found.table(), values.mean(axis=0)
    assert (np.abs(table["effect"] - truth.ravel()) < 0.01).all()
    inside = (table["low"] <= truth.ravel()) & (truth.ravel() <= table["high"])
    assert inside.mean() > 0.9
    assert (table["n"] == 300).all()
    assert (table["changed"] == 1500).all()
    np.testing.assert_allclose(table["sd"], values.std(axis=0).ravel(), rtol=0.2)
    assert (found.table(population=None)["se"] > 2 * table["se"]).all()
    split = found.table(split=True)
    assert (split["n"] == 236).all()
    critical = (found.verdicts().verdict == "critical").mean()
    assert critical > 0.3
    if how == "adaptive":
        fixed = controlled_effects("controlled", values, cheap, 300)
        assert (
            found.verdicts().high - found.verdicts().low > fixed.verdicts().high - fixed.verdicts().low
        ).all()
    one = controlled_effects(how, values, cheap, 1500)
    assert (one.table()["se"] < 1e-12).all()
    np.testing.assert_allclose(one.table()["effect"], truth.ravel(), rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 29])
def test_few_images_give_no_verdict(n: int) -> None:
    values, _ = drawn(n=n)
    for changed in (values, np.zeros_like(values), np.ones_like(values)):
        found = effects(changed, np.abs(changed).sum(2) > 0)
        table = found.table()
        assert set(table["verdict"]) == {"undecided"}
        assert (table["needed"] >= 30).all()
        assert not table[["effect", "low", "high", "p"]].isna().any().any()
        assert "undecided" in repr(found.ranking())
        assert found._repr_html_()


def test_figures_say_everything_and_work_for_every_verdict_and_infinite_intervals() -> None:
    values, _ = drawn(n=700)
    figure = effects(values).ranking("loss").plot(top=12)
    main, whole = figure.axes
    assert [one.get_text() for one in main.get_yticklabels()][:2] == ["conv2[7]", "conv2[6]"]
    assert len(main.get_yticks()) == 12
    assert "change of loss (nats), 95% interval" in main.get_xlabel()
    legend = [one.get_text() for one in figure.legends[0].get_texts()]
    assert [one.split(" ")[0] for one in legend] == ["critical", "detrimental", "neutral", "undecided"]
    assert sum(int(one.split("(")[1].rstrip(")")) for one in legend) == 14
    markers = {len(one.get_paths()[0].vertices) for one in main.collections if len(one.get_offsets())}
    assert len(markers) > 1
    assert len(effects(values[:1]).plot().axes) == 2
    assert len(effects(np.zeros_like(values)).plot(by="abs_margin").axes) == 2
    assert whole.get_xlabel() == "rank among all"


def test_what_is_refused() -> None:
    values, _ = drawn(n=40)
    found = effects(values)
    with pytest.raises(UnknownNameError, match='Did you mean "loss"'):
        found.mean("conv1", "los")
    with pytest.raises(UnknownNameError, match='Did you mean "conv1"'):
        found.mean("conv11", "loss")
    with pytest.raises(ArgumentError, match="share of the mean logit"):
        found.table(min_effect="1%")
    with pytest.raises(UnknownNameError, match='min_effect names "lss"'):
        found.table(min_effect={"lss": 1.0})
    with pytest.raises(ArgumentError, match="min_effect"):
        found.table(min_effect=-1)
    with pytest.raises(UnknownNameError, match="half"):
        found.estimate(half="judgin")
    with pytest.raises(ArgumentError, match="population"):
        found.table(population="all")
    with pytest.raises(UnknownNameError, match="correction"):
        found.table(correction="bonferroni")
