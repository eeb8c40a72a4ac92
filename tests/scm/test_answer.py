"""What answers do(): the equations or coefficients local to each image, and when which."""

import numpy as np
import pytest
import torch
from torch import nn

from causal_widget.errors import ArgumentError, DataError, OrderError, UnknownNameError
from causal_widget.interventions import Intervention, intervene
from causal_widget.responses import collect
from causal_widget.samples import digits
from causal_widget.scm import fit
from causal_widget.scm.local import answering, local_coefficients
from causal_widget.scm.local.answering import _neighbours


@pytest.fixture(scope="module")
def demo():
    return digits()


@pytest.fixture(scope="module")
def scm(demo):
    return fit(collect(demo.model, demo.train_loader, intervene=0.1, holdout=0.1))


@pytest.fixture(scope="module")
def images(demo):
    return next(iter(demo.test_loader))


def network_under(demo, scm, units, images):
    with intervene(demo.model, scm.graph, Intervention(units)) as model:
        return model(images).double().numpy()


def test_nobody_chose_and_images_are_given_so_the_answer_is_local(demo, scm, images):
    x, _ = images
    found = scm.do({"conv2": [4]}).predict(x)
    # an oracle without any context but the two that a single unit of 88 lies between
    by_hand = local_coefficients(
        demo.model, scm.graph, x, outcomes="all", fractions=(0, 0.02), passes=(1, 6)
    ).predict({"conv2": [4]})
    with torch.no_grad():
        own = demo.model(x).double().numpy()
    np.testing.assert_allclose(found.logits, own + by_hand, atol=1e-5)


def test_the_local_answer_is_nearer_to_the_network_than_the_equations(demo, scm, images):
    x, _ = images
    errors = {"local": 0.0, "equations": 0.0}
    for unit in range(16):
        truth = network_under(demo, scm, {"conv2": [unit]}, x)
        for answer in errors:
            found = scm.do({"conv2": [unit]}, answer=answer).predict(x).logits
            errors[answer] += float(((found - truth) ** 2).sum())
    assert errors["local"] < 0.5 * errors["equations"]


@pytest.mark.parametrize("answer", ["local", "equations", None])
def test_without_an_intervention_the_answer_is_the_networks_own(scm, demo, images, answer):
    x, _ = images
    with torch.no_grad():
        own = demo.model(x).double().numpy()
    assert (scm.do({}, answer=answer).predict(x).logits == own).all()


def test_responses_alone_are_answered_by_the_equations(scm, images):
    x, _ = images
    rows = scm.responses(x)
    asked = scm.do({"conv1": [2]})
    assert (asked.answered_by(rows), asked.answered_by(x)) == ("equations", "local")
    by_name = scm.do({"conv1": [2]}, answer="equations").predict(x).logits
    assert (asked.predict(rows).logits == by_name).all()


def test_the_equations_answer_what_local_coefficients_cannot(scm, images):
    x, _ = images
    asked = scm.do({"conv1": [2]})
    assert asked.answered_by(x, noise="zero") == "equations"
    assert asked.answered_by(x, outcome="fc1") == "equations"
    local = scm.do({"conv1": [2]}, answer="local")
    with pytest.raises(ArgumentError, match="outcome='fc1'"):
        local.predict(x, outcome="fc1")
    with pytest.raises(ArgumentError, match="noise='zero'"):
        local.predict(x, noise="zero")
    with pytest.raises(ArgumentError, match="measured on images, got ResponseSet"):
        local.predict(scm.responses(x))


@pytest.fixture
def measurings(monkeypatch):
    """How often gradients were taken, counted at the one function that takes them."""
    calls = []

    def counted(*args, **options):
        calls.append(options["fractions"])
        return local_coefficients(*args, **options)

    monkeypatch.setattr(answering, "local_coefficients", counted)
    return calls


@pytest.mark.parametrize("ask", [lambda x: None, lambda x: x, lambda x: (x, torch.zeros(len(x)).long())])
def test_the_same_images_are_measured_once_for_sets_of_a_size(demo, images, measurings, ask):
    scm = fit(collect(demo.model, demo.train_loader, max_batches=6))
    first, second = (scm.do({"conv2": [u]}).change(ask(images[0])) for u in (4, 5))
    assert len(measurings) == 1
    assert not np.allclose(first, second)
    scm.do({"conv2": range(16)}).change(ask(images[0]))  # another size
    assert len(measurings) == 2


def test_other_images_or_other_weights_are_measured_anew(images, measurings):
    own = digits()
    scm = fit(collect(own.model, own.train_loader, max_batches=6))
    x = images[0].clone()
    first = scm.do({"conv2": [4]}).change(x)
    x[0] += 1  # in place: the same tensor, another image
    assert not np.allclose(scm.do({"conv2": [4]}).change(x)[0], first[0])
    assert len(measurings) == 2
    with torch.no_grad():
        own.model.fc2.weight.mul_(2)
    doubled = scm.do({"conv2": [4]}).change(x)
    assert len(measurings) == 3
    np.testing.assert_allclose(doubled[1:], 2 * first[1:], rtol=1e-4, atol=1e-4)


def test_other_statistics_of_batchnorm_are_measured_anew(measurings):
    conv, norm, last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
    network = nn.Sequential(conv, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last).train()
    x = torch.rand(40, 3, 6, 6)
    scm = fit(collect(network, x))
    do = scm.do({scm.graph.names[0]: [0, 1]})
    first = do.change(x[:3])
    np.testing.assert_array_equal(do.change(x[:3]), first)
    assert len(measurings) == 1
    norm.running_mean.add_(-1)
    assert not np.allclose(do.change(x[:3]), first)
    assert len(measurings) == 2


def test_held_out_images_that_cannot_be_found_again_are_refused_by_either_answer(demo):
    data = torch.utils.data.TensorDataset(*(torch.cat(part) for part in zip(*demo.test_loader, strict=True)))
    loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
    scm = fit(collect(demo.model, loader, max_batches=3))
    for answer in ("local", "equations", None):
        with pytest.raises(DataError, match="shuffles"):
            scm.do({"conv2": [4]}, answer=answer).predict()
        with pytest.raises(DataError, match="shuffles"):
            scm.ranking("conv2", answer=answer)
    assert scm.do({"conv2": [4]}).predict(data.tensors[0][:5]).n == 5


def test_without_a_loader_there_are_no_held_out_images_for_either_answer(scm, demo, images):
    bare = scm.attach(demo.model)
    for answer in ("local", "equations", None):
        with pytest.raises(OrderError, match=r"attach\(model, loader\)"):
            bare.ranking("conv2", answer=answer)
    assert bare.counterfactual(images[0][0], {"conv2": [4]}).n == 1


def test_one_labelled_image_is_refused_with_the_shape_that_is_expected(scm, images):
    for answer in ("local", "equations"):
        with pytest.raises(DataError, match="image, channel, height, width"):
            scm.counterfactual((images[0][0], torch.tensor(3)), {"conv2": [4]}, answer=answer)


def test_a_small_set_is_answered_by_the_gradient_alone():
    assert _neighbours(0.005) == (0.0,)
    assert _neighbours(0.015) == (0.0, 0.02)
    assert _neighbours(0.05) == (0.0, 0.02, 0.10)
    assert _neighbours(0.9) == (0.0, 0.10, 0.20)


@pytest.mark.parametrize("by", ["loss", "margin", "accuracy"])
def test_a_local_ranking_is_that_of_a_loop_over_units(scm, by):
    found = scm.ranking("conv2", by, bootstrap=20)
    assert found.answer == "local"
    baseline = scm.do({}).predict()

    def measure(one):
        rows = np.arange(one.n)
        others = one.logits.copy()
        others[rows, one.labels] = -np.inf
        margin = one.logits[rows, one.labels] - others.max(axis=1)
        return {"loss": one.losses, "margin": margin, "accuracy": one.correct.astype(float)}[by].mean()

    sign = 1 if by == "loss" else -1
    drops = [sign * (measure(scm.do({"conv2": [u]}).predict()) - measure(baseline)) for u in range(16)]
    np.testing.assert_allclose(found.layers["conv2"].drop, drops, atol=1e-9)


def test_the_papers_ranking_stays_by_name(scm):
    found = scm.ranking("conv2", "loss", answer="equations", bootstrap=0)
    assert "the equations foresee" in repr(found)
    np.testing.assert_allclose(
        found.layers["conv2"].drop,
        scm.silencing_losses().loss["conv2"] - scm.silencing_losses().baseline["loss"],
    )


def test_a_local_counterfactual_keeps_the_image(scm, images):
    x, _ = images
    found = scm.counterfactual(x[3], {"conv2": [4]})
    assert found.n == 1
    np.testing.assert_allclose(found.change, scm.do({"conv2": [4]}).change(x[3:4]), atol=1e-12)


def test_an_expectation_is_drawn_with_the_name_of_what_foresaw_it(scm, images):
    for answer, words in (("local", "local coefficients"), ("equations", "the equations")):
        found = scm.do({"conv2": [4]}, answer=answer).expectation(images[0][:6])
        assert found.answer == answer
        axes = found.plot().axes[0]
        assert any(words in text for text in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()))


def test_words_that_are_no_answer(scm, demo):
    with pytest.raises(UnknownNameError, match=r'answer "locale" is not known.*Did you mean "local"'):
        scm.do({"conv1": [0]}, answer="locale")
    with pytest.raises(UnknownNameError, match='answer "equation" is not known'):
        scm.ranking("conv2", "loss", answer="equation")


def test_without_a_network_the_local_answer_says_what_to_do(demo):
    found = fit(collect(demo.model, demo.train_loader, max_batches=4))
    object.__setattr__(found, "source", None)
    x, _ = next(iter(demo.test_loader))
    with pytest.raises(OrderError, match=r"attach\(model, loader\) first"):
        found.do({"conv1": [0]}, answer="local").predict(x)
