"""What is loaded answers bit for bit the same; anything else is refused by name."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save_file
from torch import nn

from causal_widget.errors import ArgumentError, DataError, OrderError
from causal_widget.files import checksum
from causal_widget.responses import collect
from causal_widget.scm import StructuralCausalModel, fit
from causal_widget.scm.saving import FORMAT, _read, fingerprint
from tests.responses.networks import batches_of, images, plain, residual
from tests.scm import linear_network as linear


@pytest.fixture(scope="module")
def batches():
    return batches_of(200, 50)


@pytest.fixture(scope="module")
def model():
    return residual()


@pytest.fixture(scope="module")
def scm(model, batches):
    return fit(collect(model, batches))


@pytest.fixture
def saved(scm, tmp_path):
    return scm.save(tmp_path / "scm.safetensors")


def answers(scm):
    rng = np.random.default_rng(0)
    rows = {name: rng.gamma(2, size=(30, scm.width(name))).astype(np.float32) for name in scm.graph.names}
    submodel = scm.do({"stem": [1, 2], "grouped": [3]}, scale=0.4, answer="equations")
    yield submodel.predict(rows).logits
    yield submodel.predict(rows, noise="zero").logits
    yield from scm.total_effects().silencing.values()
    for one in scm.equations.values():
        yield one.predict(rows)
        yield one.r2
        yield one.heldout_r2


def test_a_loaded_model_answers_bit_for_bit_the_same(scm, saved):
    loaded = StructuralCausalModel.load(saved)
    assert loaded.source is None
    for ours, theirs in zip(answers(scm), answers(loaded), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert repr(loaded) == repr(scm)
    assert loaded.table().equals(scm.table())
    assert loaded.equations["branch"].notes == scm.equations["branch"].notes
    assert fingerprint(loaded.graph) == fingerprint(scm.graph)
    assert [layer.steps for layer in loaded.graph.layers] == [layer.steps for layer in scm.graph.layers]


def test_a_saved_file_is_as_readable_as_any(saved):
    other = saved.with_name("other")
    other.write_text("")
    assert saved.stat().st_mode == other.stat().st_mode


def test_saving_what_was_loaded_gives_the_same_content(saved, tmp_path):
    again = StructuralCausalModel.load(saved).save(tmp_path / "again.safetensors")
    (header, arrays), (first, before) = _read(again), _read(saved)
    assert header == first
    assert all(arrays[key].tobytes() == before[key].tobytes() for key in arrays | before)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.safetensors", "scm.safetensors"]


def test_the_network_is_attached_again(scm, saved, model, batches):
    loaded = StructuralCausalModel.load(saved, model, batches)
    ours, theirs = scm.responses(), loaded.responses()
    assert ours.index.tolist() == theirs.index.tolist()
    for name in scm.graph.names:
        assert np.array_equal(ours[name], theirs[name])
    with pytest.raises(OrderError, match="without a loader"):
        StructuralCausalModel.load(saved, model).responses()
    assert StructuralCausalModel.load(saved, model).responses(images(3)).n_images == 3
    with pytest.raises(OrderError, match="no network is attached"):
        StructuralCausalModel.load(saved).responses()


def test_another_network_is_refused(saved):
    with pytest.raises(DataError, match=r"Sequential.*expected 6") as caught:
        StructuralCausalModel.load(saved, plain())
    assert "Residual" in str(caught.value)
    wider = residual()
    wider.grouped = torch.nn.Conv2d(8, 16, 1, groups=4)
    wider.head = torch.nn.Linear(22, 4)
    with pytest.raises(DataError, match='layer "grouped" has units 16, expected 12'):
        StructuralCausalModel.load(saved, wider)


def test_a_network_that_cannot_take_the_images_is_refused_as_another_one(saved):
    other = nn.Sequential(nn.Conv2d(5, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(DataError, match=r"Sequential.* is not the one of this causal model"):
        StructuralCausalModel.load(saved, other)


@pytest.mark.parametrize("keep", [0, 5, 200, 0.5, 0.99])
def test_a_file_cut_short_is_refused(saved, keep):
    content = saved.read_bytes()
    saved.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(DataError, match=r"scm.safetensors.*(damaged|no safetensors)"):
        StructuralCausalModel.load(saved)


def test_one_flipped_bit_is_seen(saved):
    content = bytearray(saved.read_bytes())
    rng = np.random.default_rng(0)
    start = 8 + struct.unpack("<Q", content[:8])[0]
    for at in rng.integers(start, len(content), 20):
        damaged = bytearray(content)
        damaged[at] ^= 4
        saved.write_bytes(damaged)
        with pytest.raises(DataError, match="checksum"):
            StructuralCausalModel.load(saved)


def test_other_files_are_refused(saved, tmp_path):
    other = tmp_path / "weights.safetensors"
    save_file({"weight": np.zeros(3)}, other)
    with pytest.raises(DataError, match="another safetensors file"):
        StructuralCausalModel.load(other)
    save_file({"weight": np.zeros(3)}, other, {"format": "pt"})
    with pytest.raises(DataError, match='of the format "pt"'):
        StructuralCausalModel.load(other)
    save_file({"0": np.zeros(3)}, other, {"format": FORMAT, "version": "2", "written_by": "causal_widget 9"})
    with pytest.raises(DataError, match=r"version 2.*reads version 1"):
        StructuralCausalModel.load(other)
    (tmp_path / "text.safetensors").write_text("not at all")
    with pytest.raises(DataError, match="no safetensors file"):
        StructuralCausalModel.load(tmp_path / "text.safetensors")
    with pytest.raises(FileNotFoundError):
        StructuralCausalModel.load(tmp_path / "none.safetensors")


def test_a_file_that_names_an_unknown_class_makes_nothing(saved):
    """Even with a checksum that is right, only known classes are made."""
    header, arrays = _read(saved)
    header["model"] = header["model"].replace('"is":"LayerEquations"', '"is":"Popen"', 1)
    header["checksum"] = checksum(header["model"], arrays)
    save_file(arrays, saved, header)
    with pytest.raises(DataError, match="'Popen'; expected one of"):
        StructuralCausalModel.load(saved)


def test_a_failed_save_leaves_the_old_file(scm, saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        scm.save(saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("transform", ["binary", "grid", "mean", "maximum", "variance", "parts"])
def test_transforms_come_back_with_what_they_learned(model, batches, tmp_path, transform):
    scm = fit(collect(model, batches, transform=transform))
    loaded = StructuralCausalModel.load(scm.save(tmp_path / "scm"), model, batches)
    ours, theirs = scm.responses(), loaded.responses()
    for name in scm.graph.names:
        assert np.array_equal(ours[name], theirs[name])
    given = scm.do({"stem": [0]}, 0.5, answer="equations").predict(ours).logits
    assert given.tobytes() == loaded.do({"stem": [0]}, 0.5, answer="equations").predict(ours).logits.tobytes()


def largest(maps):
    return maps.amax((2, 3))


def test_a_function_of_ones_own_is_given_again(model, batches, tmp_path):
    scm = fit(collect(model, batches, transform=largest))
    path = scm.save(tmp_path / "scm.safetensors")
    loaded = StructuralCausalModel.load(path)
    with pytest.raises(ArgumentError, match='"largest" is a function'):
        loaded.attach(model, batches)
    with pytest.raises(ArgumentError, match='expected "largest"'):
        loaded.attach(model, batches, transform="mean")
    attached = loaded.attach(model, batches, transform=largest)
    assert np.array_equal(attached.responses()["stem"], scm.responses()["stem"])


def test_a_hand_made_model_is_saved_too(tmp_path):
    network = linear.network()
    scm = linear.known(network, linear.graph_of(network))
    loaded = StructuralCausalModel.load(scm.save(tmp_path / "scm"))
    rows = linear.responses(network, linear.images(5))
    assert np.array_equal(
        scm.do({"stem": [1]}).predict(rows).logits, loaded.do({"stem": [1]}).predict(rows).logits
    )
    odd = replace(scm, means={name: mean.astype(complex) for name, mean in scm.means.items()})
    with pytest.raises(ArgumentError, match=r"means.stem is an array of complex128"):
        odd.save(tmp_path / "odd")


def test_the_header_is_plain_json(saved):
    content = saved.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])["__metadata__"]
    assert header["format"] == FORMAT
    assert len(header["graph"]) == 64
    assert json.loads(header["model"])["transform"] == "frobenius"
    assert len(from_bytes(content)) > 20


@pytest.mark.parametrize("estimator", ["mlp", "random_forest"])
def test_nonlinear_equations(model, batches, tmp_path, estimator):
    scm = fit(collect(model, batches, raw=True), estimator)
    if estimator == "random_forest":
        with pytest.raises(ArgumentError, match=r"'branch'.*random_forest"):
            scm.save(tmp_path / "scm")
        assert not list(tmp_path.iterdir())
        return
    loaded = StructuralCausalModel.load(scm.save(tmp_path / "scm"))
    rows = scm.responses()
    ours, theirs = (one.do({"stem": [1]}, answer="equations").predict(rows).logits for one in (scm, loaded))
    assert ours.tobytes() == theirs.tobytes()
