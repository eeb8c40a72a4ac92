"""One pass against a plain loop with hooks, and what is left when it fails."""

import itertools
import os
import random
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from causal_widget.errors import (
    ArgumentError,
    Cancelled,
    DataError,
    DeviceError,
    NonFiniteError,
    UnknownNameError,
    UnsupportedModelError,
)
from causal_widget.graph import trace
from causal_widget.jobs import Progress
from causal_widget.responses import collect
from causal_widget.responses import rows as rows_module
from tests.responses.networks import Residual, batches_of, images, labels, plain, residual


def by_hand(model: Residual, x: torch.Tensor) -> dict[str, np.ndarray]:
    """The residual network's responses, written out call by call."""
    with torch.no_grad():
        stem = F.relu(model.stem(x))
        branch = model.branch(stem)
        joined = F.relu(stem + branch)
        left = F.relu(model.left(joined))
        depthwise = F.relu(model.depthwise(joined))
        grouped = F.relu(model.grouped(depthwise))
        head = model.head(torch.cat([left, grouped], 1).mean((2, 3)))
    maps = {"stem": stem, "branch": branch, "left": left, "depthwise": depthwise, "grouped": grouped}
    found = {name: torch.linalg.matrix_norm(one.double()).numpy() for name, one in maps.items()}
    return found | {"head": head.double().numpy()}


class Sink:
    def __init__(self):
        self.batches, self.firsts = [], []

    def __call__(self, responses, first):
        self.batches.append({name: np.array(one) for name, one in responses.items()})
        self.firsts.append(first)

    def table(self):
        return {name: np.concatenate([batch[name] for batch in self.batches]) for name in self.batches[0]}


def test_responses_and_moments_equal_a_plain_loop():
    model, sink = residual(), Sink()
    found = collect(model, batches_of(60, 16), holdout=0, sinks=[sink])
    expected, table = by_hand(model, images(60)), sink.table()
    assert sink.firsts == [0, 16, 32, 48]
    for name, x in expected.items():
        np.testing.assert_allclose(table[name], x, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.train.mean(name), x.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.train.variance(name), x.var(0), rtol=1e-3, atol=1e-6)
    for a, b in found.train.layout.pairs:
        expected_covariance = np.cov(table[a].T, table[b].T, bias=True)[: len(table[a].T), len(table[a].T) :]
        np.testing.assert_allclose(found.train.covariance(a, b), expected_covariance, atol=1e-8)


def test_accuracy_loss_and_class_counts():
    model = residual()
    logits = torch.from_numpy(by_hand(model, images(50))["head"])
    found = collect(model, batches_of(50, 20))
    assert found.accuracy == pytest.approx(float((logits.argmax(1) == labels(50)).double().mean()))
    assert found.loss == pytest.approx(float(F.cross_entropy(logits, labels(50))), rel=1e-5)
    assert found.class_counts.tolist() == torch.bincount(labels(50), minlength=4).tolist()
    bare = collect(model, images(20))
    assert (bare.accuracy, bare.loss, bare.class_counts) == (None, None, None)


@pytest.mark.parametrize("site", ["conv", "norm", "activation"])
def test_sites(site):
    model, sink, x = plain(), Sink(), images(6)
    collect(model, x, site=site, sinks=[sink])
    model.eval()
    first = model[0](x)
    first = {"conv": first, "norm": model[1](first), "activation": F.relu(model[1](first))}[site]
    expected = torch.linalg.matrix_norm(first).detach()
    np.testing.assert_allclose(sink.table()["0"], expected, rtol=1e-4)


def test_transform_is_a_parameter_and_the_output_keeps_its_sign():
    model, sink = residual(), Sink()
    found = collect(model, images(10), transform=lambda maps: maps.amax((2, 3)), sinks=[sink])
    assert found.transform == "<lambda>"
    assert (sink.table()["head"] < 0).any()
    with torch.no_grad():
        np.testing.assert_allclose(
            sink.table()["stem"], F.relu(model.stem(images(10))).amax((2, 3)), rtol=1e-5
        )
    with pytest.raises(UnknownNameError, match="frobenius"):
        collect(model, images(10), transform="frobenus")
    with pytest.raises(UnknownNameError, match="activation"):
        collect(model, images(10), site="activations")


def test_batch_size_does_not_change_the_split_and_both_parts_are_all_images():
    model = residual()
    small, large = collect(model, batches_of(90, 7)), collect(model, batches_of(90, 64))
    assert small.heldout.count == large.heldout.count
    assert small.train.count + small.heldout.count == small.n_images == 90
    for name in small.graph.names:
        np.testing.assert_allclose(small.heldout.mean(name), large.heldout.mean(name), rtol=1e-6, atol=1e-6)
    other = collect(model, batches_of(90, 7), seed=1)
    assert not np.allclose(other.train.mean("stem"), small.train.mean("stem"))
    share = collect(model, images(2000, size=4), holdout=0.3).heldout.count / 2000
    assert share == pytest.approx(0.3, abs=0.04)
    with pytest.raises(ArgumentError, match=r"holdout is 1\.5"):
        collect(model, images(4), holdout=1.5)


def test_the_same_pass_gives_the_same_bits_and_chunks_do_not_depend_on_batches(monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", (8, 8))
    model = residual()
    runs = [collect(model, batches_of(50, 10)), collect(model, batches_of(50, 10))]
    for pair in runs[0].train.layout.pairs:
        np.testing.assert_array_equal(*(run.train.products(*pair) for run in runs))
    assert runs[0].train.count == collect(model, batches_of(50, 17)).train.count


def state(model: nn.Module) -> dict[str, object]:
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), m.training)
        for m in model.modules()
    ]
    rng = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    return {"weights": {k: v.tolist() for k, v in model.state_dict().items()}, "hooks": hooks, "rng": rng}


def raising(n):
    yield from itertools.islice(batches_of(40, 8), n)
    raise OSError("disk gone")


def interrupting(n):
    yield from itertools.islice(batches_of(40, 8), n)
    raise KeyboardInterrupt


def poisoned(n):
    yield from itertools.islice(batches_of(40, 8), n)
    yield torch.full((8, 3, 8, 8), 3e38), labels(8)  # finite images whose first activations are not


@pytest.mark.parametrize(
    ("loader", "error", "says"),
    [
        (lambda: raising(3), DataError, "OSError at batch 3"),
        (lambda: interrupting(3), KeyboardInterrupt, None),
        (lambda: poisoned(3), NonFiniteError, r"Layer '0'.*batch 3"),
        (lambda: [*batches_of(24, 8), (images(8), labels(8) + 4)], DataError, "Batch 3 has the label"),
        (lambda: [*batches_of(24, 8), torch.zeros(8, 3, 7, 7)], DataError, "Batch 3"),
        (lambda: [*batches_of(24, 8), (images(8) * float("nan"), labels(8))], NonFiniteError, "Batch 3"),
    ],
)
def test_a_failure_leaves_the_model_and_usable_moments(loader, error, says):
    model = plain()
    before = state(model)
    with pytest.raises(error, match=says) as caught:
        collect(model, loader(), holdout=0.2)
    assert state(model) == before
    partial, whole = caught.value.partial, collect(model, batches_of(24, 8), holdout=0.2)
    assert (partial.complete, whole.complete) == (False, True)
    assert partial.n_images == 24
    assert partial.accuracy == whole.accuracy
    for pair in whole.train.layout.pairs:
        np.testing.assert_array_equal(partial.train.products(*pair), whole.train.products(*pair))
        np.testing.assert_array_equal(partial.heldout.products(*pair), whole.heldout.products(*pair))


def test_success_leaves_the_model():
    model = plain()
    before = state(model)
    collect(model, batches_of(24, 8))
    assert state(model) == before


def test_cancel_keeps_what_was_collected():
    cancel, ticks = threading.Event(), []

    def listen(tick):
        ticks.append(tick)
        if tick.done >= 16:
            cancel.set()

    model = plain()
    before = state(model)
    with pytest.raises(Cancelled) as caught:
        collect(model, batches_of(40, 8), progress=Progress(listen, cancel, interval=0))
    assert state(model) == before
    assert caught.value.partial.n_images == 16
    assert {tick.total for tick in ticks} == {40}


def test_progress_without_a_length_counts_images():
    ticks = []
    collect(plain(), (batch for batch in batches_of(40, 8)), progress=Progress(ticks.append, interval=0))
    assert ticks[-1].total is None
    assert ticks[-1].done == 40


def test_ctrl_c_waits_until_a_batch_is_counted(monkeypatch):
    """A signal in the middle of an update must not leave half of it behind."""
    update, pressed_once = rows_module.Moments.update_matrix, []

    def pressed(self, responses, **how):
        if not pressed_once:
            pressed_once.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        update(self, responses, **how)

    monkeypatch.setattr(rows_module, "CHUNK_ROWS", (8, 8))
    monkeypatch.setattr(rows_module.Moments, "update_matrix", pressed)
    with pytest.raises(KeyboardInterrupt) as caught:
        collect(plain(), batches_of(40, 8), holdout=0, folds=1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert caught.value.partial.n_images == caught.value.partial.train.count == 8


def test_a_model_that_raises_keeps_its_own_error():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = plain(), 0

        def forward(self, x):
            self.calls += 1
            if len(x) == 5:
                raise RuntimeError("my own bug")
            return self.inner(x)

    model = Broken()
    with pytest.raises(RuntimeError, match="my own bug") as caught:
        collect(model, [images(8), images(5)], graph=trace(model, images(1)))
    assert caught.value.partial.n_images == 8
    assert model.inner.training


class Cramped(nn.Module):
    """Runs out of memory above so many images."""

    def __init__(self, most):
        super().__init__()
        self.inner, self.most, self.sizes = plain(), most, []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.inner(x)


def test_out_of_memory_halves_the_batch_and_says_so():
    model = Cramped(5)
    graph = trace(model, images(1))
    model.sizes.clear()
    with pytest.warns(RuntimeWarning, match="with 16 images at once; going on with 8"):
        found = collect(model, batches_of(32, 16), graph=graph, holdout=0)
    assert model.sizes == [16, 8, *[4] * 8]
    expected = collect(model.inner, batches_of(32, 16), holdout=0)
    np.testing.assert_allclose(found.train.mean("inner.0"), expected.train.mean("0"), rtol=1e-5)
    with pytest.raises(DeviceError, match="single image"), pytest.warns(RuntimeWarning):
        collect(Cramped(0), images(4), graph=graph)


def test_moments_that_do_not_fit_are_refused_before_the_pass():
    with pytest.raises(ArgumentError, match="allowed"):
        collect(plain(), images(4), memory_limit=1000)


def test_not_a_module():
    with pytest.raises(UnsupportedModelError):
        collect("model", images(4))


def test_an_empty_loader():
    with pytest.raises(DataError, match="empty"):
        collect(plain(), [])


def test_autocast_gives_nearly_the_same():
    model = residual()
    exact = collect(model, images(40), holdout=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = collect(model, images(40), holdout=0)
    for name in exact.graph.names:
        scale = np.abs(exact.train.mean(name)).max()
        np.testing.assert_allclose(rough.train.mean(name), exact.train.mean(name), atol=0.05 * scale)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_take_the_models_floating_type(dtype):
    found = collect(residual().to(dtype), images(8), holdout=0)
    assert np.isfinite(found.train.mean("head")).all()


def test_the_same_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = residual()
    on_cpu, on_gpu = collect(model, images(40)), collect(model, images(40), device="cuda")
    assert next(model.parameters()).device.type == "cpu"
    np.testing.assert_allclose(on_gpu.train.mean("head"), on_cpu.train.mean("head"), rtol=1e-2, atol=1e-3)


def test_a_collection_says_itself_and_escapes_names():
    found = collect(residual(), batches_of(30, 10))
    assert "30 (" in repr(found)
    table = found.table()
    assert table["layer"].tolist() == list(found.graph.names)
    assert table["units"].tolist() == [layer.units for layer in found.graph.layers]
    hostile = collect(residual(), images(5), transform=_named("<script>"))
    assert "<script>" not in hostile._repr_html_()
    assert "&lt;script&gt;" in hostile._repr_html_()


def _named(name):
    def peak(maps):
        return maps.amax((2, 3))

    peak.__name__ = name
    return peak
