"""The quickstart: runs from top to bottom, and is committed without what a run leaves behind."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

QUICKSTART = Path(__file__).resolve().parents[2] / "notebooks" / "01_quickstart.ipynb"
MACHINE = re.compile(r"/home/|/Users/|/root/|/tmp/|/mnt/|[A-Z]:\\\\|site-packages")


def code_cells(notebook):
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(QUICKSTART, as_version=4)


@pytest.fixture(scope="module")
def executed(committed, tmp_path_factory):
    notebook = nbformat.from_dict(committed)
    folder = tmp_path_factory.mktemp("quickstart")  # nothing in it: the notebook needs no file
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def shown(cell):
    """Everything a cell put out, as one text."""
    return "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in cell.outputs
    )


def test_it_is_committed_clean(committed):
    nbformat.validate(committed)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(committed).values())
    assert not MACHINE.search(QUICKSTART.read_text(encoding="utf-8"))
    assert len({cell.id for cell in committed.cells}) == len(committed.cells)
    assert all(len(cell.source.splitlines()) <= 12 for cell in code_cells(committed).values())


def test_every_code_cell_is_introduced(committed):
    kinds = [cell.cell_type for cell in committed.cells]
    assert kinds[0] == "markdown"
    assert "code code code" not in " ".join(kinds)


def test_it_runs_and_nothing_complains(executed):
    """`NotebookClient` raises what a cell raises; warnings are on stderr, where progress bars may be too."""
    cells = code_cells(executed).values()
    assert all(cell.execution_count for cell in cells)
    said = "\n".join(
        output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"
    )
    assert "Warning" not in said, said


def test_it_shows_what_the_text_speaks_of(executed):
    cells = code_cells(executed)
    assert float(shown(cells["load"]).splitlines()[-1]) >= 0.97
    assert re.search(r"accuracy +9\d\.\d\d% -> ", shown(cells["effect"]))
    assert "coefficient" in shown(cells["agreement"])
    for name in ("first-filters", "importance-plot", "effect-plot", "heatmap", "pruning-plot"):
        pictures = [o for o in cells[name].outputs if "image/png" in o.get("data", {})]
        assert len(pictures) == 1, f"{name} shows {len(pictures)} pictures"
    mimetypes = [kind for output in cells["widget"].outputs for kind in output.data]
    assert "application/vnd.jupyter.widget-view+json" in mimetypes
    assert "text/html" in mimetypes
