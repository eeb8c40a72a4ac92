import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeRegressor
from torch import nn

from causal_widget.effects import plan_effects
from causal_widget.errors import ArgumentError, NonFiniteError, OrderError, UnknownNameError
from causal_widget.graph import trace
from causal_widget.importance import RULES, importance
from causal_widget.interventions import Intervention, intervene
from causal_widget.responses import collect
from causal_widget.scm import fit
from tests.responses.networks import batches_of, images, residual


@pytest.fixture(scope="module")
def made():
    model = residual().eval()
    collection = collect(model, batches_of(300, 50))
    effects = plan_effects(model, batches_of(60, 50), graph=collection.graph, outcomes=["kl", "logits"]).run()
    return {
        "graph": collection.graph,
        "scm": fit(collection),
        "collection": collection,
        "model": model,
        "effects": effects,
    }


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_a_share_to_every_unit_of_every_hidden_convolution(made, rule):
    found = importance(rule, **made)
    assert list(found) == ["stem", "branch", "depthwise", "grouped", "left"]
    for name, values in found.items():
        assert values.shape == (made["graph"].layer(name).units,)
        assert (values >= 0).all()
        assert values.sum() == pytest.approx(1)


@pytest.mark.parametrize("rule", ["coefficient", "standardised"])
def test_coefficient_rules_are_loops_over_children(made, rule):
    graph, scm = made["graph"], made["scm"]
    found = importance(rule, graph=graph, scm=scm)
    for name, values in found.items():
        expected = np.zeros(len(values))
        for wiring in graph.children(name):
            matrix = scm.coefficients(name, wiring.target)
            if rule == "standardised":
                matrix = scm.standardised(name, wiring.target)
            for unit in range(len(values)):
                expected[unit] += sum(abs(b) for b in matrix[:, unit])
        np.testing.assert_allclose(values, expected / expected.sum(), rtol=1e-10)
    assert np.ptp(found["grouped"]) > 0.01  # its children are the classes, so it is not uniform


def test_l1_is_the_sum_of_each_filters_absolute_weights(made):
    found = importance("l1", graph=made["graph"], model=made["model"])
    weight = made["model"].grouped.weight.detach()
    expected = np.array([float(weight[u].abs().sum()) for u in range(len(weight))])
    np.testing.assert_allclose(found["grouped"], expected / expected.sum(), rtol=1e-6)


def test_l1_of_a_transposed_convolution_goes_by_output_channel():
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.Flatten())
    graph = trace(
        nn.Sequential(model[0], model[1], model[2], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)),
        torch.zeros(1, 4, 4, 4),
    )
    if "0" not in graph.names:
        pytest.skip("transposed convolutions own no units")
    weight = model[0].weight.detach()  # (in, out / groups, height, width): inputs 0, 1 make outputs 0, 1, 2
    expected = [float(weight[2 * g : 2 * g + 2, u].abs().sum()) for g in range(2) for u in range(3)]
    found = importance("l1", graph=graph, model=nn.Sequential(*model[:2], model[2]))["0"]
    np.testing.assert_allclose(found, np.array(expected) / sum(expected), rtol=1e-6)


def test_variance_and_response_are_those_of_the_moments(made):
    train = made["collection"].train
    variance = importance("variance", graph=made["graph"], collection=made["collection"])["stem"]
    np.testing.assert_allclose(variance, train.variance("stem") / train.variance("stem").sum())
    response = importance("response", graph=made["graph"], collection=made["collection"])["stem"]
    np.testing.assert_allclose(response, train.mean("stem") / train.mean("stem").sum())


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "effect"])
def test_vector_valued_responses_give_a_share_to_every_unit(rule):
    model = residual()
    collection = collect(model, batches_of(60, 30), transform="grid")
    made = {"graph": collection.graph, "scm": fit(collection), "collection": collection, "model": model}
    for name, values in importance(rule, **made).items():
        assert values.shape == (collection.graph.layer(name).units,)
    train = collection.train
    expected = {"variance": train.variance("stem"), "response": np.abs(train.mean("stem"))}
    if rule in expected:
        whole = [sum(expected[rule][4 * unit : 4 * unit + 4]) for unit in range(8)]
        np.testing.assert_allclose(importance(rule, **made)["stem"], np.array(whole) / sum(whole))


def test_random_comes_from_the_seed_alone(made):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (importance("random", graph=made["graph"], seed=4) for _ in range(2))
    other = importance("random", graph=made["graph"], seed=5)
    assert all((one[name] == two[name]).all() for name in one)
    assert not any((one[name] == other[name]).all() for name in one)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_standardised_importance_does_not_change_when_a_relu_filter_is_rescaled(made):
    """Scaling a filter up and its readers down leaves the network the same function."""
    model = residual()
    before = importance("standardised", **_made(model))
    with torch.no_grad():
        model.left.weight[1] *= 10
        model.left.bias[1] *= 10
        model.head.weight[:, 1] /= 10
    after = importance("standardised", **_made(model))
    np.testing.assert_allclose(after["left"], before["left"], rtol=1e-3)


def test_a_dead_filter_has_no_importance():
    model = residual()
    with torch.no_grad():
        model.left.weight[1], model.left.bias[1] = 0, -1
    for rule in ("coefficient", "standardised", "variance", "response"):
        assert importance(rule, **_made(model))["left"][1] == 0


def _made(model):
    collection = collect(model, batches_of(300, 50))
    return {"graph": collection.graph, "scm": fit(collection), "collection": collection, "model": model}


def test_units_that_nothing_tells_apart_share_alike(made):
    """A convolution whose filters all have zero weights, or that no layer reads."""
    model = residual()
    with torch.no_grad():
        model.branch.weight.zero_()
    found = importance("l1", graph=made["graph"], model=model)["branch"]
    np.testing.assert_allclose(found, 1 / 8)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("coefficient", "fit"),
        ("standardised", "fit"),
        ("variance", "collect"),
        ("response", "collect"),
        ("l1", "model="),
        ("effect", "effects="),
    ],
)
def test_what_is_missing_is_said(rule, says):
    with pytest.raises(OrderError, match=says):
        importance(rule, graph=trace(residual(), images(1)))


def test_unknown_rules_say_the_nearest(made):
    with pytest.raises(UnknownNameError, match='"coefficient"'):
        importance("coeficient", **made)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_told_and_not_shared_alike(made, value):
    model = residual()
    with torch.no_grad():
        model.branch.weight[1, 0, 0, 0] = value
    with pytest.raises(NonFiniteError, match="'l1' gives NaN or infinity in layer 'branch'"):
        importance("l1", graph=made["graph"], model=model)


def test_coefficients_of_equations_that_are_not_linear():
    collection = collect(residual(), batches_of(100, 50), raw=True, folds=2)
    scm = fit(collection, DecisionTreeRegressor(max_depth=1))
    with pytest.raises(ArgumentError, match="DecisionTreeRegressor"):
        importance("standardised", graph=collection.graph, scm=scm)


def test_the_rule_by_effects_is_a_loop_over_silenced_units(made):
    """By default of either sign on the first outcome; of one sign only where asked so."""
    graph, model, effects = made["graph"], made["model"], made["effects"]
    x = torch.cat([batch if isinstance(batch, torch.Tensor) else batch[0] for batch in batches_of(60, 50)])
    with torch.no_grad():
        before = model(x).log_softmax(1)
        changes = {"abs_kl": [], "abs_logit:1": [], "logit:1": [], "-logit:1": []}
        for unit in range(graph.layer("left").units):
            with intervene(model, graph, Intervention({"left": [unit]})):
                logits = model(x)
            kl = float((before.exp() * (before - logits.log_softmax(1))).sum(1).mean())
            change = float((logits - model(x))[:, 1].mean())
            for by, value in (
                ("abs_kl", abs(kl)),
                ("abs_logit:1", abs(change)),
                ("logit:1", max(change, 0)),
                ("-logit:1", max(-change, 0)),
            ):
                changes[by].append(value)
    for by, values in changes.items():
        found = importance("effect", graph=graph, effects=effects, by=by)["left"]
        total = sum(values)
        expected = np.array(values) / total if total else np.full(len(values), 1 / len(values))
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-5)
    usual = importance("effect", graph=graph, effects=effects)["left"]
    np.testing.assert_allclose(usual, importance("effect", graph=graph, effects=effects, by="abs_kl")["left"])


def test_effects_that_were_not_measured_are_said(made):
    some = plan_effects(made["model"], batches_of(60, 50), ["left"], outcomes="kl").run()
    with pytest.raises(ArgumentError, match='8 of the 8 units of layer "stem"'):
        importance("effect", graph=made["graph"], effects=some)
    with pytest.raises(UnknownNameError, match='Did you mean "abs_kl"'):
        importance("effect", graph=made["graph"], effects=made["effects"], by="abs_k")


def test_hidden_linear_layers_need_not_be_measured():
    from causal_widget.samples import digits

    data = digits()
    batch = [next(iter(data.test_loader))]
    filters = plan_effects(data.model, batch).run()
    found = importance("effect", graph=filters.graph, effects=filters)
    assert list(found) == ["conv1", "conv2", "fc1"]
    np.testing.assert_allclose(found["fc1"], 1 / len(found["fc1"]))
    every = plan_effects(data.model, batch, list(found)).run()
    both = importance("effect", graph=every.graph, effects=every)
    np.testing.assert_allclose(both["conv2"], found["conv2"], rtol=1e-4)
    assert np.ptp(both["fc1"]) > 0.001
