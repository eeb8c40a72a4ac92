"""Raw tables: how large they are, where they are, and what is refused."""

import shutil
from collections import namedtuple

import numpy as np
import pytest

from causal_widget.errors import ArgumentError, OrderError
from causal_widget.graph import trace
from causal_widget.jobs import Progress
from causal_widget.responses import collect, raw, raw_bytes
from tests.responses.networks import batches_of, images, labels, residual


@pytest.mark.parametrize(
    ("how", "columns"), [({}, 46), ({"intervene": 0.1}, 92), ({"transform": "grid"}, 172)]
)
def test_bytes_are_told_before_and_are_what_is_kept(how, columns):
    told = []
    found = collect(
        residual(),
        batches_of(30, 8),
        raw=True,
        progress=Progress(lambda tick: told.append(tick.message)),
        **how,
    )
    expected = raw_bytes(
        found.graph, 30, components=found.components, interventional=found.interventional is not None
    )
    assert expected == found.raw.nbytes == 30 * columns * 4
    kept = [found.raw.observational, found.raw.interventional]
    assert expected == sum(part.nbytes for one in kept if one is not None for part in one.values())
    assert told[0].startswith("collecting, raw responses of 0.0 MB")


def test_what_does_not_fit_on_the_disk_is_refused_before_the_pass(monkeypatch, tmp_path):
    monkeypatch.setattr(raw, "LIMIT", 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(2000))
    model, calls = residual(), []
    graph = trace(model, images(1))
    model.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(ArgumentError, match=f"need {30 * 46 * 4:,} bytes, and 2,000 are free in {tmp_path}"):
        collect(model, batches_of(30, 8), graph=graph, raw=tmp_path)
    assert calls == []
    with pytest.raises(ArgumentError, match="no folder"):
        collect(model, batches_of(30, 8), graph=graph, raw=tmp_path / "missing")


def test_labels_folds_and_held_out_images():
    found = collect(residual(), batches_of(100, 8), raw=True, holdout=0.2, folds=3)
    assert found.raw.labels.tolist() == labels(100).tolist()
    assert set(found.raw.fold[~found.raw.heldout]) == {0, 1, 2}
    for number, fold in enumerate(found.observational.folds):
        rows = found.raw.fold == number
        assert fold.count == rows.sum() > 10
        np.testing.assert_allclose(
            fold.mean("left"), found.raw.observational["left"][rows].mean(0), rtol=1e-5, atol=1e-6
        )
    assert found.observational.count == 100
    assert found.observational.n_train == found.train.count


def test_without_labels_and_without_interventions():
    found = collect(residual(), images(10), raw=True)
    assert found.raw.labels is None
    with pytest.raises(OrderError, match="intervene"):
        found.raw.natural("stem")
    assert collect(residual(), images(10)).raw is None
    assert "10 images" in repr(found.raw)


def test_large_tables_are_in_files_of_the_folder_that_go_with_them(monkeypatch, tmp_path):
    table = raw.ResponseTable
    monkeypatch.setattr(raw, "ResponseTable", lambda **how: table(1000, **how))
    found = collect(residual(), batches_of(40, 8), raw=tmp_path, intervene=0.2)
    assert isinstance(found.raw.interventional["stem"], np.memmap)
    assert len(list(tmp_path.iterdir())) == 2
    plain = collect(residual(), batches_of(40, 8), raw=True, intervene=0.2)
    np.testing.assert_array_equal(found.raw.natural("stem"), plain.raw.natural("stem"))
    del found
    import gc

    gc.collect()
    assert list(tmp_path.iterdir()) == []
