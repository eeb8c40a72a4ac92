"""Rankings against loops over units and bootstrap samples."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.responses import Evaluation
from tests.scm import linear_network as linear
from tests.scm.test_do import noised


@pytest.fixture(scope="module")
def model():
    return linear.network()


@pytest.fixture(scope="module")
def scm(model):
    return linear.known(model, linear.graph_of(model))


@pytest.fixture(scope="module")
def rows(model):
    return noised(linear.responses(model, linear.images(80, 41)))


def per_image(scm, rows, by):
    """What silencing costs each image, by layer: (unit, image), one propagation a unit."""
    before = scores(rows.evaluation(), by)
    sign = 1 if by == "loss" else -1
    costs = {}
    for layer in scm.graph.names[:-1]:
        whole = [linear.by_hand(scm, dict(rows), {layer: [u]})["head"] for u in range(scm.width(layer))]
        after = [scores(Evaluation(logits, rows.labels, tuple("0123")), by) for logits in whole]
        costs[layer] = sign * (np.stack(after) - before)
    return costs


def scores(evaluation, by):
    if by == "loss":
        return evaluation.losses
    if by == "accuracy":
        return evaluation.correct.astype(float)
    own = np.take_along_axis(evaluation.logits, evaluation.labels[:, None], 1)
    others = evaluation.logits.copy()
    np.put_along_axis(others, evaluation.labels[:, None], -np.inf, 1)
    return own[:, 0] - others.max(1)


@pytest.mark.parametrize("by", ["accuracy", "loss", "margin"])
def test_drops_ranks_and_intervals_equal_a_loop(scm, rows, by):
    found = scm.ranking(by=by, images=rows, bootstrap=60, level=0.9, seed=3)
    counts = np.random.default_rng(3).multinomial(80, np.full(80, 1 / 80), size=60)
    assert found.baseline == pytest.approx(scores(rows.evaluation(), by).mean())
    for layer, costs in per_image(scm, rows, by).items():
        one = found.layers[layer]
        np.testing.assert_allclose(one.drop, costs.mean(1), atol=1e-9)
        np.testing.assert_allclose(one.rank, rankdata(-costs.sum(1)))
        ranks = np.stack([rankdata(-np.repeat(costs, count, axis=1).sum(1)) for count in counts], axis=1)
        np.testing.assert_allclose(one.low, np.quantile(ranks, 0.05, axis=1))
        np.testing.assert_allclose(one.high, np.quantile(ranks, 0.95, axis=1))
        assert (one.low <= one.high).all()


def test_equals_share_a_rank(scm, rows):
    """Silencing units that no path leads from costs nothing: equal drops, the mean of their ranks."""
    few = rows.take(slice(0, 3))
    found = scm.ranking(by="accuracy", images=few, bootstrap=0)
    for one in found.layers.values():
        for value in np.unique(one.drop):
            assert len(np.unique(one.rank[one.drop == value])) == 1
        assert np.isnan(one.low).all()
        assert one.rank.sum() == pytest.approx(len(one.rank) * (len(one.rank) + 1) / 2)


def test_units_that_all_cost_the_same_have_no_order(scm, rows):
    """One image, judged by accuracy: no filter alone turns it, and no sample of images differs."""
    one = rows.take(slice(0, 1))
    found = scm.ranking("stem", by="accuracy", images=one)
    assert found.undecided == ("stem",)
    assert found.extremes()["most important"].tolist() == ["all alike"]
    assert found.bootstrap == 0
    assert np.isnan(found.layers["stem"].low).all()
    assert "interval" not in repr(found)
    assert "all alike" in found._repr_html_()
    assert "interval" not in found.plot().axes[0].get_xlabel()
    assert "interval" in scm.ranking("stem", images=rows, bootstrap=5).plot().axes[0].get_xlabel()
    by_loss = scm.ranking("stem", by="loss", images=one)
    assert by_loss.undecided == ()
    assert "interval" not in repr(by_loss)


def test_least_and_most_important_of_each_layer(scm, rows):
    found = scm.ranking(by="loss", images=rows, bootstrap=10)
    for layer, one in found.layers.items():
        order = sorted(range(len(one.drop)), key=lambda unit: one.drop[unit])
        assert found.least(2)[layer] == tuple(order[:2])
        assert found.most(2)[layer] == tuple(order[::-1][:2])
    rows_of = found.extremes(2)
    assert rows_of["layer"].tolist() == list(scm.graph.names[:-1])
    assert rows_of["most important"][0] == ", ".join(map(str, found.most(2)["stem"]))


def test_more_images_make_ranks_surer(scm, model):
    def span(n):
        rows = noised(linear.responses(model, linear.images(n, 51)))
        one = scm.ranking("stem", by="loss", images=rows).layers["stem"]
        return (one.high - one.low).mean()

    assert span(2000) < 0.5 * span(20)


def test_the_networks_own_effects_stand_beside(scm, rows):
    effect = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
    found = scm.ranking("stem", by="margin", images=rows, bootstrap=5, effects={"stem": effect})
    table = found.table().set_index("unit").sort_index()
    assert table["network drop"].tolist() == effect.tolist()
    assert table["network rank"].tolist() == [1, 5, 2, 4, 3, 6]
    expected = spearmanr(found.layers["stem"].drop, effect).statistic
    assert found.correlation() == {"stem": pytest.approx(expected)}
    assert scm.ranking("stem", images=rows, bootstrap=0).correlation() == {}
    alike = scm.ranking("stem", images=rows, bootstrap=0, effects={"stem": np.zeros(6)})
    assert np.isnan(alike.correlation()["stem"])


def test_the_same_seed_gives_the_same_intervals(scm, rows):
    first, again, other = (
        scm.ranking("stem", "loss", rows, bootstrap=7, seed=seed).layers["stem"] for seed in (1, 1, 2)
    )
    assert first.low.tobytes() == again.low.tobytes()
    assert not np.array_equal(first.low, other.low) or not np.array_equal(first.high, other.high)


def test_it_says_itself(scm, rows):
    found = scm.ranking(by="loss", images=rows, bootstrap=20)
    assert "27 units in 5 layers by the rise of the loss that the equations foresee on 80 images" in repr(
        found
    )
    assert "95% interval" in repr(found)
    assert (found.table()["drop"].diff().dropna() <= 0).all()
    assert "<table" in found._repr_html_()
    assert found.plot("left").axes
    assert found.plot().axes


def test_bad_arguments_are_named(scm, rows, model):
    with pytest.raises(UnknownNameError, match='Did you mean "margin"'):
        scm.ranking(by="margins", images=rows)
    with pytest.raises(ArgumentError, match="level is 95"):
        scm.ranking(level=95, images=rows)
    with pytest.raises(ArgumentError, match="bootstrap is -1"):
        scm.ranking(bootstrap=-1, images=rows)
    with pytest.raises(ArgumentError, match="seed"):
        scm.ranking(seed=-1, images=rows)
    with pytest.raises(UnknownNameError, match="is not before the outcome"):
        scm.ranking("head", images=rows)
    with pytest.raises(ArgumentError, match=r"shape \(3,\)"):
        scm.ranking("stem", images=rows, effects={"stem": np.zeros(3)})
    with pytest.raises(UnknownNameError, match="not ranked"):
        scm.ranking("stem", images=rows, effects={"left": np.zeros(4)})
    with pytest.raises(UnknownNameError, match="not ranked"):
        scm.ranking("stem", images=rows, bootstrap=0).plot("left")
    with pytest.raises(DataError, match="no labels"):
        scm.ranking(images=linear.responses(model, linear.images(4), labels=False))
