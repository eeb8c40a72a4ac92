"""The notebook on classes: runs from top to bottom, and says what its text says."""

import re

import pytest

from tests.notebooks import reading

NAME = "03_class_graphs.ipynb"


@pytest.fixture(scope="module")
def committed():
    return reading.read(NAME)


@pytest.fixture(scope="module")
def executed(committed, tmp_path_factory):
    return reading.executed(committed, tmp_path_factory.mktemp("classes"))


def test_it_is_committed_clean(committed):
    reading.assert_committed_clean(NAME, committed)


def test_every_code_cell_is_introduced(committed):
    reading.assert_introduced(committed)


def test_it_runs_and_nothing_complains(executed):
    reading.assert_ran_quietly(executed)


def test_every_figure_it_speaks_of_is_there(executed):
    cells = reading.code_cells(executed)
    for name in ("graph-plot", "ate", "attribution", "mask", "price"):
        assert len(reading.pictures(cells[name])) == 1, name
    mimetypes = [kind for output in cells["widget"].outputs for kind in output.data]
    assert "application/vnd.jupyter.widget-view+json" in mimetypes


def test_the_graph_of_a_three_is_what_the_text_says(executed):
    cells = reading.code_cells(executed)
    critical, detrimental = map(
        int, re.search(r"(\d+) critical and (\d+) detrimental", reading.shown(cells["graph"])).groups()
    )
    assert critical > detrimental > 0
    assert re.search(r"critical: 100\.0% of the \d+", reading.shown(cells["reliability"]))


def test_the_mistake_is_repaired_at_a_price(executed):
    cells = reading.code_cells(executed)
    three, five = (float(part) for part in reading.shown(cells["mistake"]).strip("[] \n").split(","))
    assert five > three
    assert float(reading.shown(cells["against"]).splitlines()[1].split()[-1]) > 1
    three, five = (float(part) for part in reading.shown(cells["repair"]).strip("[] \n").split(","))
    assert three > 0.9 > five
    assert "no share blocked was better than none" in reading.shown(cells["validated"])
