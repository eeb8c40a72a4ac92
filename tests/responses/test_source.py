"""Responses of any images, read as a collection read them."""

import numpy as np
import pytest
import torch

from causal_widget.errors import ArgumentError, DataError, NonFiniteError
from causal_widget.responses import collect, read_responses
from causal_widget.responses import tables as tables_module
from causal_widget.responses.split import held_out
from tests.responses.networks import batches_of, images, labels, plain, residual
from tests.responses.test_collect import by_hand, state


@pytest.fixture(scope="module")
def collected():
    model = residual()
    return model, collect(model, batches_of(60, 16), holdout=0.3, seed=4, raw=True)


def close(found, expected):
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, rtol=1e-4, atol=1e-5)


def test_other_images_in_any_shape(collected):
    model, found = collected
    x = images(5, seed=8)
    expected = by_hand(model, x)
    close(found.source.read(x), expected)
    close(found.source.read([(x[:3], labels(3)), (x[3:], labels(2))]), expected)
    close(found.source.read(x[0]), {name: part[:1] for name, part in expected.items()})
    answer = found.source.read((x, labels(5)))
    assert answer.labels.tolist() == labels(5).tolist()
    assert answer.index.tolist() == [0, 1, 2, 3, 4]
    assert found.source.read(x).labels is None


def test_the_parts_are_the_collections(collected):
    _, found = collected
    apart = np.flatnonzero(held_out(0, 60, 0.3, 4))
    heldout, train = found.source.read(part="heldout"), found.source.read(part="train")
    np.testing.assert_array_equal(heldout.index, apart)
    assert sorted([*heldout.index, *train.index]) == list(range(60))
    np.testing.assert_array_equal(heldout.labels, labels(60)[apart])
    np.testing.assert_array_equal(found.raw.heldout, np.isin(np.arange(60), apart))
    for name in found.graph.names:
        np.testing.assert_allclose(heldout[name].mean(0), found.heldout.mean(name), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            found.source.read()[name], found.raw.observational[name], rtol=1e-5, atol=1e-6
        )
    assert found.source.read(part="heldout", max_images=4).index.tolist() == apart[:4].tolist()


def test_the_evaluation_is_the_networks(collected):
    model, found = collected
    assert found.source.read().evaluation().accuracy == found.accuracy
    close(
        {"head": found.source.read(images(7)).evaluation().logits},
        {"head": by_hand(model, images(7))["head"]},
    )


def test_the_model_is_left_as_it_was_and_errors_are_those_of_loaders(collected):
    model, found = collected
    before = state(model)
    found.source.read(images(4))
    with pytest.raises(DataError, match="expected"):
        found.source.read(torch.zeros(2, 2))
    with pytest.raises(NonFiniteError):
        found.source.read(images(4) * float("nan"))
    with pytest.raises(DataError, match="label 9"):
        found.source.read((images(2), labels(2) * 0 + 9))
    with pytest.raises(ArgumentError, match='Did you mean "heldout"'):
        found.source.read(part="held-out")
    with pytest.raises(ArgumentError, match="max_images"):
        found.source.read(max_images=0)
    assert state(model) == before


def test_an_empty_part():
    found = collect(plain(), images(10), holdout=0)
    with pytest.raises(DataError, match="heldout"):
        found.source.read(part="heldout")
    assert found.source.read(part="train").n_images == 10


SHUFFLING = {
    "shuffle": lambda data: {"batch_size": 5, "shuffle": True},
    "subset": lambda data: {
        "batch_size": 5,
        "sampler": torch.utils.data.SubsetRandomSampler(range(20)),
    },
    "weighted": lambda data: {
        "batch_size": 5,
        "sampler": torch.utils.data.WeightedRandomSampler([1.0] * 20, 20),
    },
    "batches": lambda data: {
        "batch_sampler": torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), 5, False)
    },
}


@pytest.mark.parametrize("how", SHUFFLING)
def test_a_shuffling_loader_has_no_parts(how):
    data = torch.utils.data.TensorDataset(images(20), labels(20))
    loader = torch.utils.data.DataLoader(data, **SHUFFLING[how](data))
    found = collect(plain(), loader)
    assert found.source.read().n_images == 20
    with pytest.raises(DataError, match="shuffle=False"):
        found.source.read(part="heldout")


def test_a_used_up_iterator():
    found = collect(plain(), iter(batches_of(20, 5)))
    with pytest.raises(DataError, match="one-shot"):
        found.source.read()


def test_max_batches_holds_for_the_own_loader_alone():
    found = collect(plain(), batches_of(40, 8), max_batches=2)
    assert found.source.read().n_images == 16
    assert found.source.read(images(30)).n_images == 30


def test_many_responses_are_mapped(monkeypatch):
    monkeypatch.setattr(tables_module.ResponseTable.__init__, "__defaults__", (1000, None, np.float32))
    found = read_responses(residual(), batches_of(40, 8))
    assert isinstance(found["stem"], np.memmap)
    close(found, by_hand(residual(), images(40)))


def test_a_double_precision_network_keeps_it():
    assert read_responses(residual().double(), images(4).double())["stem"].dtype == np.float64
