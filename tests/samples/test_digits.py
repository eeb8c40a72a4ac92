"""The embedded demo: what it promises about accuracy, data and determinism."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

import causal_widget as cw
from causal_widget.samples import train as training
from causal_widget.samples._digits import WEIGHTS
from causal_widget.samples._lenet import blank


def everything(loader):
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def pixels(digits, images):
    """The loaders' images as scikit-learn's whole numbers from 0 to 16, one row an image."""
    return ((images * digits.std[0] + digits.mean[0]) * 16).round().int().flatten(1).numpy()


@pytest.fixture(scope="module")
def digits():
    return cw.samples.digits()


def test_the_shipped_network_recognises_the_images_it_never_saw(digits):
    images, labels = everything(digits.test_loader)
    with torch.no_grad():
        predicted = digits.model(images).argmax(1)
    assert (predicted == labels).double().mean() >= 0.97


def test_it_is_ready_to_use(digits):
    assert not digits.model.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in digits.model.parameters())
    assert len(digits.class_names) == 10
    assert "1297 training and 500 held-out" in repr(digits)


@pytest.mark.parametrize("part, n", [("train_loader", 1297), ("test_loader", 500)])
def test_loaders_yield_normalised_batches_in_a_fixed_order(digits, part, n):
    first_images, first_labels = next(iter(getattr(digits, part)))
    assert first_images.shape == (64, 1, 8, 8)
    assert first_images.dtype == torch.float32
    assert first_labels.dtype == torch.int64
    again_images, again_labels = everything(getattr(cw.samples.digits(), part))
    assert again_images.shape == (n, 1, 8, 8)
    assert torch.equal(again_images[:64], first_images)
    assert torch.equal(again_labels[:64], first_labels)
    assert set(again_labels.tolist()) == set(range(10))


def test_the_loaders_hold_every_image_of_scikit_learn_once_and_with_its_label(digits):
    rows = [
        np.column_stack([pixels(digits, images), labels.numpy()])
        for images, labels in map(everything, (digits.train_loader, digits.test_loader))
    ]
    bunch = load_digits()
    expected = np.column_stack([bunch.data.astype(int), bunch.target])
    found = np.concatenate(rows)
    assert found[np.lexsort(found.T)].tolist() == expected[np.lexsort(expected.T)].tolist()
    train, held_out = ({tuple(row) for row in part} for part in rows)
    assert train.isdisjoint(held_out)


def test_normalisation_is_that_of_the_training_images(digits):
    images, _ = everything(digits.train_loader)
    assert abs(float(images.mean())) < 0.02
    assert abs(float(images.std()) - 1) < 0.02


def test_making_the_demo_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    cw.samples.digits()
    assert torch.equal(torch.get_rng_state(), before)


def test_each_call_makes_its_own_network(digits):
    other = cw.samples.digits().model
    with torch.no_grad():
        other.conv1.weight.zero_()
    assert float(digits.model.conv1.weight.detach().abs().sum()) > 0


def test_the_weights_are_small():
    assert WEIGHTS.stat().st_size < 400_000


def test_training_learns_and_is_deterministic(tmp_path, capsys):
    before = torch.get_rng_state()
    files = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    for file in files:
        training.main(["--epochs", "2", "--seed", "3", "--out", str(file)])
    assert torch.equal(torch.get_rng_state(), before)
    assert files[0].read_bytes() == files[1].read_bytes()
    said = capsys.readouterr().out
    model = blank()
    model.load_state_dict(load_file(files[0]), assign=True)
    images, labels = everything(cw.samples.digits().test_loader)
    accuracy = float((model(images).argmax(1) == labels).double().mean())
    assert accuracy > 0.8
    assert f"held-out accuracy {accuracy:.4f} on 500 images" in said


def test_another_seed_is_another_network():
    a, b = (training.train(epochs=0, seed=seed) for seed in (0, 1))
    assert not torch.equal(a.conv1.weight, b.conv1.weight)
