"""Effects on disk: the same tables bit for bit, and every damaged file refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from causal_widget.effects import Effects, outcome, plan_effects
from causal_widget.effects.saving import RECORD
from causal_widget.errors import ArgumentError, DataError
from causal_widget.files import read_record
from causal_widget.interventions import Edits, PathEdit, Scale, UnitEdit
from tests.effects.simulated import drawn, effects
from tests.effects.test_plan import data
from tests.interventions.networks import Plain, seeded


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return effects(drawn(n=90)[0]).save(tmp_path / "effects.safetensors")


def same(one: Effects, two: Effects) -> None:
    for options in ({}, {"split": True}, {"population": "given"}):
        pd.testing.assert_frame_equal(one.table(**options), two.table(**options), check_exact=True)
    assert repr(one) == repr(two)
    assert [repr(question) for question in one.asked] == [repr(question) for question in two.asked]
    assert (one.how, one.seed, one.ran, one.settings) == (two.how, two.seed, two.ran, two.settings)
    assert one.graph.names == two.graph.names


@pytest.mark.parametrize("options", [{}, {"exact": 12}, {"precision": 0.2}], ids=str)
def test_what_is_loaded_gives_the_same_bits(options: dict[str, object], tmp_path: Path) -> None:
    model = seeded(Plain)
    found = plan_effects(model, data(model), outcomes=["loss", "logits"], **options).run(seed=2)
    same(found, Effects.load(found.save(tmp_path / "a.safetensors")))
    again = Effects.load(tmp_path / "a.safetensors").save(tmp_path / "b.safetensors")
    (header, arrays), (expected, before) = (read_record(RECORD, tmp_path / f"{n}.safetensors") for n in "ba")
    assert again.exists()
    assert header == expected
    assert all(np.array_equal(array, before[name], equal_nan=True) for name, array in arrays.items())


def test_sets_and_paths_and_functions_of_the_users_come_back(tmp_path: Path) -> None:
    def spread(logits: torch.Tensor, labels: object, baseline: object) -> torch.Tensor:
        return logits.std(1)

    model = seeded(Plain)
    asked = [
        UnitEdit({"conv1": [0, 2]}, Scale(0.5)),
        Edits((UnitEdit({"conv1": [1]}), UnitEdit({"conv2": [3]}))),
        PathEdit(("conv1", 1), "conv2", (0, 4)),
    ]
    found = plan_effects(model, data(model), edits=asked, outcomes=[outcome(spread, worse=1), "kl"]).run()
    loaded = Effects.load(found.save(tmp_path / "effects.safetensors"))
    same(found, loaded)
    assert [one.edit for one in loaded.asked] == [one.edit for one in found.asked]
    assert loaded.table(min_effect={"spread": 0.0})["p"].notna().all()
    with pytest.raises(ArgumentError, match='"spread" was not saved'):
        loaded.outcomes[0].values(torch.zeros(1, 3))


def test_no_number_at_all_is_no_json(tmp_path: Path) -> None:
    found = effects(drawn(n=3)[0], scale=float("nan"))
    loaded = Effects.load(found.save(tmp_path / "effects.safetensors"))
    assert np.isnan(loaded.scale)


def test_damaged_files_are_refused(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(content[:-40])
    with pytest.raises(DataError, match="cut short"):
        Effects.load(bad)
    bad.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="checksum"):
        Effects.load(bad)
    bad.write_bytes(b"not a file of this kind at all")
    with pytest.raises(DataError, match="no safetensors file"):
        Effects.load(bad)
    save_file({"a": np.zeros(2)}, bad, {"format": "causal_widget structural causal model", "version": "1"})
    with pytest.raises(DataError, match='expected the format "causal_widget effects"'):
        Effects.load(bad)
    save_file({"a": np.zeros(2)}, bad, {"format": "causal_widget effects", "version": "9"})
    with pytest.raises(DataError, match="reads version 1"):
        Effects.load(bad)
    with pytest.raises(FileNotFoundError):
        Effects.load(tmp_path / "nowhere.safetensors")


def test_a_file_is_there_whole_or_not_at_all(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("causal_widget.files.record.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        effects(drawn(n=5)[0]).save(saved)
    assert saved.read_bytes() == before
    assert [one.name for one in saved.parent.iterdir()] == [saved.name]
    assert b"pickle" not in before
    header = json.loads(before[8 : 8 + int.from_bytes(before[:8], "little")])
    assert json.loads(header["__metadata__"]["effects"])["how"] == "exact"
