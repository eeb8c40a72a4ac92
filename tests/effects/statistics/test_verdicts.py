"""Verdicts: scipy's tests as oracle; type I error, power and false discoveries of simulated effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from causal_widget.effects.statistics import (
    EffectMoments,
    PairMoments,
    Verdicts,
    benjamini_hochberg,
    benjamini_yekutieli,
    controlled_both_ways,
    minimum_effect,
    split_images,
    verdicts,
)
from causal_widget.errors import ArgumentError, UnknownNameError

LEAST = 0.2


def effects(means: np.ndarray, n: int = 200, sd: float = 1.0, seed: int = 0) -> np.ndarray:
    return means + sd * np.random.default_rng(seed).normal(size=(n, len(means)))


def judged(x: np.ndarray, **options: object) -> Verdicts:
    return verdicts(EffectMoments.of(x), **{"worse": 1, "min_effect": LEAST, **options})


@pytest.mark.parametrize("ours, theirs", [(benjamini_hochberg, "bh"), (benjamini_yekutieli, "by")])
def test_corrections_are_scipys(ours: object, theirs: str) -> None:
    p = np.random.default_rng(0).beta(0.4, 2, (6, 9))
    p[0, :3] = p[0, 3]  # ties
    expected = stats.false_discovery_control(p.ravel(), method=theirs).reshape(p.shape)
    np.testing.assert_allclose(ours(p), expected, rtol=1e-13)


def test_questions_not_asked_do_not_count() -> None:
    p = np.array([0.01, np.nan, 0.04, np.nan])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, np.nan, 0.04, np.nan])
    assert benjamini_hochberg([]).shape == (0,)


def test_p_values_are_scipys_t_tests() -> None:
    x = effects(np.array([0.5, 0.22, 0.0, -0.1, -0.6]), n=60)
    found = judged(x, correction="none")
    for k in range(5):
        one = x[:, k]
        p = {
            "critical": stats.ttest_1samp(one, LEAST, alternative="greater").pvalue,
            "detrimental": stats.ttest_1samp(one, -LEAST, alternative="less").pvalue,
            "neutral": max(
                stats.ttest_1samp(one, -LEAST, alternative="greater").pvalue,
                stats.ttest_1samp(one, LEAST, alternative="less").pvalue,
            ),
        }
        name = min(p, key=p.__getitem__)
        assert found.nearest[k] == name
        assert found.p[k] == pytest.approx(p[name], rel=1e-9)
        assert found.verdict[k] == (name if p[name] <= 0.05 else "undecided")


def test_direction_is_the_outcomes() -> None:
    x = effects(np.array([1.0, 0.0, -1.0]))
    assert judged(x).verdict.tolist() == ["critical", "neutral", "detrimental"]
    assert judged(x, worse=-1).verdict.tolist() == ["detrimental", "neutral", "critical"]
    assert judged(x, worse=[1, 1, -1]).verdict.tolist() == ["critical", "neutral", "critical"]


@pytest.mark.parametrize(
    "edge, forbidden", [(LEAST, ("critical", "neutral")), (-LEAST, ("detrimental", "neutral"))]
)
def test_type_one_error_at_the_edge(edge: float, forbidden: tuple[str, str]) -> None:
    """Where the effect is just the least one, each verdict of 5000 tests is wrong in 5 %."""
    found = judged(effects(np.full(5000, edge), n=100, seed=1), correction="none")
    for verdict in forbidden:
        assert 0.035 <= found.where(verdict).mean() <= 0.065


def test_coverage_of_the_intervals() -> None:
    found = judged(effects(np.full(3000, 0.3), n=50, seed=2))
    assert 0.93 <= ((found.low <= 0.3) & (found.high >= 0.3)).mean() <= 0.97


@pytest.mark.parametrize("correction", ["bh", "by"])
def test_false_discoveries_of_each_verdict(correction: str) -> None:
    """100 units truly critical, 800 at the edge, 100 neutral: at most 5 % of what is said is wrong."""
    means = np.repeat([0.45, LEAST, 0.0], [100, 800, 100])
    wrong, power = {"critical": [], "neutral": []}, {"critical": [], "neutral": []}
    for seed in range(20):
        found = judged(effects(means, n=300, sd=0.75, seed=seed), correction=correction)
        for verdict, right in (("critical", slice(0, 100)), ("neutral", slice(900, 1000))):
            said = found.where(verdict)
            wrong[verdict].append((said.sum() - said[right].sum()) / max(said.sum(), 1))
            power[verdict].append(said[right].mean())
    for verdict in wrong:
        assert np.mean(wrong[verdict]) <= 0.055
        assert np.mean(power[verdict]) > 0.5


def test_false_discoveries_of_units_without_influence() -> None:
    """No unit does anything, min_effect 0: in at most 5 % of 400 experiments is anything called critical."""
    said = [
        bool(judged(effects(np.zeros(60), n=40, seed=s), min_effect=0).where("critical").any())
        for s in range(400)
    ]
    assert np.mean(said) <= 0.07


def test_power_is_as_promised() -> None:
    """Of undecided units, as many as the promised 80 % are settled by the number of images named."""
    one = judged(effects(np.full(1, 0.5), n=31, sd=2, seed=4), correction="none")
    assert one.verdict[0] == "undecided"
    truth = EffectMoments(one.n, np.array([0.5]), np.array([4.0 * 30]))
    needed = int(verdicts(truth, worse=1, min_effect=LEAST, correction="none").needed[0])
    z = stats.norm.ppf(0.95) + stats.norm.ppf(0.8)
    assert needed == np.ceil((z * 2 / 0.3) ** 2)
    settled = judged(effects(np.full(1500, 0.5), n=needed, sd=2, seed=5), correction="none").where("critical")
    assert 0.76 <= settled.mean() <= 0.84


def test_too_few_images_are_undecided() -> None:
    found = judged(effects(np.array([5.0, 0.0, -5.0]), n=29, sd=0.1))
    assert found.verdict.tolist() == ["undecided"] * 3
    assert found.needed.tolist() == [30, 30, 30]
    assert found.nearest.tolist() == ["critical", "neutral", "detrimental"]
    one = judged(effects(np.array([5.0]), n=1))
    assert one.verdict[0] == "undecided"


def test_effects_all_alike_are_no_certainty() -> None:
    """Forty images without effect may come before the first with one: p is 1/41, not 0."""
    found = judged(np.zeros((40, 1)))
    assert found.p[0] == pytest.approx(1 / 41)
    many = judged(np.zeros((40, 1)), fdr=0.01)
    assert many.verdict[0] == "undecided"
    assert many.needed[0] == 100
    assert judged(np.zeros((40, 1)), population=40).p[0] == 0


def test_all_images_measured_is_certain() -> None:
    found = judged(effects(np.array([LEAST + 0.3, 0.0, -1.0]), n=100, seed=7), population=100)
    assert (found.p == 0).all()
    assert found.verdict.tolist() == ["critical", "neutral", "detrimental"]
    half = judged(effects(np.array([LEAST]), n=50, seed=7), population=100)
    assert half.needed[0] <= 100


def test_selection_on_separate_images() -> None:
    """Each question is asked once, for what the other images point to, and the family shrinks."""
    x = effects(np.repeat([0.6, 0.0], [5, 995]), n=400, seed=8)
    first, second = split_images(400, seed=1)
    chooser, found = EffectMoments.of(x[first]), EffectMoments.of(x[second])
    split = verdicts(found, worse=1, min_effect=LEAST, selection=chooser)
    pointed = chooser.mean > LEAST
    asked = stats.ttest_1samp(x[second][:, pointed], LEAST, alternative="greater").pvalue
    np.testing.assert_allclose(split.corrected[pointed], stats.false_discovery_control(asked), rtol=1e-9)
    assert split.where("critical")[:5].all()
    assert not split.where("critical")[5:].any()


def test_the_winners_effect_is_not_exaggerated() -> None:
    """The largest of 500 equal effects looks larger than it is on the images that chose it, not on others."""
    same, other = [], []
    for seed in range(40):
        x = effects(np.full(500, 0.1), n=60, seed=seed)
        first, second = split_images(60, seed=seed)
        best = x[first].mean(0).argmax()
        same.append(x[first, best].mean())
        other.append(x[second, best].mean())
    assert np.mean(same) > 0.5
    assert np.mean(other) == pytest.approx(0.1, abs=0.1)


def test_images_looked_at_count_for_rarely_active_units() -> None:
    """Active on 8 of 300 images, all 8 measured: certain. The same 8 as all there is: too few to say."""
    active = EffectMoments.of(effects(np.array([1.0]), n=8)).scaled(8 / 300)
    options = {"worse": 1, "min_effect": 0.1, "population": np.array([8])}
    assert verdicts(active, images=300, **options).verdict.tolist() == ["neutral"]
    assert verdicts(active, **options).verdict.tolist() == ["undecided"]


def test_only_some_asked() -> None:
    x = effects(np.array([1.0, 1.0, 0.0]))
    found = judged(x, asked=np.array([True, False, True]))
    assert found.verdict.tolist() == ["critical", "undecided", "neutral"]
    assert np.isnan(found.p[1])


def test_a_control_variate_decides_more() -> None:
    rng = np.random.default_rng(9)
    g = rng.normal(size=(2000, 100))
    e = 0.3 + g + 0.2 * rng.normal(size=g.shape)
    parts = PairMoments.of(e[:40], g[:40]), PairMoments.of(e[40:80], g[40:80])
    both = controlled_both_ways(*parts, EffectMoments.of(g), population=2000)
    ours = verdicts(both, worse=1, min_effect=0.15).where("critical").mean()
    plain = (
        verdicts(EffectMoments.of(e[:80]), worse=1, min_effect=0.15, population=2000).where("critical").mean()
    )
    assert ours > 0.9 > 0.3 > plain


def test_minimum_effect() -> None:
    assert minimum_effect(0.3) == 0.3
    np.testing.assert_allclose(minimum_effect("2%", [-10.0, 5.0]), [0.2, 0.1])
    for bad in ("2", "%", "two%", None, -0.1, np.nan, "-2%"):
        with pytest.raises(ArgumentError, match="min_effect"):
            minimum_effect(bad, 10.0)
    with pytest.raises(ArgumentError, match="share of the mean logit"):
        minimum_effect("2%")
    with pytest.raises(ArgumentError, match="other than 0"):
        minimum_effect("2%", 0.0)


def test_split_images() -> None:
    first, second = split_images(11, 0.3, seed=5)
    assert sorted([*first, *second]) == list(range(11))
    assert len(first) == 3
    again, _ = split_images(11, 0.3, seed=5)
    np.testing.assert_array_equal(first, again)
    with pytest.raises(ArgumentError, match="empty"):
        split_images(3, 0.01)


def test_bad_input() -> None:
    x = effects(np.zeros(3))
    with pytest.raises(UnknownNameError, match=r'"fdr".*bh, by, none'):
        judged(x, correction="fdr")
    with pytest.raises(ArgumentError, match="without a direction"):
        judged(x, worse=0)
    with pytest.raises(ArgumentError, match="3 questions but 2 names"):
        judged(x, names=("a", "b"))
    with pytest.raises(ArgumentError, match=r"selection is about \(2,\)"):
        judged(x, selection=EffectMoments.of(x[:, :2]))
    with pytest.raises(ArgumentError, match="asked must be bool"):
        judged(x, asked=[1, 0, 1])
    with pytest.raises(ArgumentError, match=r"from 0 to 1, got 0\.5 to 2"):
        benjamini_hochberg([0.5, 2.0])


def test_it_says_itself() -> None:
    found = judged(effects(np.array([1.0, 0.0, -1.0, LEAST])), names=("a", "b", "c", "<d>"))
    assert found.counts == {"critical": 1, "neutral": 1, "detrimental": 1, "undecided": 1}
    assert "1 critical, 1 neutral, 1 detrimental, 1 undecided" in repr(found)
    assert "least effect of 0.2" in repr(found)
    assert "images would settle" in repr(found)
    table = found.table()
    assert table["question"].tolist() == ["a", "b", "c", "<d>"]
    assert "&lt;d&gt;" in found._repr_html_()
