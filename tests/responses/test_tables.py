import gc
from pathlib import Path

import numpy as np
import pytest

from causal_widget.errors import ArgumentError, DataError, OrderError, UnknownNameError
from causal_widget.responses import ResponseTable, collect
from tests.responses.networks import batches_of, residual


def fill(table, sizes=(3, 5, 1, 8)):
    rng, parts, first = np.random.default_rng(0), [], 0
    for n in sizes:
        part = {"conv1": rng.normal(size=(n, 4)).astype("f4"), "fc": rng.normal(size=(n, 2)).astype("f4")}
        table(part, first)
        parts.append(part)
        first += n
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("limit", [10**6, 200, 0])
def test_rows_are_what_came_in_on_either_side_of_the_limit(limit, tmp_path):
    with ResponseTable(limit=limit, folder=tmp_path) as table:
        expected = fill(table)
        assert table.mapped == (limit < table.nbytes)
        assert table.nbytes == 17 * 6 * 4
        for name, rows in expected.items():
            np.testing.assert_array_equal(table[name], rows)
            assert isinstance(table[name], np.memmap) == table.mapped
        assert list(table) == ["conv1", "fc"]
        assert table.n_images == 17
    assert list(tmp_path.iterdir()) == []


def test_rows_cannot_be_written_to():
    table = ResponseTable()
    fill(table)
    with pytest.raises(ValueError, match="read-only"):
        table["fc"][0, 0] = 1


def test_a_forgotten_table_removes_its_files(tmp_path):
    table = ResponseTable(limit=0, folder=tmp_path)
    fill(table)
    assert len(list(tmp_path.iterdir())) == 1
    del table
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_growth_copies_each_row_a_few_times_at_most(monkeypatch):
    table, copied, empty = ResponseTable(), [], np.empty

    def counted(shape, *args, **kwargs):
        copied.append(shape[0])
        return empty(shape, *args, **kwargs)

    monkeypatch.setattr(np, "empty", counted)
    for first in range(500):
        table({"conv1": np.ones((1, 2), "f4")}, first)
    assert sum(copied) < 4 * 500


def test_what_is_wrong_is_said(monkeypatch, tmp_path):
    table = ResponseTable(limit=0, folder=tmp_path)
    fill(table, sizes=(3,))
    with pytest.raises(DataError, match="begins with image 7; expected image 3"):
        table({"conv1": np.ones((1, 4)), "fc": np.ones((1, 2))}, 7)
    with pytest.raises(DataError, match="expected"):
        table({"conv1": np.ones((1, 5)), "fc": np.ones((1, 2))}, 3)
    with pytest.raises(UnknownNameError, match="conv1"):
        table["conv2"]
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ArgumentError, match="10 are free"):
        table({"conv1": np.ones((9, 4)), "fc": np.ones((9, 2))}, 3)
    table.close()
    with pytest.raises(OrderError, match="closed"):
        table["fc"]
    assert not any(Path(tmp_path).iterdir())


def test_it_is_a_sink():
    with ResponseTable() as table:
        found = collect(residual(), batches_of(30, 8), holdout=0, sinks=[table])
        for name in found.graph.names:
            np.testing.assert_allclose(table[name].mean(0), found.train.mean(name), rtol=1e-4, atol=1e-5)
