"""The quickstart: runs from top to bottom, and is committed without what a run leaves behind."""

import re

import pytest

from tests.notebooks import reading

NAME = "01_quickstart.ipynb"


@pytest.fixture(scope="module")
def committed():
    return reading.read(NAME)


@pytest.fixture(scope="module")
def executed(committed, tmp_path_factory):
    return reading.executed(committed, tmp_path_factory.mktemp("quickstart"))


def test_it_is_committed_clean(committed):
    reading.assert_committed_clean(NAME, committed)


def test_every_code_cell_is_introduced(committed):
    reading.assert_introduced(committed)


def test_it_runs_and_nothing_complains(executed):
    reading.assert_ran_quietly(executed)


def test_it_shows_what_the_text_speaks_of(executed):
    cells = reading.code_cells(executed)
    assert float(reading.shown(cells["load"]).splitlines()[-1]) >= 0.97
    assert re.search(r"accuracy +9\d\.\d\d% -> ", reading.shown(cells["effect"]))
    assert "coefficient" in reading.shown(cells["agreement"])
    assert re.search(r"24 units of 2 layers, 500 images", reading.shown(cells["plan"]))
    for name in ("first-filters", "importance-plot", "effect-plot", "ranking", "heatmap", "pruning-plot"):
        assert len(reading.pictures(cells[name])) == 1, name
    mimetypes = [kind for output in cells["widget"].outputs for kind in output.data]
    assert "application/vnd.jupyter.widget-view+json" in mimetypes
    assert "text/html" in mimetypes
