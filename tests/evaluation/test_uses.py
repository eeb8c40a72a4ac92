"""The paper's uses: filters removed, other images, and the network's own effects beside a ranking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from causal_widget.effects import effect_of, evaluate
from causal_widget.errors import ArgumentError, DataError, UnknownNameError
from causal_widget.evaluation import Removal, network_effects, predict_accuracy, predict_removal
from causal_widget.graph import trace
from causal_widget.interventions import Intervention
from causal_widget.responses import collect
from causal_widget.scm import StructuralCausalModel, fit
from tests.interventions.networks import Residual, fingerprint, images, seeded


def own_labels(model: nn.Module, x: Tensor, wrong: int) -> Tensor:
    """The network's own answers, but for the first few images."""
    with torch.no_grad():
        labels = model(x).argmax(1)
    labels[:wrong] = (labels[:wrong] + 1) % 5
    return labels


@pytest.fixture(scope="module")
def known() -> tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]]:
    model = seeded(Residual)
    x = images(80)
    scm = fit(collect(model, [(x, own_labels(model, x, 8))], transform="mean"))
    held = images(40, seed=7)
    return model, scm, (held, own_labels(model, held, 4))


SETS = {"stem": [{"stem": [0]}, {"stem": [1, 2]}], "last": [{"block2.conv2": [0, 3, 5]}]}


def test_removal_is_measured_and_foreseen(
    known: tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]],
) -> None:
    model, scm, pair = known
    before = fingerprint(model)
    found = predict_removal(scm, pair, SETS, passes=2)
    assert fingerprint(model) == before
    listed = [one for sets in SETS.values() for one in sets]
    assert (found.series, found.removed, found.n) == (("stem", "stem", "last"), (1, 2, 3), 40)
    assert found.baseline == pytest.approx(0.9)
    for k, units in enumerate(listed):
        effect = effect_of(model, scm.graph, Intervention(units), [pair])
        assert found.true[k] == effect.after.accuracy
        expected = scm.do(units, answer="equations").predict(pair).accuracy
        assert found.foreseen["equations"][k] == pytest.approx(expected)
    assert found.error("local") == pytest.approx(np.abs(found.foreseen["local"] - found.true).mean())


def test_local_coefficients_foresee_removal_where_the_network_is_linear() -> None:
    """Units of the last layer act linearly; a margin whose runner-up stays is foreseen exactly."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.relu(self.conv(x)).mean((2, 3)))

    model, x = seeded(Two), images(60)
    labels = torch.arange(60) % 2
    scm = fit(collect(model, [(x, labels)], transform="mean"))
    found = predict_removal(scm, (x, labels), shares=(0.25, 0.5), n_random=4, passes=2)
    np.testing.assert_allclose(found.foreseen["local"], found.true)
    assert found.correlation("local") == pytest.approx(1)


def test_sets_made_here_take_the_same_share_of_each_convolution(
    known: tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]],
) -> None:
    _, scm, pair = known
    found = predict_removal(scm, pair, shares=(0.25,), n_random=2, passes=1, answers="local", images=10)
    share = sum(round(0.25 * layer.units) for layer in scm.graph.hidden_conv_layers)
    assert found.series == ("random", "random", "least important", "most important")
    assert found.removed == (share,) * 4
    assert found.n == 10
    summary = found.summary()
    assert list(summary["n"]) == [2, 1, 1]
    assert repr(found).startswith("Removal: 10 images, 4 sets")
    assert "<table" in found._repr_html_()
    assert found.plot().axes[0].get_xlabel() == "true accuracy, %"
    assert list(found.table().columns) == ["sets", "removed", "true", "local"]


def test_sets_that_remove_nothing_are_left_out(
    known: tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]],
) -> None:
    _, scm, pair = known
    options = {"n_random": 1, "passes": 1, "answers": "equations", "images": 4}
    found = predict_removal(scm, pair, shares=(0.001, 0.25), **options)
    assert len(found.removed) == 3
    assert min(found.removed) > 0
    with pytest.raises(ArgumentError, match="remove no filter"):
        predict_removal(scm, pair, shares=(0.001,), **options)


@pytest.mark.parametrize(
    "changed, error, words",
    [
        ({"answers": "locally"}, UnknownNameError, 'Did you mean "local"'),
        ({"answers": ()}, ArgumentError, "at least one"),
        ({"sets": {"a": [{"stm": [0]}]}}, UnknownNameError, 'Did you mean "stem"'),
        ({"sets": {}}, ArgumentError, "at least one"),
        ({"shares": (1.5,), "sets": None}, ArgumentError, "fraction"),
    ],
    ids=str,
)
def test_bad_removals_are_named(
    known: tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]],
    changed: dict[str, object],
    error: type[Exception],
    words: str,
) -> None:
    _, scm, pair = known
    with pytest.raises(error, match=words):
        predict_removal(scm, pair, **{"sets": SETS, "passes": 1, "images": 4, **changed})


def test_an_unknown_answer_is_named() -> None:
    found = Removal(2, 0.5, ("a",), (1,), np.array([0.5]), {"local": np.array([0.5])})
    with pytest.raises(UnknownNameError, match="only local"):
        found.error("equations")


def test_accuracy_elsewhere_is_that_of_the_equations(
    known: tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]],
) -> None:
    model, scm, (x, y) = known
    noisy = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    found = predict_accuracy(scm, {"clean": (x, y), "noisy": (noisy, y)})
    for name, shown in (("clean", x), ("noisy", noisy)):
        assert found.true[name] == evaluate(model, [(shown, y)]).accuracy
        logits = scm.predict(scm.graph.output.name, scm.responses((shown, y)))
        assert found.foreseen()[name] == pytest.approx((logits.argmax(axis=1) == y.numpy()).mean())
    assert found.foreseen(1)["clean"] == found.checks["clean"].rolled[0].accuracy
    table = found.table()
    assert list(table.index) == ["clean", "noisy"]
    assert table.loc["noisy", "one step"] == found.foreseen()["noisy"]
    assert "clean" in repr(found)
    assert "<table" in found._repr_html_()
    assert len(found.plot().axes[0].lines) == 4
    one = predict_accuracy(scm, scm.responses((x, y)))
    assert one.true == {"images": found.true["clean"]}


def test_accuracy_elsewhere_needs_labels_and_layers(
    known: tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]],
) -> None:
    _, scm, (x, y) = known
    with pytest.raises(DataError, match='"bare" have no labels'):
        predict_accuracy(scm, {"bare": x})
    with pytest.raises(DataError, match="at least one"):
        predict_accuracy(scm, {})
    with pytest.raises(ArgumentError, match="observed must be one of 1 to"):
        predict_accuracy(scm, (x, y)).foreseen(99)


@pytest.mark.parametrize("by", ["loss", "margin", "accuracy"])
def test_network_effects_are_single_effects(
    known: tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]], by: str
) -> None:
    model, scm, (x, y) = known
    loader = [(x[:25], y[:25]), (x[25:], y[25:])]
    found = network_effects(model, scm.graph, ["stem", "block1.conv2"], loader, by)
    assert {name: len(drops) for name, drops in found.items()} == {"stem": 4, "block1.conv2": 6}
    for name, unit in (("stem", 2), ("block1.conv2", 5)):
        effect = effect_of(model, scm.graph, Intervention({name: [unit]}), loader)
        if by == "loss":
            expected = effect.loss.change
        elif by == "accuracy":
            expected = -effect.accuracy.change
        else:
            expected = _margin(effect.before.logits, y) - _margin(effect.after.logits, y)
        assert found[name][unit] == pytest.approx(expected, abs=1e-6)


def _margin(logits: np.ndarray, labels: Tensor) -> float:
    return float(
        np.mean([row[y] - max(np.delete(row, y)) for row, y in zip(logits, labels.tolist(), strict=True)])
    )


def test_network_effects_name_what_is_wrong(
    known: tuple[nn.Module, StructuralCausalModel, tuple[Tensor, Tensor]],
) -> None:
    model, scm, (x, _) = known
    with pytest.raises(UnknownNameError, match='Did you mean "accuracy"'):
        network_effects(model, scm.graph, "stem", [x], "acuracy")
    with pytest.raises(UnknownNameError, match='Did you mean "stem"'):
        network_effects(model, scm.graph, "stm", [x])
    with pytest.raises(DataError, match="no labels"):
        network_effects(model, scm.graph, "stem", [x])
    assert set(network_effects(model, trace(model, x), None, [(x[:4], torch.arange(4))])) == {
        layer.name for layer in scm.graph.layers if not layer.is_output
    }
