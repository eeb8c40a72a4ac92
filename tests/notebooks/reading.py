"""How the tests read and run a committed notebook."""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MACHINE = re.compile(r"/home/|/Users/|/root/|/tmp/|/mnt/|[A-Z]:\\\\|site-packages")
MOST_LINES = 12


def read(name):
    return nbformat.read(NOTEBOOKS / name, as_version=4)


def executed(notebook, folder):
    """Run a copy from top to bottom in an empty folder; what a cell raises is raised."""
    copy = nbformat.from_dict(notebook)
    NotebookClient(
        copy, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return copy


def code_cells(notebook):
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def shown(cell):
    """Everything a cell put out, as one text."""
    return "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in cell.outputs
    )


def pictures(cell):
    return [output for output in cell.outputs if "image/png" in output.get("data", {})]


def complaints(notebook):
    """What is on stderr, where warnings are; progress bars may be there too."""
    return "\n".join(
        output.text
        for cell in code_cells(notebook).values()
        for output in cell.outputs
        if output.get("name") == "stderr"
    )


def assert_committed_clean(name, notebook):
    nbformat.validate(notebook)
    cells = code_cells(notebook).values()
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert not MACHINE.search((NOTEBOOKS / name).read_text(encoding="utf-8"))
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert all(len(cell.source.splitlines()) <= MOST_LINES for cell in cells)


def assert_introduced(notebook):
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown"
    assert "code code code" not in " ".join(kinds)


def assert_ran_quietly(notebook):
    assert all(cell.execution_count for cell in code_cells(notebook).values())
    said = complaints(notebook)
    assert "Warning" not in said, said
