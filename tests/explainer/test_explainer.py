"""The facade: the documented surface, the order of calls, what is refused, and a model that is left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from causal_widget import CausalCNNExplainer
from causal_widget.errors import (
    ArgumentError,
    Cancelled,
    DataError,
    DeviceError,
    NonFiniteError,
    OrderError,
    UnknownNameError,
    UnsupportedModelError,
)
from causal_widget.jobs import Progress
from tests.interventions.networks import (
    FullyConvolutional,
    Functional,
    Plain,
    Residual,
    fingerprint,
    images,
    seeded,
)

X = images(60)
SILENT = Progress()


def labelled(model: nn.Module, x: Tensor = X, batch: int = 16) -> DataLoader[tuple[Tensor, ...]]:
    with torch.no_grad():
        return DataLoader(TensorDataset(x, model(x).argmax(1)), batch_size=batch)


@pytest.fixture
def ready() -> CausalCNNExplainer:
    model = seeded(Residual)
    explainer = CausalCNNExplainer(model, "cpu")
    explainer.collect_data(labelled(model), progress=SILENT)
    explainer.learn_structural_equations()
    return explainer


def test_layers_and_parents_are_there_before_any_image() -> None:
    model = seeded(Residual)
    explainer = CausalCNNExplainer(model)
    names = [name for name, _ in explainer.conv_layers]
    assert names == [
        "stem",
        "block1.conv1",
        "block1.conv2",
        "block1.down.0",
        "block2.conv1",
        "block2.conv2",
        "block2.down.0",
    ]
    assert all(module is model.get_submodule(name) for name, module in explainer.conv_layers)
    dag = explainer.dag
    assert {i: sorted(node["parents"]) for i, node in dag.items()} == {
        0: [], 1: [0], 2: [1], 3: [0], 4: [2, 3], 5: [4], 6: [2, 3],
    }  # fmt: skip
    assert sorted(dag[0]["children"]) == [1, 3]
    assert dag[1]["name"] == "block1.conv1"
    assert dag[1]["layer"] is model.block1.conv1
    assert dag[1]["filters"] == [0, 1, 2, 3, 4, 5]
    assert (dict(explainer.filter_outputs), dict(explainer.parent_outputs)) == ({}, {})
    assert explainer.filter_importances == {}


def test_raw_tables_are_the_norms_of_the_activations(ready: CausalCNNExplainer) -> None:
    model, kept = ready.model, {}
    places = {0: "relu", 1: "block1.relu1", 2: "block1.bn2", 3: "block1.down.1"}
    handles = [
        model.get_submodule(place).register_forward_hook(
            lambda _, __, out, k=k: kept.__setitem__(k, out.detach())
        )
        for k, place in places.items()
    ]
    model(X)
    for handle in handles:
        handle.remove()
    for k, maps in kept.items():
        expected = maps.double().flatten(2).norm(dim=2).numpy()
        np.testing.assert_allclose(ready.filter_outputs[k], expected, rtol=1e-5)
    assert len(ready.filter_outputs) == len(ready.parent_outputs) == 7
    assert ready.parent_outputs[0] is None
    np.testing.assert_array_equal(ready.parent_outputs[1], ready.filter_outputs[0])
    joined = np.concatenate([ready.filter_outputs[i] for i in ready.dag[4]["parents"]], axis=1)
    np.testing.assert_array_equal(ready.parent_outputs[4], joined)
    assert "(60, 4)" in repr(ready.filter_outputs)


def test_importances_are_by_number_and_sum_to_one(ready: CausalCNNExplainer) -> None:
    found = ready.get_filter_importances()
    assert list(found) == list(range(7))
    for k, values in found.items():
        assert values.shape == (len(ready.dag[k]["filters"]),)
        assert values.min() >= 0
        assert values.sum() == pytest.approx(1)
        np.testing.assert_array_equal(ready.filter_importances[k], values)
        np.testing.assert_array_equal(ready.importance("coefficient")[ready.dag[k]["name"]], values)
    assert not np.allclose(found[6], 1 / 8), "the last convolution has children: the classes"


def test_the_transform_is_a_parameter() -> None:
    model = seeded(Plain)
    explainer = CausalCNNExplainer(model, "cpu")
    explainer.collect_data(labelled(model), lambda maps: maps.mean((2, 3)), progress=SILENT)
    kept: list[Tensor] = []
    handle = model.relu1.register_forward_hook(lambda _, __, out: kept.append(out.detach().clone()))
    model(X)
    handle.remove()
    np.testing.assert_allclose(
        explainer.filter_outputs[0], kept[0].mean((2, 3)).numpy(), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(DataError, match="shape"):
        explainer.collect_data(labelled(model), lambda maps: maps.mean(), progress=SILENT)


def test_a_convolution_called_twice_is_two_layers() -> None:
    explainer = CausalCNNExplainer(seeded(Functional))
    assert [name for name, _ in explainer.conv_layers] == ["first", "twice", "twice#2"]
    assert explainer.conv_layers[1][1] is explainer.conv_layers[2][1]
    assert [node["parents"] for node in explainer.dag.values()] == [[], [0], [1]]


def test_responses_need_not_be_kept() -> None:
    model = seeded(Plain)
    explainer = CausalCNNExplainer(model, "cpu", keep_responses=False)
    explainer.collect_data(labelled(model), progress=SILENT)
    explainer.learn_structural_equations()
    assert explainer.get_filter_importances()[0].shape == (6,)
    with pytest.raises(OrderError, match="keep_responses"):
        _ = explainer.filter_outputs


def test_accuracy_is_that_of_a_plain_loop_and_the_mode_stays(ready: CausalCNNExplainer) -> None:
    model, data = ready.model.train(), labelled(seeded(Residual, 3))
    before = fingerprint(model)
    found = ready.evaluate_model(model, data)
    assert fingerprint(model) == before
    model.eval()
    with torch.no_grad():
        expected = torch.cat([model(x).argmax(1) == y for x, y in data]).float().mean()
    assert found == pytest.approx(float(expected))
    with pytest.raises(DataError, match="labels"):
        ready.evaluate_model(model, [X])


def test_pruned_copies(ready: CausalCNNExplainer) -> None:
    before = fingerprint(ready.model)
    pruned = ready.prune_filters_by_importance(50)
    for k, (name, module) in enumerate(ready.conv_layers):
        gone = np.argsort(ready.get_filter_importances()[k], kind="stable")[: len(module.weight) // 2]
        zero = (pruned.get_submodule(name).weight.detach().flatten(1) == 0).all(1)
        assert set(np.flatnonzero(zero.numpy())) == set(gone)
    first, again, other = (ready.prune_random_filters(50, seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert fingerprint(ready.model) == before
    assert ready.evaluate_model(ready.prune_random_filters(0), ready.loader) == 1


def test_do_and_effect_agree(ready: CausalCNNExplainer) -> None:
    units = {"block2.conv1": [0, 1, 2]}
    effect = ready.effect_of(units, progress=SILENT)
    with ready.do(units) as model:
        np.testing.assert_allclose(model(X).double().numpy(), effect.after.logits, rtol=1e-4, atol=1e-5)
    assert effect.before.accuracy == 1
    half = ready.effect_of(units, value=0.5, site="conv", max_batches=1, progress=SILENT)
    assert half.n == 16
    assert half.intervention.site == "conv"
    assert ready.effect_of(effect.intervention, progress=SILENT).intervention == effect.intervention


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_units_can_be_turned_down(ready: CausalCNNExplainer, scale: float) -> None:
    units = {"block2.conv1": [0, 1, 2]}
    effect = ready.effect_of(units, scale=scale, progress=SILENT)
    with ready.do(units, scale=scale) as model:
        np.testing.assert_allclose(model(X).double().numpy(), effect.after.logits, rtol=1e-4, atol=1e-5)
    silenced = ready.effect_of(units, progress=SILENT).after.logits
    assert np.allclose(effect.after.logits, silenced) == (scale == 0)
    assert np.allclose(effect.after.logits, effect.before.logits) == (scale == 1)


def test_a_curve_for_every_rule(ready: CausalCNNExplainer) -> None:
    rules = ("coefficient", "standardised", "l1", "variance", "response", "random")
    curve = ready.pruning_curve(ready.loader, [0, 50], rules=rules, repeats=2, progress=SILENT)
    assert curve.rules == rules
    assert all(curve.mean(rule)[0] == 1 for rule in rules)
    single = ready.pruning_curve(None, [50], rules="l1", progress=SILENT)
    np.testing.assert_array_equal(single.accuracy["l1"][:, 0], curve.accuracy["l1"][:, 1])


def test_heatmaps(ready: CausalCNNExplainer) -> None:
    weighted = ready.heatmap(X[:2], "block1.conv1")
    single = sum(
        w * ready.heatmap(X[:2], "block1.conv1", unit=u)
        for u, w in enumerate(ready.importance()["block1.conv1"])
    )
    np.testing.assert_allclose(weighted, single, rtol=1e-6, atol=1e-9)
    change = ready.heatmap(X[:2], "block2.conv1", unit=3, units_ablated={"stem": [0, 1, 2, 3]})
    assert change.shape == (2, 12, 12)
    with pytest.raises(ArgumentError, match="no importances"):
        ready.heatmap(X[:2], "fc")


ORDER: list[Callable[[CausalCNNExplainer], Any]] = [
    lambda e: e.learn_structural_equations(),
    lambda e: e.get_filter_importances(),
    lambda e: e.prune_filters_by_importance(10),
    lambda e: e.plot_importance_distribution(),
    lambda e: e.visualize_heatmap_on_input(X[0]),
    lambda e: e.effect_of({"conv1": [0]}),
    lambda e: e.pruning_curve(),
    lambda e: e.get_filter_importances("variance"),
]


@pytest.mark.parametrize("call", ORDER)
def test_calls_in_the_wrong_order(call: Callable[[CausalCNNExplainer], Any]) -> None:
    with pytest.raises(OrderError, match="collect"):
        call(CausalCNNExplainer(seeded(Plain)))


@pytest.mark.parametrize(
    ("model", "options", "error", "says"),
    [
        ("resnet18", {}, UnsupportedModelError, "resnet18"),
        (None, {}, UnsupportedModelError, "NoneType"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), {}, UnsupportedModelError, "no convolution"),
        (seeded(Plain), {"device": "cuda:7"}, DeviceError, "cuda:7"),
        (seeded(Plain), {"device": "gpu"}, DeviceError, "gpu"),
        (seeded(Plain), {"mean": (0.5,)}, ArgumentError, "belong together"),
        (seeded(Plain), {"mean": (0.5,), "std": (0,)}, ArgumentError, "positive"),
        (seeded(Plain), {"mean": (0.5, 0.5), "std": (1,)}, ArgumentError, "2 channels"),
        (seeded(Plain), {"mean": "a", "std": "b"}, ArgumentError, "'a'"),
        (seeded(Plain), {"example": torch.zeros(3)}, DataError, "example"),
        (seeded(Plain), {"example": torch.zeros(1, 4, 12, 12)}, DataError, "channels"),
    ],
)
def test_nonsense_at_construction(
    model: object, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        CausalCNNExplainer(model, **options)  # type: ignore[arg-type]


CALLS: list[tuple[Callable[[CausalCNNExplainer], Any], type[Exception], str]] = [
    (lambda e: e.do({"block1.conv": [0]}), UnknownNameError, 'Did you mean "block1.conv'),
    (lambda e: e.do({"stem": [4]}), UnknownNameError, "unit 4"),
    (lambda e: e.do({"stem": [0]}, site="norms"), UnknownNameError, 'Did you mean "norm"'),
    (lambda e: e.effect_of({"fc": [0]}), ArgumentError, "classes"),
    (lambda e: e.importance("coeficient"), UnknownNameError, "Did you mean .coefficient"),
    (lambda e: e.learn_structural_equations("rigde"), UnknownNameError, "ridge"),
    (lambda e: e.prune_filters_by_importance(101), ArgumentError, "101"),
    (lambda e: e.prune_random_filters(-1), ArgumentError, "-1"),
    (lambda e: e.pruning_curve(None, [5, 200], rules=["l1"]), ArgumentError, "200"),
    (lambda e: e.pruning_curve(None, [5], rules=["l2"]), UnknownNameError, "l2"),
    (lambda e: e.visualize_filter_tsne(7), UnknownNameError, "0 to 6"),
    (lambda e: e.visualize_filter_tsne(-1), UnknownNameError, "-1"),
    (lambda e: e.visualize_filter_tsne("fc"), ArgumentError, "no convolution"),
    (lambda e: e.visualize_first_layer_filters(0), ArgumentError, "n_filters"),
    (lambda e: e.visualize_heatmap_on_input(X[0], alpha=2), ArgumentError, "alpha"),
    (lambda e: e.visualize_heatmap_on_input(X[0], cmap="viridi"), UnknownNameError, 'Did you mean "viridis"'),
    (lambda e: e.visualize_heatmap_on_input(X), DataError, "one image"),
    (lambda e: e.visualize_heatmap_on_input(X[0].numpy()), DataError, "ndarray"),
    (lambda e: e.plot_importance_distribution(figsize=(0, 1)), ArgumentError, "figsize"),
    (lambda e: e.collect_data([]), DataError, "empty"),
    (lambda e: e.collect_data([X * float("nan")]), NonFiniteError, "atch 0"),
    (lambda e: e.collect_data([(X, torch.full((60,), 9))]), DataError, "9"),
    (lambda e: e.collect_data([X[:, :2]]), DataError, "channels"),
    (lambda e: e.collect_data([X], site="act"), UnknownNameError, "act"),
]


@pytest.mark.parametrize(("call", "error", "says"), CALLS)
def test_bad_input_is_said_and_nothing_changes(
    ready: CausalCNNExplainer, call: Callable[[CausalCNNExplainer], Any], error: type[Exception], says: str
) -> None:
    before = fingerprint(ready.model)
    with pytest.raises(error, match=says):
        call(ready)
    assert fingerprint(ready.model) == before


def test_a_loader_that_raises_half_way_leaves_a_usable_part() -> None:
    model = seeded(Residual).train()
    explainer, before = CausalCNNExplainer(model, "cpu"), fingerprint(model)

    def broken() -> Iterator[Tensor]:
        yield X[:40]
        raise OSError("disk gone")

    with pytest.raises(DataError, match="disk gone"):
        explainer.collect_data(broken(), progress=SILENT)
    assert fingerprint(model) == before
    assert explainer.collection is not None
    assert (explainer.collection.n_images, explainer.collection.complete) == (40, False)
    assert explainer.filter_outputs[0].shape == (40, 4)
    explainer.learn_structural_equations()
    assert explainer.get_filter_importances()[0].sum() == pytest.approx(1)


@pytest.mark.parametrize("how", ["cancel", "interrupt"])
def test_stopping_leaves_model_and_part_intact(how: str) -> None:
    model = seeded(Residual).train()
    explainer, before, stop = CausalCNNExplainer(model, "cpu"), fingerprint(model), threading.Event()

    def listen(tick: Any) -> None:
        if tick.done >= 32 and not stop.is_set():
            stop.set()
            if how == "interrupt":
                raise KeyboardInterrupt

    with pytest.raises((Cancelled, KeyboardInterrupt)):
        explainer.collect_data(labelled(seeded(Residual)), progress=Progress(listen, stop, interval=0))
    assert fingerprint(model) == before
    assert explainer.collection is not None
    assert 32 <= explainer.collection.n_images < 60
    assert not explainer.collection.complete


def test_the_graph_is_read_again_on_the_real_images() -> None:
    model = seeded(Residual)
    explainer = CausalCNNExplainer(model)
    assert explainer.graph.example_shape == (3, 32, 32)
    explainer.collect_data([X], progress=SILENT)
    assert explainer.graph.example_shape == (3, 12, 12)
    given = CausalCNNExplainer(model, example=X[:1])
    assert given.graph.example_shape == (3, 12, 12)


def test_collecting_again_forgets_what_was_learned(ready: CausalCNNExplainer) -> None:
    old = ready.importance("variance")
    ready.collect_data([X[:30] * 2], progress=SILENT)
    assert ready.scm is None
    assert ready.filter_importances == {}
    assert not np.allclose(ready.importance("variance")["stem"], old["stem"])


def test_devices_and_names_are_accepted_as_written() -> None:
    model = seeded(Plain)
    for device in ("cpu", torch.device("cpu"), None, "auto"):
        assert isinstance(CausalCNNExplainer(model, device).device, torch.device)
    assert CausalCNNExplainer(model).class_names == ("0", "1", "2", "3")
    assert CausalCNNExplainer(model, class_names="abcd").class_names == ("a", "b", "c", "d")
    with pytest.raises(ArgumentError, match="2 class names for the 4"):
        _ = CausalCNNExplainer(model, class_names="ab").class_names


def test_it_says_where_it_is(ready: CausalCNNExplainer) -> None:
    assert "60 images collected, equations learned" in repr(ready)
    assert "no images seen yet" in repr(CausalCNNExplainer(seeded(Plain)))
    assert "Residual" in ready._repr_html_()


def test_wrapped_models_are_unwrapped() -> None:
    model = seeded(Plain)
    explainer = CausalCNNExplainer(nn.DataParallel(model), "cpu")
    explainer.collect_data(labelled(model), progress=SILENT)
    explainer.learn_structural_equations()
    assert [name for name, _ in explainer.conv_layers] == ["conv1", "conv2"]
    assert explainer.evaluate_model(explainer.prune_random_filters(0), explainer.loader) == 1


def test_a_last_convolution_that_gives_the_classes_is_left_out_of_pruning() -> None:
    model = seeded(FullyConvolutional)
    explainer = CausalCNNExplainer(model, "cpu")
    explainer.collect_data(labelled(model), progress=SILENT)
    explainer.learn_structural_equations()
    assert len(explainer.conv_layers) == 2
    pruned = explainer.prune_filters_by_importance(100)
    assert pruned.conv1.weight.abs().max() == 0
    torch.testing.assert_close(pruned.conv2.weight, model.conv2.weight)


class Failing(nn.Module):
    """Raises in its third batch and later."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.inner, self.error, self.seen = seeded(Plain), error, 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += int(len(x) == 20)
        if self.seen > 2:
            raise self.error("my own bug")
        return self.inner(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyError, ZeroDivisionError, SystemExit])
def test_whatever_the_model_raises_the_part_until_then_is_usable(error: type[BaseException]) -> None:
    explainer = CausalCNNExplainer(Failing(error), "cpu")
    with pytest.raises(error, match="my own bug"):
        explainer.collect_data([X[:20], X[20:40], X[40:]], progress=SILENT)
    assert explainer.collection is not None
    assert (explainer.collection.n_images, explainer.collection.complete) == (40, False)
    assert explainer.filter_outputs[0].shape[0] == 40
    explainer.learn_structural_equations(progress=SILENT)
    assert explainer.get_filter_importances()[0].sum() == pytest.approx(1)


def test_a_collect_that_saw_no_image_changes_nothing(ready: CausalCNNExplainer) -> None:
    kept = ready.collection, ready.scm, ready.loader, ready.graph, ready.filter_outputs[0].shape
    before = ready.importance()["stem"]
    for bad in ([], [X[:, :2]], [X * float("nan")], 3):
        with pytest.raises(DataError):
            ready.collect_data(bad, progress=SILENT)  # type: ignore[arg-type]
    now = ready.collection, ready.scm, ready.loader, ready.graph, ready.filter_outputs[0].shape
    assert all(a is b for a, b in zip(kept[:4], now[:4], strict=True))
    assert now[4] == kept[4]
    np.testing.assert_array_equal(ready.importance()["stem"], before)


def test_the_l1_rule_reads_the_weights_as_they_are_now() -> None:
    model = seeded(Plain)
    explainer = CausalCNNExplainer(model, example=X[:1])
    old = explainer.importance("l1")["conv1"]
    with torch.no_grad():
        model.conv1.weight[0] *= 10
    assert explainer.importance("l1")["conv1"][0] > 2 * old[0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda e: e.collect_data([X], holdout="a"), "holdout is 'a'"),
        (lambda e: e.collect_data([X], max_batches="3"), "max_batches is '3'"),
        (lambda e: e.collect_data([X], max_batches=2.5), "max_batches is 2.5"),
        (lambda e: e.pruning_curve([X], 10, ["l1"]), "percents must be several numbers in 0..100, got 10"),
        (
            lambda e: e.pruning_curve([X], "10", ["l1"]),
            "percents must be several numbers in 0..100, got '10'",
        ),
        (lambda e: e.pruning_curve([X], [10], ["random"], repeats=2.5), "repeats must be a whole number"),
        (
            lambda e: e.pruning_curve([X], [10], ["random"], seed=-1),
            "seed must be a whole number from 0 to .*, got -1",
        ),
        (lambda e: e.prune_random_filters(10, seed="x"), "seed must be a whole number from 0 to .*, got 'x'"),
        (lambda e: e.visualize_filter_tsne(0, seed=-1), "seed must be a whole number from 0"),
        (lambda e: e.importance("random", seed="x"), "seed must be a whole number from 0"),
        (lambda e: e.visualize_heatmap_on_input(X[0], alpha="a"), "alpha must be in 0..1, got 'a'"),
        (lambda e: e.graph.check_units({"stem": 3}), 'units of "stem" must be a list of integers, got 3'),
        (
            lambda e: e.prune_random_filters(10, seed=None),
            "seed must be a whole number from 0 to .*, got None",
        ),
        (lambda e: CausalCNNExplainer(e.model, class_names=3), "class_names must be a list"),
    ],
)
def test_arguments_of_another_type_are_named(
    ready: CausalCNNExplainer, call: Callable[[CausalCNNExplainer], Any], says: str
) -> None:
    with pytest.raises(ArgumentError, match=says):
        call(ready)
