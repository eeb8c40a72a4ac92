"""The notebook of the structural causal model: runs, and its figures bear out what its text says."""

import re

import pytest

from tests.notebooks import reading

NAME = "02_structural_causal_model.ipynb"


@pytest.fixture(scope="module")
def committed():
    return reading.read(NAME)


@pytest.fixture(scope="module")
def executed(committed, tmp_path_factory):
    return reading.executed(committed, tmp_path_factory.mktemp("scm"))


def numbers(text, row):
    """The numbers of the first line that begins with these words and goes on with numbers alone."""
    words = r"\s+".join(map(re.escape, row.split()))
    line = re.search(rf"^\s*(?:\d+\s+)?{words}((?:\s+-?[\d.]+)+)\s*$", text, re.MULTILINE)
    assert line, f"no line {row!r} in\n{text}"
    return [float(word) for word in line.group(1).split()]


def test_it_is_committed_clean(committed):
    reading.assert_committed_clean(NAME, committed)


def test_every_code_cell_is_introduced(committed):
    reading.assert_introduced(committed)


def test_it_runs_and_nothing_complains(executed):
    reading.assert_ran_quietly(executed)


def test_all_tables_of_the_paper_are_there(executed):
    cells = reading.code_cells(executed)
    assert "accuracy 98" in reading.shown(cells["table-1"])
    for estimator in ("logistic", "svm", "random_forest"):
        assert estimator in reading.shown(cells["table-2"])
    for estimator in ("linear", "ridge", "lars", "lasso"):
        assert estimator in reading.shown(cells["tables-3-to-5"])
    assert "rolled out" in reading.shown(cells["table-6"])
    assert "least important" in reading.shown(cells["table-7"])
    for name in ("depth-curve", "counterfactual", "ranks", "fidelity-plot", "removal-plot"):
        assert len(reading.pictures(cells[name])) == 1, name


def test_seeing_is_not_doing(executed):
    """An observational fit fails on interventional images, and agreement is high where fidelity is not."""
    cells = reading.code_cells(executed)
    cross = reading.shown(cells["cross"])
    assert numbers(cross, "observational observational")[0] > 0.5
    assert numbers(cross, "observational interventional")[0] < 0
    assert numbers(cross, "interventional interventional")[0] > 0.2
    one_step = re.search(r"one step: agrees with the network on ([\d.]+)%", reading.shown(cells["table-6"]))
    assert float(one_step.group(1)) > 98
    fidelity = reading.shown(cells["fidelity"])
    assert max(numbers(fidelity, "equations")[:3]) < 0.75
    assert min(numbers(fidelity, "local")[:3]) > 0.9


def test_the_local_answer_is_the_networks(executed):
    said = reading.shown(reading.code_cells(executed)["default"])
    network, local, equations = (numbers(said, row)[0] for row in ("network", "local", "equations"))
    assert abs(local - network) < 0.01
    assert abs(equations - network) > 0.05


def test_what_was_saved_answers_the_same(executed):
    assert "True" in reading.shown(reading.code_cells(executed)["save"])
